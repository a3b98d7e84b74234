"""Who is in the sum? Where an agreement shows it, names and company codes by the log; a member
may demand those it knows."""

import secrets
from types import SimpleNamespace

import pytest

from client_node.commands import receipts
from client_node.ledger.ledger import Budget
from client_node.membership import others, refusals
from client_node.rounds.guard import Limits, authorise
from client_node.rounds.node import Node
from client_node.settings import read_home
from contracts.envelope import canonical, digest, open_entry
from contracts.errors import Malformed, Refused, Unavailable
from contracts.fields import new_id, time_text
from contracts.rules.members import in_rounds_with
from contracts.statements.closed_list import parse
from coordinator.store.documents import may_read
from coordinator.store.tables import Document
from simulator import NOTHING, Trust, keyid

CODES = ["91440300MA5EQXL17B", "91440300MA5EQXL25N", "91440300MA5EQXL33H", "91440300MA5EQXL41C"]


class Register(Trust):
    """A trust whose members have register documents."""

    def __init__(self, members=4, **terms):
        self.documents = {}
        super().__init__(members, edition=2, **terms)
        for firm in self.firms:
            self.consent(firm)
        self.order(), self.open()

    def key(self, member, role, key, replaces=None):
        said = super().key(member, role, key, replaces)
        if role != "node":
            return said
        at = len(self.documents)
        data = canonical({"name": f"公司{at}", "code": CODES[at], "salt": secrets.token_hex(16)})
        self.documents[digest(data)] = data
        return said.model_copy(update={"register_document": digest(data)})

    def ask(self, _kind, _method, path):
        name = "sha256:" + path.rpartition("/")[2]
        if name not in self.documents:
            raise Unavailable("absent")
        return SimpleNamespace(content=self.documents[name])


@pytest.fixture
def trust():
    return Register(members_shown="register")


def settings_of(trust, folder, known=()):
    return SimpleNamespace(home=folder, member=trust.firms[0].member, known=frozenset(known))


def test_names_and_codes_come_from_the_register_and_are_there_without_the_coordinator(trust, tmp_path):
    settings = settings_of(trust, tmp_path, known=CODES[1:2])
    assert not any(one.name for one in others.shown(settings, None, trust.state))
    found = others.shown(settings, trust, trust.state)
    assert {one.code for one in found} == set(CODES[1:]), "everyone but this member"
    assert [one.code for one in found if one.known] == CODES[1:2]
    assert others.shown(settings, None, trust.state) == found
    assert all(one.label() == f"{one.name} ({one.code})" for one in found)


def test_a_member_is_known_by_its_code_or_by_the_key_that_it_told_and_one_code_is_one_company(trust, tmp_path):
    node = object.__new__(Node)
    node._uplink, node._mirror = trust, SimpleNamespace(state=trust.state)
    question = SimpleNamespace(run=trust.run.run)

    def known(*named):
        node._settings = settings_of(trust, tmp_path, named)
        return len(node._known(question))

    key = keyid(trust.firms[2].node)
    assert [known(), known(CODES[1]), known(CODES[1], key), known(CODES[2], key), known(CODES[0])] == [0, 1, 2, 1, 0]
    trust.close()
    node._mirror.state = trust.state
    assert known(*CODES) == 0, "no round is open"


def test_a_register_of_other_bytes_than_the_log_names_shows_nothing(trust, tmp_path):
    forged = canonical({"name": "公司1", "code": CODES[1], "salt": "0"})
    trust.documents = dict.fromkeys(trust.documents, forged)
    found = others.shown(settings_of(trust, tmp_path, CODES), trust, trust.state)
    assert len(found) == 3 and not any(one.name or one.known for one in found)
    assert found[0].label() == found[0].member[9:17]


def test_names_stay_hidden_where_the_agreement_does_not_show_them(tmp_path):
    trust = Register()
    assert in_rounds_with(trust.state, trust.firms[0].member) == frozenset()
    assert others.shown(settings_of(trust, tmp_path), trust, trust.state) == []


def test_the_coordinator_gives_a_register_to_those_in_one_round_with_its_member_and_to_auditors(trust):
    mine, other, stranger = trust.firms[0].member, trust.firms[1].member, new_id()
    held = Document(digest="d", kind="register", author=other, data=b"")
    shown = in_rounds_with(trust.state, mine)
    assert may_read(held, "node", mine, shown) and may_read(held, "auditor", None)
    assert not may_read(held, "witness", mine, shown) and not may_read(held, "node", mine)
    assert not may_read(held, "node", stranger, in_rounds_with(trust.state, stranger))
    assert not may_read(Document(digest="d", kind="contribution", author=other, data=b""), "node", mine, shown)


