"""The eight steps of an audit, numbered as in docs/reference/audit.md. Nothing here asks the coordinator to be honest.

1 checkpoint and its signature · 2 cosignatures · 3 entries rebuild the root · 4 the log extends every state seen ·
5 every envelope opens · 6 the rules · 7 budgets recomputed · 8 models, contributions and releases

Steps 3, 5 and 6 are one pass over the entries, one bundle in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from auditor.evidence.reader import Evidence, Remembered, read_bundles, read_note
from auditor.evidence.tile_files import TileFiles, other_files
from auditor.findings import AuditStep, Verdict, never_silent
from auditor.steps.step2_cosignatures import Cosignatures, Witnessed
from auditor.steps.step3_tree import Rebuild, TiledTree
from auditor.steps.step4_receipts import Receipts
from auditor.steps.step4_views import compare, compare_seen, kept_checkpoints, pinned_view
from auditor.steps.step6_open_matters import Suspects, check_answers
from auditor.steps.step6_times import Clock
from auditor.steps.step7_budgets import check_budgets
from auditor.steps.step8_ledgers import ShownLedger, of_statement
from auditor.steps.step8_models import check_models
from contracts.envelope import digest
from contracts.errors import Malformed, Unavailable
from contracts.log.checkpoint import Note, verify_log_signature
from contracts.log.pins import Pins
from contracts.rules.fold import apply_read, read
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.signed import Statement
from contracts.statements.statements import AuditReport, Comparison, Refusal, Rollback, Seen
from contracts.wording import N_

Tick = Callable[[int, int], None]


def verify(evidence: Evidence, pins: Pins, tick: Tick = lambda done, size: None) -> Verdict:
    """Check everything that the evidence holds against a member's pins.

    Raises Unavailable if the log itself is absent; whatever is present and wrong is a finding.
    """
    evidence = Remembered(evidence)
    note, signed = _checkpoint(evidence, pins)
    if note is None:
        return Verdict([signed], 0, "")
    replay = Replay(evidence, note, pins)
    replay.run(tick)
    tree = None if replay.rebuilt.findings else TiledTree(evidence, replay.state.size)
    with never_silent(replay.extends, lambda: evidence.last):
        _compare_rest(replay, tree)
    with never_silent(replay.rebuilt, lambda: evidence.last):
        other_files(evidence, pins.log(), replay.state, replay.rebuilt, size=note.checkpoint.size)
    with never_silent(replay.cosigned.step, lambda: "checkpoint"):
        replay.cosigned.conclude(note, replay.state, pins)
    steps = [
        signed,
        replay.cosigned.step,
        replay.rebuilt,
        replay.extends,
        replay.opened,
        replay.rules,
        check_budgets(replay.state),
        check_models(replay.state, evidence, tree, replay.witnessed, replay.ledgers),
    ]
    met = replay.cosigned.met.get(note.checkpoint.size)
    return Verdict(
        steps, note.checkpoint.size, note.checkpoint.root.hex(), replay.state, seen_at=met.at if met else None
    )


def verify_structure(evidence: Evidence, pins: Pins, tick: Tick = lambda done, size: None) -> Verdict:
    """Steps 1, 3 and 4 alone: one log, append-only, whole. What its entries say is not looked at."""
    evidence = Remembered(evidence)
    note, signed = _checkpoint(evidence, pins)
    if note is None:
        return Verdict([signed], 0, "")
    structure = Structure(evidence, note, pins)
    structure.run(tick)
    structure.extends.skip(N_("cosignatures, statements, rules, budgets and models: only the structure was asked for"))
    return Verdict([signed, structure.rebuilt, structure.extends], note.checkpoint.size, note.checkpoint.root.hex())


def _checkpoint(evidence: Evidence, pins: Pins) -> tuple[Note | None, AuditStep]:
    step = AuditStep(1, N_("checkpoint and its signature"))
    with never_silent(step, lambda: "checkpoint"):
        note = read_note(evidence, "checkpoint")
        verify_log_signature(note, pins.log())
        step.detail = f"size {note.checkpoint.size}  root {note.checkpoint.root.hex()[:16]}"
        return note, step
    return None, step


class Structure:
    """One pass over the entries (I4): the tree (step 3), and every view of the log that is at hand (step 4)."""

    def __init__(self, evidence: Remembered, note: Note, pins: Pins):
        self.evidence, self.note, self.pins = evidence, note, pins
        self.rebuilt = AuditStep(3, N_("entries rebuild the root"))
        self.extends = AuditStep(4, N_("the log extends every state that was seen"))
        self.receipts = Receipts(evidence, pins, self.extends)
        kept = kept_checkpoints(evidence, pins.log(), self.extends)
        self.views = [pinned_view(pins), *kept, *self.receipts.views()]
        self.tree = Rebuild({note.checkpoint.size, *(view.size for view in self.views)})
        self.genesis = ""
        self.further: dict[int, bytes] = {}
        self.waiting = note.checkpoint.size

    def run(self, tick: Tick) -> None:
        """Take every bundle; a torn one ends the pass, and what stands behind it is said to be unchecked."""
        with never_silent(self.rebuilt, lambda: self.evidence.last):
            self._rebuild(tick)
        with never_silent(self.extends):
            self._compare()

    def _rebuild(self, tick: Tick) -> None:
        size = self.note.checkpoint.size
        files = TileFiles(self.evidence, size, self.rebuilt)
        try:
            for name, entries in read_bundles(self.evidence, size, lambda done: tick(done, size)):
                self.genesis = self.genesis or digest(entries[0])
                start = self.tree.size
                for tile, data in self.tree.take(entries):
                    files.compare(tile, data)
                files.bundle(name, entries)
                self.read(start, entries)
        except Malformed as error:
            self.rebuilt.caught(error, str(error.values.get("path", "")))
            self.rebuilt.skip(N_("entries from {index} on could not be read"), index=self.tree.size)
        else:
            for tile, data in self.tree.unfinished():
                files.compare(tile, data)
            self._further()
            self._conclude(files)
        self.rebuilt.detail = str(self.tree.size)

    def _further(self) -> None:
        """Roots beyond the newest checkpoint that a quorum cosigned, as far as the log has signed and shows them:
        witnesses may be asleep, and whoever gave the pins may have seen more than they have."""
        size = self.note.checkpoint.size
        signed = {view.size: view.root for view in self.views if view.note and view.file and view.size > size}
        for waiting in sorted(signed, reverse=True):
            try:
                bundles = (entries for _, entries in read_bundles(self.evidence, waiting, start=size))
                roots = self.tree.further(bundles, [view.size for view in self.views])
            except (Unavailable, Malformed):
                continue
            self.further = roots
            if roots[waiting] == signed[waiting]:
                self.waiting = waiting
            return

    def _compare(self) -> None:
        self.extends.detail = f"{self.pins.size} → {self.note.checkpoint.size}  ({len(self.views)})"
        compare(self.extends, self.note, self.tree.roots | self.further, self.views)
        if self.waiting > self.note.checkpoint.size:
            self.extends.say(
                N_("{n} more entries are signed and wait for cosignatures; what they say was not judged"),
                n=self.waiting - self.note.checkpoint.size,
            )
        self.receipts.conclude()
        if self.genesis and self.genesis != self.pins.genesis:
            self.extends.add("GENESIS", N_("the first entry is not the pinned one"), "tile/entries/000")

    def read(self, start: int, entries: list[bytes]) -> None:
        """Look at the entries of a bundle, of which the first has index `start`."""
        for index, entry in enumerate(entries, start):
            self.receipts.entry(index, entry)

    def _conclude(self, files: TileFiles) -> None:
        rooted = self.tree.root() == self.note.checkpoint.root
        files.conclude(rooted, self.waiting)
        if not rooted and not self.rebuilt.findings:
            self.rebuilt.add("TREE_MISMATCH", N_("the entries do not lead to the signed root"), "tile/entries")


class Replay(Structure):
    """The same pass, and what the entries say: cosignatures (step 2), envelopes (step 5), rules and times (step 6)."""

    def __init__(self, evidence: Remembered, note: Note, pins: Pins):
        super().__init__(evidence, note, pins)
        signed = [("checkpoint", note), *((view.file, view.note) for view in self.views if view.note)]
        self.cosigned = Cosignatures(signed, pins.log())
        self.opened = AuditStep(5, N_("statements open under admitted keys"))
        self.rules = AuditStep(6, N_("replay of the rules"))
        self.state: TrustState = EMPTY
        self.seen: list[tuple[int, Seen]] = []
        self.witnessed: list[Witnessed] = []
        self.ledgers: list[ShownLedger] = []
        self._clock = Clock(self.rules)
        self._suspects = Suspects(self.rules)

    def run(self, tick: Tick) -> None:
        """See Structure."""
        super().run(tick)
        with never_silent(self.rules):
            self._clock.conclude()
            check_answers(self.rules, self.state, self.cosigned.met.get(self.note.checkpoint.size))
        self.opened.skip(  # I30
            N_(
                "DUAL_SIGNATURE: no second (SM2) signature stands beside the Ed25519 ones, since no agreement "
                "can demand it yet"
            )
        )
        self.opened.detail = self.rules.detail = str(self.state.size)

    def read(self, start: int, entries: list[bytes]) -> None:
        """See Structure."""
        super().read(start, entries)
        for index, entry in enumerate(entries, start):
            with never_silent(self.rules, lambda: f"#{index}"):  # noqa: B023 (it is asked at once)
                self._fold(index, entry)

    def _fold(self, index: int, entry: bytes) -> None:
        statement = read(entry)
        self.state, findings = apply_read(self.state, statement, index)
        if isinstance(statement, Statement) and not findings:
            self._listen(index, statement)
        for finding in findings:
            (self.opened if finding.rule in ("I1", "I2") else self.rules).findings.append(finding)
        self.receipts.served(self.state)
        seen = self.cosigned.at(self.state)
        if seen and self.tree.roots.get(seen.size) == seen.root:
            self.witnessed.append(seen)
            self._clock.checkpoint(seen)
            self._suspects.checkpoint(seen)

    def _listen(self, index: int, statement: Statement) -> None:
        """When a statement was made, by whom, and on which log; what consents had seen is in the state."""
        said = statement.said
        self._clock.entry(index, said)
        shown = of_statement(self.state, index, said)
        self.ledgers += [shown] if shown else []
        if isinstance(said, AuditReport):
            self.seen.append((index, Seen(size=said.size, root=said.root)))
        elif isinstance(said, Refusal | Comparison):
            self.seen.append((index, said.seen))
        if isinstance(said, Rollback):
            self.receipts.rollback(said.gone, said.order)
        self._suspects.entry(index, said, [signature.keyid for signature in statement.envelope.signatures])


def _compare_rest(replay: Replay, tree: TiledTree | None) -> None:
    """What statements say they had seen, only on a tree that was found right."""
    if tree is None:
        replay.extends.skip(N_("what statements had seen was not compared: the tree itself is wrong"))
        return
    replay.receipts.compare_seen(tree)
    replay.receipts.doubt(replay.state)
    consents = ((event.index, event.consent.seen) for event in replay.state.consent_events())
    compare_seen(replay.extends, sorted((*consents, *replay.seen), key=lambda one: one[0]), tree)
