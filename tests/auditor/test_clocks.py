"""Clocks that are wrong by up to two years, alone and together: no data outside a consent,
and nobody blamed for nothing.

Everybody's clock is right when the consents are given. Then a round is ordered and opened by an honest office, by its
clock; each node asks its guard, by its own; the witnesses cosign by theirs. The auditor needs no clock.
"""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch

import pytest

import simulator
from auditor.evidence.reader import Folder
from auditor.verify import verify
from client_node.ledger.ledger import Budget
from client_node.rounds.guard import Limits, authorise
from contracts.errors import Refused
from contracts.fields import time_text
from contracts.log.checkpoint import Checkpoint, Note, cosign_note, parse_line, sign_checkpoint, witness_name
from contracts.log.merkle import leaf_hash, root
from contracts.log.pins import Pins
from contracts.rules.budgets import consenting_members
from golden import PLAN, Documents, Fixed
from simulator import NOTHING, ORIGIN

GIVEN, ENDS = datetime(2026, 3, 1, 8, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
WITHIN, AFTER = datetime(2026, 6, 1, 8, tzinfo=UTC), datetime(2026, 10, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = [-730, -365, -122, -31, -1, 0, 1, 31, 122, 365, 730]
LIMITS = Limits(10**12, 10**12, 10**12, "1e-6")


class World(Documents):
    """Four members; `wrong` says by how much the clocks of office, nodes and witnesses are
    off from the true time on."""

    def __init__(self, folder):
        self.fixed, self.folder, self.kept = Fixed(), folder, []
        self.wrong = SimpleNamespace(office=timedelta(0), nodes=timedelta(0), witnesses=timedelta(0), most=False)
        with patch.multiple(simulator, Ed25519PrivateKey=self.fixed, new_id=self.fixed.new_id):
            super().__init__(self.fixed, edition=2, valid_from="2020-01-01T00:00:00Z", valid_to="2035-01-01T00:00:00Z")
        self.admit()
        self.now = GIVEN
        for firm in self.firms:
            self.consent(firm, expires_at=time_text(ENDS))
        self.witness()

    def stamp(self):
        """By the office's clock; the true time goes on by two seconds."""
        self.now += timedelta(seconds=2)
        with patch.object(simulator, "new_id", self.fixed.new_id):
            return {"record_id": simulator.new_id(), "issued_at": time_text(self.now + self.wrong.office)}

    def witness(self):
        """A checkpoint under the witnesses' clocks, of whom a minority or the most are wrong."""
        size = len(self.entries)
        note = sign_checkpoint(Checkpoint(ORIGIN, size, root([leaf_hash(e) for e in self.entries])), self.log_key)
        off = [
            self.wrong.witnesses if self.wrong.most or n < (len(self.firms) - 1) // 2 else timedelta(0)
            for n in range(9)
        ]
        lines = [
            cosign_note(note, f.witness, name=witness_name(ORIGIN, f.member), time=int((self.now + by).timestamp()))
            for f, by in zip(self.firms, off, strict=False)
        ]
        self.kept.append(Note(note.checkpoint, (*note.signatures, *map(parse_line, lines))))

    def note(self, size=None):
        return self.kept[-1] if self.kept and size in (None, self.kept[-1].checkpoint.size) else super().note(size)

    def say(self, predicate, *keys):
        """An honest office appends nothing that breaks a rule."""
        before = self.state, len(self.entries), list(self.findings)
        found = super().say(predicate, *keys)
        if found:
            (self.state, size, self.findings) = before
            del self.entries[size:]
        return found

    def permitted(self):
        """Members whose guard lets them compute, by their clock."""
        now, found = time_text(self.now + self.wrong.nodes), []
        for firm in self.firms:
            budget = Budget(self.folder / f"{len(self.entries)}-{firm.member[-4:]}.db")
            try:
                authorise(
                    self.state,
                    firm.member,
                    run=self.run.run,
                    open_index=self.run.rounds[-1].open_index,
                    witnessed=len(self.entries),
                    since=0,
                    bundle=NOTHING,
                    budget=budget,
                    limits=LIMITS,
                    withdrawn=False,
                    now=now,
                )
                found.append(firm)
            except Refused:
                continue
        return found

    def line(self, firm, values):
        with patch.object(self.wrong, "office", self.wrong.nodes):
            return super().line(firm, values)

    def learn(self):
        """One round as honest parties make it; True if data were used."""
        issued = self.now + self.wrong.office
        ends = time_text(issued + timedelta(hours=1))
        if self.order(plan=PLAN, model_start=self.terms.start_models[0], deadline_s=600, expires_at=ends):
            return False
        self.witness()
        if len(consenting_members(self.state, self.run, time_text(self.now + self.wrong.office))) < 3:
            return False
        if self.open(deadline_s=600):
            return False
        self.witness()
        used = bool(self.permitted())
        if used:
            with patch.object(self, "open", lambda: None):
                self.combine(1)
        else:
            self.abort()
        self.witness()
        return used

    def audited(self):
        folder = self.folder / "log"
        pins = Pins.model_validate(self.write(folder))
        for note in self.kept:
            (folder / "checkpoints" / str(note.checkpoint.size)).write_text(note.text(), encoding="utf-8")
        (folder / "documents").mkdir(exist_ok=True)
        for name, data in self.documents.items():
            (folder / "documents" / name.removeprefix("sha256:")).write_bytes(data)
        return verify(Folder(folder), pins)


def test_right_clocks_learn_within_the_consent_and_not_after_it(tmp_path):
    for at, used in ((WITHIN, True), (AFTER, False)):
        (tmp_path / str(used)).mkdir()
        world = World(tmp_path / str(used))
        world.now = at
        assert world.learn() is used
        assert world.audited().findings() == []


WHOSE = {
    "office": {"office"},
    "nodes": {"nodes"},
    "a minority of the witnesses": {"witnesses"},
    "office and nodes": {"office", "nodes"},
    "office and a minority of the witnesses": {"office", "witnesses"},
    "nodes and a minority of the witnesses": {"nodes", "witnesses"},
    "most of the witnesses": {"witnesses", "most"},
    "everybody": {"office", "nodes", "witnesses", "most"},
}


@pytest.mark.parametrize("at", [WITHIN, AFTER])
@pytest.mark.parametrize("whose", WHOSE)
@pytest.mark.parametrize("days", STEPS)
def test_wrong_clocks_use_no_data_outside_a_consent_and_blame_nobody_for_nothing(tmp_path, whose, days, at):
    world, wrong = World(tmp_path), WHOSE[whose]
    world.now = at
    for who in wrong - {"most"}:
        setattr(world.wrong, who, days * DAY)
    world.wrong.most = "most" in wrong
    used = world.learn()
    verdict = world.audited()
    codes = {finding.code for finding in verdict.findings()}
    if at is AFTER and not {"office", "nodes"} <= wrong:
        assert not used, "one right clock, of node or office, is enough"
    assert codes <= {"TIME_OUT_OF_WINDOW", "CONSENT_ENDED"}, "no other code says anything about time"
    if days == 0 or not {"office", "most"} & wrong:
        assert codes == set(), "an office whose clock is right is not blamed, whatever a minority says"
    if codes:
        sentences = [text for step in verdict.steps for text, _ in step.said]
        assert any("nobody can tell" in text for text in sentences)
    if used and at is AFTER and not {"witnesses"} & wrong:
        assert codes, "what right witnesses have seen gives both wrong clocks away"