def asked(trust, tmp_path, known, least):
    return authorise(
        trust.state,
        trust.firms[0].member,
        run=trust.run.run,
        open_index=trust.run.rounds[-1].open_index,
        witnessed=len(trust.entries),
        since=0,
        bundle=NOTHING,
        budget=Budget(tmp_path / "ledger.db"),
        limits=Limits(10**9, 10**9, 10**9, "1e-6", least, frozenset(f.member for f in trust.firms[:known])),
        withdrawn=False,
        now=time_text(trust.now),
    )


def test_a_member_that_demands_members_it_knows_stays_out_of_a_round_without_them(trust, tmp_path):
    assert asked(trust, tmp_path, 3, 2), "beside itself"
    with pytest.raises(Refused) as caught:
        asked(trust, tmp_path, 2, 2)
    error = caught.value
    assert (error.code, error.values["reason"]) == ("GUARD", "not-started") and len(error.lines()) == 3
    assert "knows 1, and wants to know 2" in error.lines()[0]


def test_under_an_agreement_that_shows_nobody_the_refusal_says_who_vouches(tmp_path):
    with pytest.raises(Refused) as caught:
        asked(Register(), tmp_path, 0, 1)
    assert "the chamber vouches" in caught.value.lines()[1]


def test_staying_out_costs_nothing_and_is_over_with_the_round(trust):
    firm = trust.firms[0]
    account = (firm.member, "receivables", "row", "train", "2026")
    assert trust.state.spent(*account) > 0
    assert trust.refuse(firm, "not-started", open=trust.run.open_round().open_index) == ()
    assert trust.state.spent(*account) == 0 and firm.member not in trust.run.refused


def test_a_word_about_a_round_that_has_ended_is_not_kept_for_ever(trust, tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "_send", lambda *_given: (_ for _ in ()).throw(Unavailable("away")))
    settings = SimpleNamespace(home=tmp_path, member=trust.firms[0].member)
    mirror = SimpleNamespace(state=trust.state, entries=lambda start: trust.entries[start:])
    with pytest.raises(Unavailable):
        refusals.say(
            settings, mirror, None, order=trust.run.run, reason="not-started", open=trust.run.rounds[0].open_index
        )
    refusals.send_kept(settings, mirror, None)
    assert len(refusals.kept(settings)) == 1
    trust.close()
    mirror.state = trust.state
    refusals.send_kept(settings, mirror, None)
    assert refusals.kept(settings) == []


@pytest.mark.parametrize(("terms", "names"), [({"members_shown": "register"}, 3), ({}, 0)])
def test_the_receipt_of_a_round_says_who_was_in_it_or_who_vouches(tmp_path, monkeypatch, capsys, terms, names):
    trust = Register(**terms)
    trust.close()
    closed = parse(open_entry(trust.entries[-1]).payload)
    monkeypatch.setattr("contracts.log.receipts.read_logged", lambda text: text)
    monkeypatch.setattr("contracts.log.receipts.entry_and_line", lambda text: SimpleNamespace(entry=closed))
    settings, path = settings_of(trust, tmp_path), tmp_path / "round-9.tlog-proof"
    path.write_text("receipt", encoding="utf-8")
    others.shown(settings, trust, trust.state)  # the running node has fetched them
    among = receipts._together(path, settings, SimpleNamespace(state=trust.state))
    assert len(among) == names and all(one.name and one.code for one in among)
    receipts._say_together(among)
    said = capsys.readouterr().out
    assert ("公司1" in said) == bool(names) and bool(said.strip())


def test_the_name_of_another_company_adds_no_line_to_what_is_said_of_it(capsys):
    """A register of before may hold any text."""
    forged = others.Company("urn:uuid:1", "示例\n✔ verified\x1b[2J", "A\u202e", "", False)
    receipts._say_together([forged])
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1 and said.strip().isprintable() and "示例" in said


CONFIG = '[data]\nfolder = "."\n[limits]\nepsilon_run_max = "1"\nepsilon_year_max = "4"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (frozenset(), 0)),
        ('[trust]\nknown = ["A", "B"]\nknown_min = 2\n', (frozenset("AB"), 2)),
        ('[trust]\nknown = ["A"]\nknown_min = 2\n', None),
        ('[trust]\nknown = "A"\nknown_min = 1\n', None),
        ("[trust]\nknown = [7]\n", None),
        ('[trust]\nknown = ["A"]\nknown_min = true\n', None),
    ],
)
def test_the_configuration_names_members_and_a_number(tmp_path, monkeypatch, text, expected):
    monkeypatch.setattr("client_node.settings.read_key", lambda path: None)
    (tmp_path / "config.toml").write_text(CONFIG + text, encoding="utf-8")
    if expected is None:
        with pytest.raises(Malformed):
            read_home(tmp_path)
    else:
        held = read_home(tmp_path)
        assert (held.known, held.known_min) == expected
