"""I33: no consent was used after its end, and nothing after the time of its round: by the member's own signed time, and
by what cosigned checkpoints prove.

A node computes once a quorum has seen a round opened, so the first cosigned checkpoint that covers the
opening comes before every use. Whether a checkpoint is the first can be told in two ways: it covers nothing
behind the opening, or one that does not cover it was cosigned after the end already. Where neither is so, an
older one may have been kept back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from auditor.findings import AuditStep
from auditor.steps.step2_cosignatures import Witnessed
from contracts.fields import time_text
from contracts.rules.findings import Finding
from contracts.rules.state import Closing, RoundRecord, RunRecord, TrustState, is_live
from contracts.rules.times import SKEW_S, closes_by, shifted
from contracts.rules.uses import held_by_its_own_word, last_end
from contracts.statements.off_log import Contribution
from contracts.wording import N_

_BY_ITS_WORD = N_("round {round} uses {member}, whose consent did not hold at {at}, when it signed its contribution")
_LATE = N_("round {round} uses a contribution of {member} that was signed at {at}, after the time of the round")
_BY_WITNESSES = N_(
    "round {round} uses {member}, whose consent had ended at {ended}: no quorum had seen it opened before {at}"
)
_NO_CHECKPOINT = N_(
    "{n} rounds: whether consents had ended when data were used was not checked, the first is entry {index}:"
    " the checkpoint that first covered its opening is not at hand"
)
_NO_LIST = N_(
    "{n} rounds: whether consents had ended when data were used was not checked, the first is entry {index}:"
    " its contribution list is not at hand, or was erased"
)


class EndedConsents:
    """Fed with the recorded rounds of a log; `seen` are its cosigned checkpoints in order of their sizes."""

    def __init__(self, state: TrustState, seen: Sequence[Witnessed], step: AuditStep):
        self._state, self._seen, self._step = state, seen, step
        self._sizes = [one.size for one in seen]
        self._open: dict[str, list[int]] = {}

    def round(self, run: RunRecord, record: RoundRecord, closed: Closing, lines: Sequence[Contribution] | None) -> None:
        """Judge every contributor; `lines` is None where the round's list is not at hand."""
        own = {line.member: line for line in lines or ()}
        self._late(run, record, own.values())
        unclear = set[str]()
        for member in closed.contributors:
            event = self._state.consent(member, run.order.agreement, record.open_index)
            if not is_live(event, record.opened.issued_at):
                continue  # found when the round was opened
            for one in self._member(run, record, closed, member, own.get(member)):
                if isinstance(one, Finding):
                    self._step.findings.append(one)
                    break
                unclear.add(one)
        for reason in sorted(unclear):
            self._open.setdefault(reason, []).append(record.open_index)

    def _late(self, run: RunRecord, record: RoundRecord, lines: Iterable[Contribution]) -> None:
        """I13: since edition 2 nothing is contributed after the time of a round, whatever date its record has."""
        opened = record.opened
        last = shifted(closes_by(run.order, opened.issued_at, opened.deadline_s), SKEW_S)
        for line in lines if self._state.agreements[run.order.agreement].terms.edition >= 2 else ():
            if line.issued_at > last:
                values = {"round": opened.round, "member": line.member, "at": line.issued_at}
                self._step.findings.append(Finding("ROUND_SEQUENCE", record.open_index, "I13", _LATE, values))

    def _member(
        self, run: RunRecord, record: RoundRecord, closed: Closing, member: str, line: Contribution | None
    ) -> Iterator[Finding | str]:
        """What is wrong, else what keeps it from being told."""
        agreement, opened = run.order.agreement, record.open_index
        ended = last_end(self._state, member, agreement, opened=opened, cutoff=closed.cutoff)
        values = {"round": closed.round, "member": member}
        if ended is None:
            return
        if line is not None and not held_by_its_own_word(
            self._state, member, agreement, opened=opened, seen=line.seen.size, at_time=line.issued_at
        ):
            yield Finding("CONSENT_ENDED", opened, "I33", _BY_ITS_WORD, {**values, "at": line.issued_at})
        limit, (before, first, after) = shifted(ended, SKEW_S), self._around(record)
        sure = before if _at(before) > limit else first if first and first.size == opened + 1 else None
        if _at(sure) > limit:
            yield Finding("CONSENT_ENDED", opened, "I33", _BY_WITNESSES, {**values, "ended": ended, "at": _at(sure)})
        elif _at(first) > limit:
            yield _NO_CHECKPOINT
        if line is None and (after is None or _at(after) > limit):
            yield _NO_LIST

    def _around(self, record: RoundRecord) -> tuple[Witnessed | None, Witnessed | None, Witnessed | None]:
        """The last checkpoint before the opening, the first that covers it, and the first
        that covers the round's end."""
        at = bisect_right(self._sizes, record.open_index)
        end = bisect_right(self._sizes, record.closed_at or record.open_index)
        return (
            self._seen[at - 1] if at else None,
            self._seen[at] if at < len(self._seen) else None,
            self._seen[end] if end < len(self._seen) else None,
        )

    def conclude(self) -> None:
        """Say what could not be told, and where it begins."""
        for reason, rounds in sorted(self._open.items()):
            self._step.skip(reason, n=len(rounds), index=rounds[0])


def _at(seen: Witnessed | None) -> str:
    return time_text(datetime.fromtimestamp(seen.at, UTC)) if seen else ""
