"""Step 2: who cosigned each checkpoint, by the keys that were live at its size; and what time that proves."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from auditor.findings import AuditStep
from contracts.envelope import key_id
from contracts.errors import TrustError
from contracts.log.checkpoint import Note, NoteKey, parse_vkey
from contracts.log.pins import Pins
from contracts.log.quorum import Quorum
from contracts.rules.state import TrustState
from contracts.wording import N_


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A checkpoint that a quorum cosigned, and when it had been seen (Unix): the earliest time that no minority of the
    witnesses can have made up."""

    size: int
    root: bytes
    at: int


class Cosignatures:
    """Asked at each size for which a checkpoint is at hand, with the state that the log had then."""

    def __init__(self, notes: Iterable[tuple[str, Note]], log: NoteKey):
        self.step = AuditStep(2, N_("cosignatures of members and auditors"))
        self.met: dict[int, Witnessed] = {}
        self._log = log
        self._notes: defaultdict[int, list[tuple[str, Note]]] = defaultdict(list)
        for file, note in notes:
            self._notes[note.checkpoint.size].append((file, note))

    def at(self, state: TrustState) -> Witnessed | None:
        """The quorum of the checkpoint of this size, if there is one and it holds."""
        if state.size in self._notes:
            quorum = state.quorum_at(state.size)
            for file, note in self._notes[state.size]:
                self._check(file, note, quorum)
        return self.met.get(state.size)

    def _check(self, file: str, note: Note, quorum: Quorum) -> None:
        try:
            found = quorum.cosigners(note, self._log)
        except TrustError as error:
            self.step.caught(error, file)
            return
        if file == "checkpoint":
            self.step.detail = f"{len(found)}/{len(quorum.keys())} ({quorum.of_members}+{quorum.of_auditors})"
        if quorum.is_met(found):
            size = note.checkpoint.size
            self.met[size] = Witnessed(size, note.checkpoint.root, quorum.time(found))

    def conclude(self, newest: Note, state: TrustState, pins: Pins) -> AuditStep:
        """The newest checkpoint needs its quorum, rounds need one before they end, pinned witnesses keep their keys."""
        size = newest.checkpoint.size
        if state.size < size:
            self.step.skip(N_("whose cosignatures count: the entries that say so could not be read"))
        elif size not in self.met and not self.step.findings:
            self.step.add(
                "QUORUM", N_("the checkpoint of size {size} lacks its quorum of cosignatures"), "checkpoint", size=size
            )
        self._rounds(state)
        live = state.witnesses()
        for name, vkey in pins.cosigners.items():
            if name in live and live[name].vkey() != vkey and not _was_ended(state, vkey):
                self.step.add("KEY_ROTATION", N_("the witness key of {name} is not the pinned one"), name=name)
        if not state.quorum_at(state.size).auditors:
            self.step.skip(N_("no auditor cosigns this log: the auditors' half of the quorum does not exist"))
        return self.step

    def _rounds(self, state: TrustState) -> None:
        """I5: data are asked for only once a quorum has seen the round opened, so a checkpoint between its opening and
        its cut-off has one."""
        held, met, unseen = sorted(self._notes), sorted(self.met), []
        for run in state.runs_in_order():
            for record in run.rounds:
                if record.closed is None or record.closed.outcome != "recorded":
                    continue
                span = record.open_index + 1, record.closed.cutoff
                if _first_within(met, *span) is not None:
                    continue
                size = _first_within(held, *span)
                if size is None:
                    unseen.append(record.open_index)
                    continue
                self.step.add(
                    "QUORUM",
                    N_("entry {index}: round {round} asked for data before a quorum had seen it opened"),
                    self._notes[size][0][0],
                    index=record.open_index,
                    round=record.opened.round,
                )
        if unseen:
            self.step.skip(
                N_(
                    "{n} rounds: no cosigned checkpoint at hand shows that they were witnessed, the first is "
                    "entry {index}"
                ),
                n=len(unseen),
                index=unseen[0],
            )


def _first_within(sizes: list[int], first: int, last: int) -> int | None:
    at = bisect_left(sizes, first)
    return sizes[at] if at < len(sizes) and sizes[at] <= last else None


def _was_ended(state: TrustState, vkey: str) -> bool:
    """The pinned key was retired in the log; whether its successor may follow it is a rule of the fold."""
    held = state.keys.get(key_id(parse_vkey(vkey).public))
    return held is not None and held.ended is not None
