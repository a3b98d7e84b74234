"""What is left open when a whole log has been read: matters that nobody answered, words under a
key that others may hold."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime

from auditor.findings import AuditStep
from auditor.steps.step2_cosignatures import Witnessed
from contracts.fields import moment, time_text
from contracts.rules.findings import Finding
from contracts.rules.incidents import FOLLOW_UP_DAYS, late_matters
from contracts.rules.state import TrustState
from contracts.statements.requests import MAX_SKEW_S
from contracts.statements.statements import KeyState, Predicate
from contracts.wording import N_


def check_answers(step: AuditStep, state: TrustState, seen: Witnessed | None) -> None:
    """I28: at the time of the newest cosigned checkpoint no matter has waited too long."""
    if seen is None:
        waiting = sum(not matter.answered for matter in state.matters.values())
        if waiting:
            step.skip(N_("{n} matters wait for an answer; no cosigned checkpoint says since when"), n=waiting)
        return
    for matter in late_matters(state, time_text(datetime.fromtimestamp(seen.at, UTC))):
        values: dict[str, object] = {"index": matter.index, "since": matter.since, "days": FOLLOW_UP_DAYS}
        what = N_("entry {index} has waited since {since}: nobody answered it in {days} days")
        step.findings.append(Finding("FOLLOW_UP", matter.index, "I28", what, values))


class Suspects:
    """Entries under a key that may be younger than the report that it was compromised: nobody can tell whose they are.

    The order of the log decides, not the seconds that stand in it: an entry is older than the report only if a cosigned
    checkpoint covers it and not the report, and if it was there a minute before the report says that it was made. It
    was not there before the checkpoint that does not cover it, whatever date it has.
    """

    def __init__(self, step: AuditStep):
        self._step = step
        self._under: dict[str, tuple[array[int], array[float]]] = {}  # KeyId -> entries, and since when each was there
        self._covered, self._seen_at = 0, 0

    def entry(self, index: int, said: Predicate, signers: Iterable[str]) -> None:
        """Remember an entry for its signers; if it reports a key, say how much that leaves in doubt."""
        issued = moment(said.issued_at).timestamp()
        if isinstance(said, KeyState) and said.state == "compromised":
            self._report(index, said.key, issued)
        for keyid in signers:
            entries, times = self._under.setdefault(keyid, (array("q"), array("d")))
            entries.append(index)
            times.append(max(issued, self._seen_at))

    def _report(self, index: int, key: str, issued: float) -> None:
        entries, times = self._under.get(key, (array("q"), array("d")))
        doubtful = [
            entry
            for entry, at in zip(entries, times, strict=True)
            if entry >= self._covered or at > issued - MAX_SKEW_S
        ]
        if doubtful:
            self._step.skip(
                N_(
                    "entry {index} reports key {key} as compromised: {n} entries under it, the first is entry {first},"
                    " are not surely older than the report and may not be its owner's"
                ),
                index=index,
                key=key,
                n=len(doubtful),
                first=doubtful[0],
            )

    def checkpoint(self, seen: Witnessed) -> None:
        """A quorum has seen everything so far."""
        self._covered, self._seen_at = seen.size, seen.at
