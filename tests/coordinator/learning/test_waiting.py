"""What a run waits for is one sentence, the same in all places where the office looks; a
stranger's node says its part."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from client_node.membership.waiting import waits_of
from contracts.log.checkpoint import witness_name
from coordinator.cli import app
from coordinator.commands import order as order_command
from coordinator.learning import schedules
from coordinator.learning.waiting import STEPS, waits
from coordinator.store.database import Database
from coordinator.store.log import Log
from coordinator.store.tables import LastSeen, ScheduledRun, TaskMessage
from coordinator.trust import members
from coordinator.web import server
from engine.rounds import STEPS as ROUND_STEPS
from offices import found
from simulator import ORIGIN, Trust

LATER = timedelta(minutes=1)


@pytest.fixture
def trust(tmp_path, monkeypatch):
    """A run of four members that is ordered, in an office where a process leads; no member is online."""
    made = Trust(4, valid_to="2099-12-31T00:00:00Z")
    made.now = datetime.now(UTC) - timedelta(minutes=50)
    for firm in made.firms:
        made.consent(firm, expires_at="2099-12-31T00:00:00Z")
    ends = (made.now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert made.order(expires_at=ends) == ()
    made.office_home = found(tmp_path)
    monkeypatch.setattr(Log, "state", lambda self: made.state)
    monkeypatch.setattr(Log, "witnessed", lambda self, size: None)
    monkeypatch.setattr(Log, "note", lambda self, size=None: made.note())
    monkeypatch.setattr(Database, "is_led", lambda self: True)
    made.called = {firm.member: f"company {number}" for number, firm in enumerate(made.firms, 1)}
    monkeypatch.setattr(members, "names", lambda database: made.called)
    yield made
    made.office_home.database.close()


def come(trust, count):
    with trust.office_home.database.write() as session:
        for firm in trust.firms[:count]:
            session.merge(LastSeen(member=firm.member, at=time.time()))


def told(trust):
    """(reason, sentence) of what is waited for a minute from now."""
    return [(one.reason, one.sentence()) for one in waits(trust.office_home, trust.called, datetime.now(UTC) + LATER)]


def auditor(trust):
    key = Ed25519PrivateKey.generate()
    assert trust.say(trust.key(None, "auditor", key), trust.office, key) == ()
    return key


def test_a_run_without_a_process_that_drives_it(trust, monkeypatch):
    monkeypatch.setattr(Database, "is_led", lambda self: False)
    [(reason, sentence)] = told(trust)
    assert reason == "coordinator" and "coordinator serve" in sentence


def test_whether_a_process_leads_is_seen_from_any_other_and_nothing_is_taken(tmp_path, database_url):
    url = found(tmp_path).settings.database_url if not database_url else None
    if url is None:
        from sqlalchemy import make_url

        url = make_url(database_url).set(drivername="postgresql+psycopg")
    one, other = Database(url), Database(url)
    try:
        assert not other.is_led() and not other.is_led()
        assert one.lead() and one.is_led() and other.is_led() and not other.lead()
    finally:
        one.close()
    assert not other.is_led() and other.lead()
    other.close()


def test_a_run_waits_for_members_that_are_not_online_by_name(trust):
    come(trust, 2)
    [(reason, sentence)] = told(trust)
    assert reason == "online" and "2 of 4" in sentence and "company 3, company 4" in sentence
    assert trust.run.order.issued_at in sentence and "client-node run" in sentence
    come(trust, 4)
    assert told(trust) == []


def test_a_run_waits_for_consents(trust):
    for firm in trust.firms[:2]:
        trust.refuse(firm, "budget")
    [(reason, sentence)] = told(trust)
    assert reason == "consent" and "2 of them may be asked, 3 are needed" in sentence


def test_after_an_auditor_is_admitted_a_run_waits_for_its_cosignature_aloud(trust):
    auditor(trust)
    assert trust.open() == ()
    [(reason, sentence)] = told(trust)
    assert reason == "auditor" and "auditor watch https://testserver" in sentence
    [name] = trust.state.quorum_at(trust.state.size).auditors
    assert name.rpartition("/")[2] in sentence


def test_a_run_waits_for_the_cosignatures_of_members_by_name(trust, monkeypatch):
    trust.open()
    names = {witness_name(ORIGIN, firm.member) for firm in trust.firms[:2]}

    def few(self, size=None):
        note = trust.note()
        return SimpleNamespace(
            checkpoint=note.checkpoint, signatures=[one for one in note.signatures if one.name in names]
        )

    monkeypatch.setattr(Log, "note", few)
    [(reason, sentence)] = told(trust)
    assert reason == "cosignatures" and "of 1 more members" in sentence and "company 3, company 4" in sentence
    auditor(trust)
    assert "and of an auditor" in told(trust)[0][1]


@pytest.mark.parametrize("step", ROUND_STEPS)
def test_a_round_waits_for_each_step_by_its_name(trust, monkeypatch, step):
    trust.open()
    monkeypatch.setattr(Log, "witnessed", lambda self, size: trust.note())
    assert told(trust) == []
    with trust.office_home.database.write() as session:
        for number, firm in enumerate(trust.firms):
            fields = {"run": trust.run.run, "round": 1, "open_index": 1, "member": firm.member, "step": step}
            session.add(TaskMessage(id=str(number), **fields, body=b"", payload=b"1" if number else None))
    [(reason, sentence)] = told(trust)
    assert reason == step and STEPS[step] in sentence and "missing: company 1, since" in sentence


def test_a_suspended_agreement_holds_a_run_up(trust):
    name = trust.agreement
    record = trust.state.agreements[name]
    agreements = {**trust.state.agreements, name: replace(record, state="suspended")}
    trust.state = replace(trust.state, agreements=agreements)
    assert [reason for reason, _ in told(trust)] == ["agreement"]


def test_what_is_ordered_by_calendar_waits_for_its_hour(trust):
    row = ScheduledRun(
        name="demand", cron="0 2 1 * *", epsilon="1", min_members=3, spend_anyway=True, taken_at="2026-11-01T00:00:00Z"
    )
    with trust.office_home.database.write() as session:
        session.add(row)
    assert schedules.listed(trust.office_home)[0]["next"] in told(trust)[-1][1]


def test_a_run_that_is_over_waits_for_nothing(trust):
    now = datetime.now(UTC) + timedelta(days=400)
    assert waits(trust.office_home, trust.called, now) == []


def test_all_places_of_the_office_say_the_same_sentence(trust, monkeypatch, capsys):
    come(trust, 2)
    home, chinese = str(trust.office_home.settings.home), order_command._
    [one] = waits(trust.office_home, trust.called)
    sentence = one.sentence(chinese)
    run = CliRunner().invoke
    assert sentence in run(app, ["status", "--home", home]).output
    assert sentence in run(app, ["matters", "--home", home]).output
    for words in (["status", "--json"], ["matters", "--json"]):
        assert sentence in run(app, [*words, "--home", home]).output
    page = TestClient(server.make_app(trust.office_home), base_url="https://testserver", client=("127.0.0.1", 1))
    language = "en" if sentence == one.sentence() else "zh"
    assert sentence in page.get(f"/?lang={language}").text
    waiting = order_command._Waits(trust.office_home)
    waiting._looked -= 60
    waiting.say(trust.run)
    waiting._looked -= 60
    waiting.say(trust.run)
    out = capsys.readouterr().out
    assert out.count(sentence) == 1, (out, waiting._said, waiting._looked, time.monotonic())
    said = []
    monkeypatch.setattr(server.log_event, "warning", lambda event, **values: said.append(values["what"]))
    monkeypatch.setattr(server, "names", lambda database: trust.called)
    serving = object.__new__(server.Serving)
    serving._office, serving._waits = trust.office_home, {}
    serving._tell_waits()
    come(trust, 1)
    serving._tell_waits()
    assert said == [one.sentence()], ("once, not each second", said)


def test_the_public_does_not_see_who_is_missing(trust):
    page = TestClient(server.make_app(trust.office_home), base_url="https://testserver", client=("8.8.8.8", 1))
    assert "company 3" not in page.get("/?lang=en").text


def test_a_node_says_what_the_log_lets_it_know(trust):
    member, stranger = trust.firms[0].member, "urn:uuid:00000000-0000-4000-8000-000000000000"
    assert "3 members must be online" in waits_of(trust.state, member)[0].translated(str)
    assert waits_of(trust.state, stranger) == []
    trust.open()
    assert "round 1 waits for" in waits_of(trust.state, member)[0].translated(str)
    assert waits_of(trust.state, stranger) == []
