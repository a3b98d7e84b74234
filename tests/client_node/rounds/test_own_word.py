"""A node stops before what its member has signed with another ledger, and before no word of the office alone."""

from types import SimpleNamespace

import pytest

from client_node.commands.checks import _ledger_and_log
from client_node.ledger.chain import Caps
from client_node.ledger.ledger import Budget
from client_node.rounds.own_word import OwnWord
from contracts.envelope import canonical, digest, seal, to_base64
from contracts.errors import Refused, Unavailable
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.statements import LedgerHead, Seen
from privacy.spend import Spend, Unit
from simulator import NOTHING, Trust, plan

COST, CAPS = plan().rho_nano(), Caps(10**12, 10**12, 10**12, "2026", "2026-01-05T09:00:00Z")


class Chamber:
    """A trust with one recorded round, and the coordinator's documents. `me` is the first member's node."""

    def __init__(self, folder, edition=2):
        self.trust, self.documents, self.asked = Trust(edition=edition), {}, []
        for firm in self.trust.firms:
            self.trust.consent(firm)
        self.trust.order(deadline_s=600), self.trust.open(deadline_s=600)
        self.me, self.folder = self.trust.firms[0], folder
        self.budget = Budget(folder / "ledger.db")
        self.word = OwnWord(SimpleNamespace(home=folder, member=self.me.member), self, self.budget)

    def contribute(self, budget):
        """This member's signed line, from a ledger."""
        run, waiting = self.trust.run, self.trust.run.open_round()
        budget.reserve(Spend("receivables", Unit.ROW, "train", COST, run.run, 1), CAPS)
        said = self.said(ledger=budget.head())
        budget.publish(run.run, waiting.opened.round, b"payload", said)
        return said

    def said(self, signer=None, **changes):
        run, waiting = self.trust.run, self.trust.run.open_round()
        words = {
            **self.trust.stamp(),
            "member": self.me.member,
            "order": run.run,
            "open": waiting.open_index,
            "round": 1,
            "payload": NOTHING,
            "model_in": run.model,
            "bundle": NOTHING,
            "seen": Seen(size=0, root=NOTHING),
            "ledger": LedgerHead(head=NOTHING, rho_total_nano=1),
        }
        return seal(payload(Contribution(**words | changes)), [signer or self.me.node])

    def close(self, *lines, says):
        """The office names a list, and says where this member's ledger stood."""
        data = canonical([to_base64(line) for line in lines])
        self.documents[digest(data)[7:]] = data
        members = [m for m, _ in self.trust.run.open_round().opened.members]
        ledgers = tuple((m, says if m == self.me.member else self.trust.ledger(m, COST)) for m in members)
        assert self.trust.close(list_document=digest(data), ledgers=ledgers) == ()

    def ask(self, _kind, _method, path):
        self.asked.append(path)
        name = path.rpartition("/")[2]
        if name not in self.documents:
            raise Unavailable("absent")
        return SimpleNamespace(content=self.documents[name])

    def checked(self):
        """What `client-node check` says of the ledger beside the log."""
        settings = SimpleNamespace(home=self.folder, member=self.me.member)
        return _ledger_and_log(settings, SimpleNamespace(state=self.trust.state), self, self.budget)

    def told(self):
        return [row[1] for row in self.budget.refused()]


@pytest.fixture(params=[1, 2])
def chamber(request, tmp_path):
    """What a node does is the same under both editions."""
    return Chamber(tmp_path, request.param)


def test_a_round_that_this_ledger_knows_asks_for_nothing(chamber):
    line = chamber.contribute(chamber.budget)
    chamber.close(line, says=chamber.budget.head())
    chamber.word.check(chamber.trust.state)
    assert chamber.asked == [] == chamber.told()


@pytest.mark.parametrize("total", [10**9, COST, 0])
def test_a_false_word_of_the_office_stops_nobody(chamber, total):
    """The list shows what the member signed; the round's record says something else."""
    line = chamber.contribute(chamber.budget)
    chamber.close(line, says=LedgerHead(head="sha256:" + "7" * 64, rho_total_nano=total))
    for _ in range(3):
        chamber.word.check(chamber.trust.state)
    assert len(chamber.asked) == 1 and chamber.told() == ["LEDGER_UNPROVEN"], "told once"


def test_a_list_that_is_not_shown_is_a_matter_of_the_office(chamber):
    line = chamber.contribute(chamber.budget)
    chamber.close(line, says=LedgerHead(head="sha256:" + "7" * 64, rho_total_nano=10**9))
    chamber.documents.clear()
    chamber.word.check(chamber.trust.state)
    assert chamber.told() == ["LEDGER_UNPROVEN"]


@pytest.mark.parametrize("restored", ["backup", "deleted"])
def test_a_ledger_that_does_not_know_what_its_member_signed_stops_the_node(chamber, tmp_path, restored):
    """A backup from before the round, or a new file; the office says the truth, or a head that the backup knows."""
    (tmp_path / "newest").mkdir()
    newest = Budget(tmp_path / "newest" / "ledger.db")
    line = chamber.contribute(newest)
    says = newest.head() if restored == "backup" else chamber.budget.head()
    chamber.close(line, says=says)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            chamber.word.check(chamber.trust.state)
        assert (caught.value.code, caught.value.values["reason"]) == ("GUARD", "ledger")
    with pytest.raises(Refused, match="not the one that the log has seen"):
        chamber.checked()


def test_client_node_check_compares_the_ledger_with_the_log(chamber):
    chamber.close(chamber.contribute(chamber.budget), says=chamber.budget.head())
    assert chamber.checked() == f"{COST} nano-rho"


def test_a_copied_disk_is_stopped_though_it_has_contributed_to_the_same_round(chamber, tmp_path):
    (tmp_path / "copy").mkdir()
    other = Budget(tmp_path / "copy" / "ledger.db")
    other.reserve(Spend("receivables", Unit.ROW, "train", 1, NOTHING, 1), CAPS)
    line = chamber.contribute(other)
    chamber.contribute(chamber.budget)
    chamber.close(line, says=other.head())
    with pytest.raises(Refused):
        chamber.word.check(chamber.trust.state)


@pytest.mark.parametrize("forged", ["by the office", "of another round", "by another member"])
def test_a_line_that_this_member_did_not_sign_for_that_round_stops_nobody(chamber, forged):
    changes = {"round": 2} if forged == "of another round" else {}
    signer = {"by the office": chamber.trust.office, "by another member": chamber.trust.firms[1].node}.get(forged)
    line = chamber.said(signer, **changes)
    chamber.close(line, says=LedgerHead(head=NOTHING, rho_total_nano=1))
    chamber.word.check(chamber.trust.state)
    assert set(chamber.told()) == {"LEDGER_UNPROVEN"}
