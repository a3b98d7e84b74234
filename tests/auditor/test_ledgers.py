"""What the office says of a member's ledger counts only under the member's own signature (edition 2)."""

from unittest.mock import patch

import pytest

import simulator
from auditor.evidence.reader import Folder
from auditor.steps.step8_ledgers import ShownLedger, resets
from auditor.verify import verify
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.pins import Pins
from contracts.statements.statements import LedgerHead, Seen
from golden import PLAN, Documents, Fixed
from simulator import NOTHING

COST = PLAN.rho_nano()


def head(total):
    return LedgerHead(head=NOTHING, rho_total_nano=total)


class Office(Documents):
    """A trust with documents; the office says of ledgers what it likes."""

    def __init__(self, edition):
        self.fixed = Fixed()
        with self.fixed_names():
            super().__init__(self.fixed, edition=edition)
        for firm in self.firms:
            self.consent(firm)
        self.order(plan=PLAN, model_start=self.terms.start_models[0], deadline_s=600)
        self.books = {}

    def fixed_names(self):
        return patch.multiple(simulator, Ed25519PrivateKey=self.fixed, new_id=self.fixed.new_id)

    def stamp(self):
        with self.fixed_names():
            return super().stamp()

    def ledger(self, member, cost=0):
        """What the member itself says, whatever the office has said of it."""
        return head(getattr(self, "books", {}).get(member, 0) + cost)

    def seen(self):
        return Seen(size=len(self.entries), root="sha256:" + Tree(map(leaf_hash, self.entries)).root().hex())

    def open(self, **changes):
        return super().open(deadline_s=600, **changes)

    def learn(self, round, says=None):
        """A round after which every member's book stands one release higher; of the first the
        office `says` something else."""
        members = sorted(firm.member for firm in self.firms)
        said = tuple((m, head(says) if says and m == members[0] else self.ledger(m, COST)) for m in members)
        self.combine(round, ledgers=said)
        self.books = {m: self.books.get(m, 0) + COST for m in members}

    def audited(self, folder):
        pins = Pins.model_validate(self.write(folder))
        (folder / "documents").mkdir(exist_ok=True)
        for name, data in self.documents.items():
            (folder / "documents" / name.removeprefix("sha256:")).write_bytes(data)
        return [(f.code, getattr(f, "index", None)) for f in verify(Folder(folder), pins).findings()]


def first_of(office):
    return min(office.firms, key=lambda firm: firm.member)


@pytest.mark.parametrize("says", [COST + 1, 10**9, 1])
def test_a_false_word_of_the_office_is_the_offices_fault(tmp_path, says):
    office = Office(edition=2)
    office.learn(1, says=says)
    office.learn(2)
    assert office.consent(first_of(office), "amend", seen=office.seen()) == (), "the member's true word passes"
    assert office.findings == []
    assert [code for code, _ in office.audited(tmp_path)] == ["LEDGER_UNPROVEN"]


def test_under_edition_1_verdicts_stay(tmp_path):
    office = Office(edition=1)
    office.learn(1, says=10**9)
    office.consent(first_of(office), "amend")
    assert [f.code for f in office.findings] == ["BUDGET_RESET"]
    assert sorted(code for code, _ in office.audited(tmp_path)) == ["BUDGET_REPORT", "BUDGET_RESET"]


def test_true_words_are_clean_in_both_editions(tmp_path):
    for edition in (1, 2):
        office = Office(edition)
        office.learn(1)
        office.learn(2)
        office.consent(first_of(office), "amend", seen=office.seen())
        assert office.findings == [] == office.audited(tmp_path / str(edition))


def test_a_restored_backup_is_found_by_what_the_member_signed_in_lists(tmp_path):
    office = Office(edition=2)
    office.learn(1)
    office.books = {}
    assert office.consent(first_of(office), "amend", seen=office.seen()) == (), "the log alone does not show it"
    assert office.audited(tmp_path) == [("BUDGET_RESET", len(office.entries) - 1)]


def test_a_restored_backup_that_contributes_is_found(tmp_path):
    office = Office(edition=2)
    office.learn(1)
    office.books = {first_of(office).member: -1, **{f.member: COST for f in office.firms if f is not first_of(office)}}
    office.learn(2)
    assert office.audited(tmp_path) == [("BUDGET_RESET", len(office.entries) - 1)]


def test_a_consent_of_before_the_log_showed_more_is_no_reset(tmp_path):
    """The member signs while a round is recorded: it had not seen that one."""
    office = Office(edition=2)
    seen = office.seen()
    before = office.ledger(first_of(office).member)
    office.learn(1)
    office.consent(first_of(office), "amend", seen=seen, ledger=before)
    assert office.audited(tmp_path) == []


def shown(seen, index, total, *, listed=True, binds=True):
    return ShownLedger("m", seen, index, total, listed, binds)


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ([shown(3, 9, 10), shown(4, 7, 20)], []),  # two runs at once: nobody knows which was first
        ([shown(3, 7, 20), shown(8, 9, 10)], [9]),
        ([shown(3, 7, 20), shown(7, 9, 10)], []),
        ([shown(3, 7, 20), shown(8, 9, 20)], []),
        ([shown(3, 7, 20), shown(8, 9, 10, binds=False)], []),
        ([shown(3, 7, 20, listed=False), shown(8, 9, 10, listed=False)], []),  # which the rules of the log find
        ([shown(3, 7, 20, binds=False), shown(8, 9, 10, listed=False)], [9]),
    ],
)
def test_a_head_is_below_another_only_if_that_was_surely_before(heads, found):
    assert [finding.index for finding in resets(heads)] == found
