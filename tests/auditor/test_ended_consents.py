"""A consent that has ended brings nothing: the audit compares every use with what members and
witnesses say about time."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest

import simulator
from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.fields import time_text
from contracts.log.pins import Pins
from contracts.statements.statements import Erased, Erasure
from golden import PLAN, Documents, Fixed

ENDS = datetime(2026, 2, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


class Office(Documents):
    """An office that says what time it is, and members whose own clocks say otherwise."""

    def __init__(self):
        fixed = Fixed()
        with patch.object(simulator, "Ed25519PrivateKey", fixed), patch.object(simulator, "new_id", fixed.new_id):
            super().__init__(fixed)
        self.kept, self.members_now = [], None
        for firm in self.firms:
            self.consent(firm, expires_at=time_text(ENDS))
        self.order(plan=PLAN, model_start=self.terms.start_models[0])

    def stamp(self):
        with patch.object(simulator, "new_id", self.fixed.new_id):
            return super().stamp()

    def witness(self, at=None):
        """A checkpoint that everyone cosigns at a time; the office keeps it."""
        now, self.now = self.now, at or self.now
        self.kept.append(self.note())
        self.now = now

    def line(self, firm, values):
        """As the member's clock has it."""
        now, self.now = self.now, self.members_now or self.now
        said = super().line(firm, values)
        self.now = now
        return said

    def used(self, *, seen_at=None, members_now=None, between=0):
        """One round dated within every consent; its opening is cosigned, and contributed to, when it really was."""
        self.members_now = members_now
        opens = self.open

        def open_and_witness():
            opens()
            for _ in range(between):
                self.refuse(self.firms[0], "restarted", open=self.run.open_round().open_index)
            self.witness(seen_at)

        with patch.object(self, "open", open_and_witness):
            self.combine(1)

    def audited(self, folder, *, lists=True):
        pins = Pins.model_validate(self.write(folder))
        for note in self.kept:
            (folder / "checkpoints" / str(note.checkpoint.size)).write_text(note.text(), encoding="utf-8")
        (folder / "documents").mkdir(exist_ok=True)
        left_out = set() if lists else {r.closed.list_document for r in self.run.rounds if r.closed}
        for name, data in self.documents.items():
            if name not in left_out:
                (folder / "documents" / name.removeprefix("sha256:")).write_bytes(data)
        assert self.findings == []
        return verify(Folder(folder), pins)


@pytest.fixture
def office():
    made = Office()
    made.witness()
    return made


def found(verdict, code="CONSENT_ENDED"):
    return [f for f in verdict.findings() if f.code == code]


def untold(verdict):
    return [values["index"] for text, values in verdict.steps[7].not_checked if "had ended" in text]


def test_a_consent_in_force_is_clean(office, tmp_path):
    office.used()
    verdict = office.audited(tmp_path)
    assert verdict.findings() == [] == untold(verdict)


@pytest.mark.parametrize("lists", [True, False])
def test_one_checkpoint_after_an_opening_that_was_dated_back_gives_the_office_away(office, tmp_path, lists):
    office.used(seen_at=JUNE, members_now=JUNE)
    office.now = JUNE
    verdict = office.audited(tmp_path, lists=lists)
    assert len(found(verdict)) == 3, "each member whose consent was used"
    assert {f.rule for f in found(verdict)} == {"I33"}
    assert found(verdict)[0].index == office.run.rounds[0].open_index


def test_the_members_own_clock_is_enough(office, tmp_path):
    office.used(members_now=JUNE)
    assert len(found(office.audited(tmp_path))) == 3


def test_a_consent_that_had_not_begun_was_used_too_early(office, tmp_path):
    office.used(members_now=office.now - timedelta(days=9))
    assert len(found(office.audited(tmp_path))) == 3


def test_an_opening_that_was_not_there_after_the_end_was_used_after_it(office, tmp_path):
    """Whatever lies between: the checkpoint before the opening is cosigned after the end already."""
    office.refuse(office.firms[0], "restarted", open=0)
    office.witness(JUNE)
    office.used(seen_at=JUNE, between=2)
    assert len(found(office.audited(tmp_path, lists=False))) == 3


def test_a_checkpoint_that_may_have_been_kept_back_accuses_nobody(office, tmp_path):
    """The one at hand covers more than the opening: an older one could have shown it in time."""
    office.used(seen_at=JUNE, between=1)
    verdict = office.audited(tmp_path)
    assert found(verdict) == [] and untold(verdict) == [office.run.rounds[0].open_index]


def test_a_list_that_is_withheld_or_erased_accuses_nobody(office, tmp_path):
    office.used()
    office.now = JUNE
    verdict = office.audited(tmp_path / "withheld", lists=False)
    assert verdict.findings() == [] and untold(verdict) == [office.run.rounds[0].open_index]
    closed = office.run.rounds[0].closed
    gone = Erasure(
        **office.stamp(), documents=(Erased(document=closed.list_document, part="document"),), ground="authority"
    )
    office.say(gone, office.office)
    verdict = office.audited(tmp_path / "erased", lists=False)
    assert found(verdict) == [] and untold(verdict) == [office.run.rounds[0].open_index]
    verdict = office.audited(tmp_path / "whole")
    assert found(verdict) == [] == untold(verdict)


def test_a_list_that_nobody_needs_is_not_missed(office, tmp_path):
    """The round itself was cosigned while every consent held."""
    office.used()
    office.witness()
    office.now = JUNE
    verdict = office.audited(tmp_path, lists=False)
    assert verdict.findings() == [] == untold(verdict)


@pytest.mark.parametrize(("seconds", "times"), [(60, 0), (61, 3)])
def test_a_minute_is_the_skew_of_two_clocks(office, tmp_path, seconds, times):
    office.used(members_now=ENDS + timedelta(seconds=seconds - 60))  # a line is stamped a minute later
    assert len(found(office.audited(tmp_path))) == times


def test_a_consent_that_was_renewed_in_time_holds_on(office, tmp_path):
    for firm in office.firms:
        office.consent(firm, "renew", expires_at="2026-12-31T00:00:00Z")
    office.used(seen_at=JUNE, members_now=JUNE)
    assert found(office.audited(tmp_path)) == []
