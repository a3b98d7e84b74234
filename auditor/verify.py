"""The eight steps of an audit, numbered as in docs/reference/audit.md. Nothing here asks the coordinator to be honest.

1 checkpoint and its signature · 2 cosignatures · 3 entries rebuild the root · 4 the log extends every state seen ·
5 every envelope opens · 6 the rules · 7 budgets recomputed · 8 models, contributions and releases

Steps 3, 5 and 6 are one pass over the entries, one bundle in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from auditor.budgets import check_budgets
from auditor.cosigned import Cosignatures
from auditor.evidence import Evidence, read_bundles, read_note
from auditor.files import TileFiles, other_files
from auditor.findings import Step, Verdict
from auditor.models import check_models
from auditor.receipts import Receipts
from auditor.times import Clock
from auditor.tree import Rebuild
from auditor.views import compare, compare_seen, kept_checkpoints, pinned_view
from contracts.checkpoint import Note, verify_log_signature
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed
from contracts.pins import Pins
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState
from contracts.wording import N_

Tick = Callable[[int, int], None]


def verify(evidence: Evidence, pins: Pins, tick: Tick = lambda done, size: None) -> Verdict:
    """Check everything that the evidence holds against a member's pins.

    Raises Unavailable if the log itself is absent; whatever is present and wrong is a finding.
    """
    note, signed = _checkpoint(evidence, pins)
    if note is None:
        return Verdict([signed], 0, "")
    extends = Step(4, N_("the log extends every state that was seen"))
    receipts = Receipts(evidence, pins, extends)
    kept = kept_checkpoints(evidence, pins.log(), extends)
    views = [pinned_view(pins), *kept, *receipts.views()]
    cosigned = Cosignatures(
        [("checkpoint", note), *((view.file, view.note) for view in [*kept, *receipts.views()] if view.note)],
        pins.log(),
    )
    replay = Replay(evidence, note, {note.checkpoint.size, *(view.size for view in views)}, cosigned, receipts)
    replay.run(tick)
    extends.detail = f"{pins.size} → {note.checkpoint.size}  ({len(views)})"
    compare(extends, note, replay.tree.roots, views)
    receipts.conclude()
    _compare_rest(extends, replay, evidence, pins)
    other_files(evidence, pins.log(), replay.state, replay.rebuilt)
    steps = [
        signed,
        cosigned.conclude(note, replay.state, pins),
        replay.rebuilt,
        extends,
        replay.opened,
        replay.rules,
        check_budgets(replay.state),
        check_models(replay.state, evidence),
    ]
    met = cosigned.met.get(note.checkpoint.size)
    return Verdict(
        steps, note.checkpoint.size, note.checkpoint.root.hex(), replay.state, seen_at=met.middle if met else None
    )


def _checkpoint(evidence: Evidence, pins: Pins) -> tuple[Note | None, Step]:
    step = Step(1, N_("checkpoint and its signature"))
    try:
        note = read_note(evidence, "checkpoint")
        verify_log_signature(note, pins.log())
    except (Malformed, Invalid) as error:
        step.caught(error, "checkpoint")
        return None, step
    step.detail = f"size {note.checkpoint.size}  root {note.checkpoint.root.hex()[:16]}"
    return note, step


class Replay:
    """One pass over the entries (I4): cosignatures (step 2), tree (step 3), envelopes (step 5), rules and times (step 6)."""

    def __init__(
        self, evidence: Evidence, note: Note, sizes: Collection[int], cosigned: Cosignatures, receipts: Receipts
    ):
        self._evidence, self._note, self._cosigned, self._receipts = evidence, note, cosigned, receipts
        self.rebuilt = Step(3, N_("entries rebuild the root"))
        self.opened = Step(5, N_("statements open under admitted keys"))
        self.rules = Step(6, N_("replay of the rules"))
        self.tree = Rebuild(sizes)
        self._clock = Clock(self.rules)
        self.state: TrustState = EMPTY
        self.genesis = ""

    def run(self, tick: Tick) -> None:
        """Take every bundle; a torn one ends the pass, and what stands behind it is said to be unchecked."""
        size = self._note.checkpoint.size
        files = TileFiles(self._evidence, size, self.rebuilt)
        try:
            for name, entries in read_bundles(self._evidence, size, lambda done: tick(done, size)):
                for tile, data in self.tree.take(entries):
                    files.compare(tile, data)
                files.bundle(name, entries)
                self._fold(entries)
        except Malformed as error:
            self.rebuilt.caught(error, str(error.values.get("path", "")))
            self.rules.skip(N_("entries from {index} on could not be read"), index=self.state.size)
        else:
            for tile, data in self.tree.unfinished():
                files.compare(tile, data)
            self._conclude(files)
        self._clock.conclude()
        self.opened.skip(  # I30
            N_(
                "DUAL_SIGNATURE: no second (SM2) signature stands beside the Ed25519 ones, since no agreement can demand it yet"
            )
        )
        for step in (self.rebuilt, self.opened, self.rules):
            step.detail = str(self.state.size)

    def _fold(self, entries: list[bytes]) -> None:
        for entry in entries:
            self.genesis = self.genesis or digest(entry)
            self._receipts.entry(self.state.size, entry)
            self.state, findings = apply(self.state, entry, self.state.size)
            if not findings:
                self._clock.entry(self.state.size - 1, entry)
            for finding in findings:
                (self.opened if finding.rule in ("I1", "I2") else self.rules).findings.append(finding)
            seen = self._cosigned.at(self.state)
            if seen and self.tree.roots.get(seen.size) == seen.root:
                self._clock.checkpoint(seen)

    def _conclude(self, files: TileFiles) -> None:
        rooted = self.tree.root() == self._note.checkpoint.root
        files.conclude(rooted)
        if not rooted and not self.rebuilt.findings:
            self.rebuilt.add("TREE_MISMATCH", N_("the entries do not lead to the signed root"), "tile/entries")


def _compare_rest(step: Step, replay: Replay, evidence: Evidence, pins: Pins) -> None:
    """The pinned first entry, and what statements say they had seen (only on a tree that was found right)."""
    if replay.genesis and replay.genesis != pins.genesis:
        step.add("GENESIS", N_("the first entry is not the pinned one"), "tile/entries/000")
    if replay.rebuilt.findings:
        step.skip(N_("what statements had seen was not compared: the tree itself is wrong"))
    else:
        compare_seen(step, replay.state, evidence)
