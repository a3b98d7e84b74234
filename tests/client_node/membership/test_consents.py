"""What a node signs when its member narrows, prolongs or delegates: the rules of the log take it."""

import json
from types import SimpleNamespace

import pytest

from client_node import home
from client_node.commands import consent
from client_node.ledger.ledger import Budget
from client_node.membership import consents
from contracts.errors import Refused, Unavailable
from contracts.statements.statements import Seen
from contracts.terms.agreement import Grouped
from simulator import NOTHING, Trust

ALONE = consents.GivenBy(role="legal-representative", delegation=None)


@pytest.fixture
def node(tmp_path):
    """A member of a trust whose agreement outlasts this test, with a whole consent until 2090."""
    trust = Trust(valid_from="2020-01-01T00:00:00Z", valid_to="2099-01-01T00:00:00Z")
    firm = trust.firms[0]
    assert trust.consent(firm, expires_at="2090-01-01T00:00:00Z") == ()
    settings = SimpleNamespace(
        home=tmp_path, member=firm.member, node_key=firm.node, epsilon_run_max="1", epsilon_year_max="4"
    )
    Budget(tmp_path / "ledger.db")
    mirror = SimpleNamespace(seen=lambda: Seen(size=0, root=NOTHING))
    return trust, firm, settings, mirror


def sign(node, make, **wishes):
    trust, firm, settings, mirror = node
    mirror.state = trust.state
    return trust.say(make(settings, mirror, "zh", **{"given_by": ALONE} | wishes), firm.node)


def newest(node):
    trust, firm, *_rest = node
    return trust.state.consent(firm.member, trust.agreement).consent


def test_a_narrowed_consent_passes_the_rules_and_holds_less(node):
    assert sign(node, consents.narrowed, epsilon_year="2", rounds=7, until="2080-01-01T00:00:00Z") == ()
    said = newest(node)
    assert (said.event, said.scope.epsilon_year_max, said.scope.rounds_max) == ("amend", "2", 7)
    assert said.scope.rho_year_max_nano < node[0].terms.privacy.rho_year_max_nano
    assert said.expires_at == "2080-01-01T00:00:00Z"
    with pytest.raises(Refused, match="allow more"):
        sign(node, consents.narrowed, rounds=8)
    with pytest.raises(Refused, match="allow more"):
        sign(node, consents.narrowed, until="2085-01-01T00:00:00Z")


def test_a_renewed_consent_lasts_longer_and_says_nothing_else(node):
    before = newest(node)
    assert sign(node, consents.renewed, until="2098-01-01T00:00:00Z") == ()
    assert (newest(node).event, newest(node).expires_at) == ("renew", "2098-01-01T00:00:00Z")
    assert newest(node).scope == before.scope


def test_what_was_withdrawn_is_neither_narrowed_nor_prolonged(node):
    node[0].consent(node[1], "withdraw")
    for make, wishes in ((consents.narrowed, {}), (consents.renewed, {"until": "2098-01-01T00:00:00Z"})):
        with pytest.raises(Refused, match="has no consent"):
            sign(node, make, **wishes)


def test_a_delegate_signs_by_a_document_that_stays_here_under_a_salted_digest(node, tmp_path):
    paper = tmp_path / "delegation.pdf"
    paper.write_bytes(b"signed by the director")
    one, two = (consents.spoken_for(node[2], paper) for _ in range(2))
    assert one.role == "delegate" and one.delegation != two.delegation, "the same paper, two salts"
    kept = tmp_path / "documents" / one.delegation.removeprefix("sha256:")
    assert kept.is_file()
    assert sign(node, consents.narrowed, rounds=5, given_by=one) == ()
    with pytest.raises(Unavailable):
        consents.spoken_for(node[2], tmp_path / "none.pdf")


@pytest.fixture
def leaver(monkeypatch, capsys):
    """What `client-node consent withdraw` does for a member whose group was summed: (words ->
    printed, whether it withdrew)."""
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    trust = Trust(4, edition=2, secure_sum="required", totals=rule)
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    assert trust.close() == ()
    settings, mirror = SimpleNamespace(member=trust.firms[0].member), SimpleNamespace(state=trust.state)
    monkeypatch.setattr(home, "connected", lambda _home: (settings, mirror, None, None))
    done = []
    monkeypatch.setattr(consents, "withdraw", lambda *_held: done.append(1) or True)

    def withdraw(**words):
        code = consent.withdraw(**words)
        return code, capsys.readouterr().out, bool(done)

    return withdraw


def test_a_member_is_told_what_its_leave_shows_and_can_still_stay(leaver, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda _question: False)
    with pytest.raises(Refused, match="the answer was no"):
        leaver()
    code, shown, withdrew = leaver(yes=True)
    assert code == 0 and withdrew and shown.count("± ") == 2, "it was told before it was asked, too"


def test_a_program_is_told_in_json_and_withdraws_only_with_yes(leaver):
    code, shown, withdrew = leaver(as_json=True)
    told = json.loads(shown)
    assert (code, withdrew, told["withdrawn"]) == (1, False, False) and told["leaving"][0]["plus_minus"] > 0
    code, shown, withdrew = leaver(as_json=True, yes=True)
    assert (code, withdrew, json.loads(shown)["withdrawn"]) == (0, True, True)
