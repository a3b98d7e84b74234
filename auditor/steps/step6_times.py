"""I7: cosigned checkpoints bound the real time of every entry between them, whatever its author's clock said.

An entry below a checkpoint existed when its quorum had seen it; an entry above one did not exist before. The time of a
checkpoint is one that no minority of the witnesses can have made up. One minute of skew is allowed, as everywhere.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime

from auditor.findings import AuditStep
from auditor.steps.step2_cosignatures import Witnessed
from contracts.fields import moment, time_text
from contracts.rules.findings import Finding
from contracts.rules.kinds import KINDS
from contracts.statements.requests import MAX_SKEW_S
from contracts.statements.statements import Consent, Predicate
from contracts.wording import N_

MOST = 1000  # latest claims kept between two cosigned checkpoints


class Clock:
    """Fed with entries and cosigned checkpoints in log order; its findings go to the step of the rules."""

    def __init__(self, step: AuditStep):
        self._step = step
        self._last: Witnessed | None = None
        self._waiting: list[tuple[float, int, str]] = []
        self._unbounded = 0

    def entry(self, index: int, said: Predicate) -> None:
        """Remember when the author says this was said."""
        issued = moment(said.issued_at).timestamp()
        withdraws = isinstance(said, Consent) and said.event == "withdraw"
        if self._last is None:
            self._unbounded += 1
        elif KINDS[type(said)].at_once:
            self._not_before(index, issued, "TIME_OUT_OF_WINDOW")
        elif isinstance(said, Consent) and not withdraws:
            self._not_before(index, moment(said.effective_from).timestamp(), "BACKDATED_CONSENT")
        if not withdraws:
            (heapq.heappush if len(self._waiting) < MOST else heapq.heappushpop)(
                self._waiting, (issued, index, said.issued_at)
            )

    def _not_before(self, index: int, claimed: float, code: str) -> None:
        assert self._last is not None
        if claimed < self._last.at - MAX_SKEW_S:
            self._add(
                code,
                index,
                N_("entry {index} claims {claimed}, but was not there at {seen}"),
                claimed,
                self._last.at,
            )

    def checkpoint(self, seen: Witnessed) -> None:
        """Everything below it existed by its time, and time does not run backwards."""
        if self._last and seen.at < self._last.at - MAX_SKEW_S:
            self._step.add(
                "TIME_OUT_OF_WINDOW",
                N_("the checkpoint of size {size} was cosigned before the one of size {older}"),
                f"checkpoints/{seen.size}",
                size=seen.size,
                older=self._last.size,
            )
        for issued, index, _ in sorted(self._waiting, key=lambda one: one[1]):
            if issued > seen.at + MAX_SKEW_S:
                self._add(
                    "TIME_OUT_OF_WINDOW",
                    index,
                    N_("entry {index} claims {claimed}, but was there at {seen} already"),
                    issued,
                    seen.at,
                )
        self._waiting, self._last = [], seen

    def _add(self, code: str, index: int, what: str, claimed: float, seen: float) -> None:
        values = {"index": index, "claimed": _text(claimed), "seen": _text(seen)}
        self._step.findings.append(Finding(code, index, "I7", what, values))

    def conclude(self) -> None:
        """Say how far the evidence bounds time, and where clocks contradict one another."""
        if any(isinstance(one, Finding) and one.rule == "I7" and "seen" in one.values for one in self._step.findings):
            self._step.say(
                N_(
                    "clocks contradict one another: if those of most witnesses were wrong, nobody can tell from "
                    "the log who is right"
                )
            )
        if self._last is None:
            self._step.skip(N_("no cosigned checkpoint bounds the time of any entry"))
        elif self._unbounded:
            self._step.skip(
                N_("the first {n} entries have no cosigned checkpoint before them: how old they are is not known"),
                n=self._unbounded,
            )


def _text(unix: float) -> str:
    return time_text(datetime.fromtimestamp(unix, UTC))
