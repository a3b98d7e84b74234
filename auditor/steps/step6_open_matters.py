"""What is left open when a whole log has been read: matters that nobody answered, words under a key that others may hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from auditor.findings import Step
from auditor.steps.step2_cosignatures import Witnessed
from contracts.fields import time_text
from contracts.rules.findings import Finding
from contracts.rules.incidents import FOLLOW_UP_DAYS, late_matters
from contracts.rules.state import TrustState
from contracts.wording import N_


def check_answers(step: Step, state: TrustState, seen: Witnessed | None) -> None:
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
    """Entries since the last cosigned checkpoint before their key was reported as compromised: nobody can tell whose."""

    def __init__(self, step: Step):
        self._step = step
        self._since: dict[str, tuple[int, int]] = {}  # KeyId -> (first entry, number of entries)

    def entry(self, index: int, signers: Iterable[str], compromised: str | None) -> None:
        """Count an entry for its signers; if it reports a key, say how much that leaves in doubt."""
        first, n = self._since.get(compromised or "", (0, 0))
        if n:
            self._step.skip(
                N_(
                    "entry {index} reports key {key} as compromised: {n} entries under it, the first is entry {first},"
                    " lie above the last cosigned checkpoint and may not be its owner's"
                ),
                index=index,
                key=compromised,
                n=n,
                first=first,
            )
        for keyid in signers:
            first, n = self._since.get(keyid, (index, 0))
            self._since[keyid] = first, n + 1

    def checkpoint(self) -> None:
        """A quorum has seen everything so far."""
        self._since.clear()
