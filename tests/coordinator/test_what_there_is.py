"""Whoever names what does not exist reads what there is and what to do: every number, name and id of every command."""

import re
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from auditor.cli import app as auditor_app
from client_node.membership import consents
from contracts.envelope import key_id
from contracts.errors import Refused, TrustError, Unavailable
from coordinator.cli import app
from coordinator.commands.duties import CATEGORIES, GROUNDS, PHASES
from coordinator.learning import orders
from coordinator.store.log import Log
from coordinator.trust import agreements
from coordinator.trust.certificates import make_certificates
from coordinator.trust.duties import end_key, note_incident
from coordinator.web.overview import overview
from offices import found
from simulator import Trust


@pytest.fixture
def office(tmp_path):
    made = found(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def replaced(office, monkeypatch):
    """Two members consented to version 1, and version 2 took its place; a third never did."""
    trust = Trust(3, valid_to="2099-12-31T00:00:00Z")
    for firm in trust.firms[:2]:
        trust.consent(firm, expires_at="2099-12-31T00:00:00Z")
    first = trust.agreement
    assert trust.publish(trust.make_terms(valid_to="2099-12-31T00:00:00Z", version=2, supersedes=first)) == ()
    monkeypatch.setattr(Log, "state", lambda self: trust.state)
    return trust


def told(office, *words):
    """(exit code, the sentences of the error) of a command."""
    done = CliRunner().invoke(app, [*words, "--home", str(office.settings.home)])
    error = done.exception
    if isinstance(error, TrustError):
        return error.code, " | ".join(error.lines())
    return done.exit_code, re.sub(r"[│\s]+", " ", done.output + done.stderr)


def test_an_agreement_that_there_is_not(office, replaced):
    code, text = told(office, "agreement", "show", "9")
    assert code == "AGREEMENT_INACTIVE" and "no version 9" in text and "there are: 1, 2" in text
    assert "there are: 1, 2" in told(office, "agreement", "diff", "7")[1]
    assert "there are: 1, 2" in told(office, "agreement", "retire", "suspend", "5", "--yes")[1]
    assert "the first" in told(office, "agreement", "diff", "1")[1]


def test_before_the_first_agreement_the_next_step_is_said(office):
    assert "agreement draft" in told(office, "agreement", "show")[1]
    assert "no agreement is active" in told(office, "order", "risk")[1]


def test_what_a_new_version_replaced_is_said_by_its_number(office, replaced):
    state, newest = replaced.state, replaced.state.newest_agreement
    first, _, third = (firm.member for firm in replaced.firms)
    refused = agreements.without_consent(state, first, newest, {first: "示例机械"})
    assert "version 1, which version 2 has replaced" in refused.lines()[1] and "anew" in refused.lines()[2]
    assert "示例机械" in refused.lines()[0]
    assert "replaced" not in agreements.without_consent(state, third, newest, {}).lines()[1]
    assert first in agreements.without_consent(state, "urn:uuid:x", newest, {}).lines()[1]
    assert [one["consent"] for one in overview(office)["members"]].count("replaced") == 2
    mirror, settings = SimpleNamespace(state=state), SimpleNamespace(member=first, home=office.settings.home)
    with pytest.raises(Refused) as caught:
        consents._live(settings, mirror)
    assert "version 1, which version 2 has replaced" in caught.value.lines()[1]
    settings.member = third
    with pytest.raises(Refused) as caught:
        consents._live(settings, mirror)
    assert caught.value.lines()[1] == "it has not consented yet"


def test_a_run_without_members_says_that_a_new_version_came(office, replaced, monkeypatch):
    monkeypatch.setattr(orders, "affordable", lambda *_words: [])
    monkeypatch.setattr(orders, "rule_of", lambda *_words: None)
    made = SimpleNamespace(agreement=replaced.state.newest_agreement, min_members=3)
    with pytest.raises(Refused, match="0 members consent") as caught:
        orders._enough(replaced.state, made, datetime.now(UTC))
    assert caught.value.lines()[1].startswith("2 consented to an earlier version")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("incident", "x", "--category", "nothing"), CATEGORIES),
        (("incident", "x", "--state", "nothing"), PHASES),
        (("erase", "sha256:1", "--ground", "nothing", "--yes"), GROUNDS),
        (("agreement", "retire", "nothing"), agreements.MOVES),
        (("agreement", "retire", "suspend", "--reason", "nothing"), ("office", "authority", "incident")),
    ],
)
def test_a_choice_that_there_is_not_names_all_in_words(office, words, known):
    code, text = told(office, *words)
    assert code == 2 or code == 64
    assert all(re.search(rf"\b{name} \(", text) for name in known), text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("approve", "urn:uuid:x"), "these wait: -"),
        (("models", "sha256:zz"), "released are: -"),
        (("rollback", "risk"), "models serve for: -"),
        (("schedule", "drop", "risk"), "scheduled are: -"),
        (("policy", "propose", "nobody", "--out", "x"), "members n, auditors 1"),
        (("order", "nothing"), "installed: "),
        (("schedule", "set", "nothing", "--cron", "0 2 1 * *"), "installed: "),
        (("agreement", "draft", "--task", "nothing", "--out", "x"), "installed: "),
        (("end-key", "sha256:nothing", "--yes"), "(office"),
        (("erase", "sha256:nothing", "--yes"), "give its whole digest"),
        (("incident", "x", "--about", "7"), "these wait: -"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(office, words, said):
    _, text = told(office, *words)
    what, why, do = text.split(" | ")
    assert said in text and what and why and do


def test_what_waits_is_named_where_something_else_was_answered(office):
    now = datetime.now(UTC)
    index = end_key(office, key_id(office.settings.agreement_key.public_key()), compromised=True, now=now)
    with pytest.raises(Refused) as caught:
        note_incident(office, "x", about=0, category="key", phase="answered", now=now)
    assert f"these wait: {index}" in caught.value.lines()[1]


def test_a_chambers_own_ca_is_answered_with_the_pins_to_give(tmp_path):
    """And not with the network."""
    make_certificates(tmp_path, Ed25519PrivateKey.generate(), name="x", hosts=("localhost",))
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_words: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        for words in (("verify", url), ("budget", url), ("entry", url, "0"), ("mirror", url, str(tmp_path / "m"))):
            done = CliRunner().invoke(auditor_app, words)
            assert isinstance(done.exception, Unavailable) and done.exception.code == "CA", done.output
            assert "--pins" in done.exception.lines()[2] and "network" not in done.exception.lines()[2]
    finally:
        server.shutdown()
        server.server_close()
