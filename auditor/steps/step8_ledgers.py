"""I34: a member's ledger only grows, by everything that stands under the member's own
signature, on the log and in lists.

The rules of the log compare statements with statements. What a contribution shows stands in its round's list, so it is
compared here, with whatever was surely signed before or after it: what its author had seen on the log tells.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from contracts.rules.findings import Finding
from contracts.rules.state import RoundRecord, TrustState
from contracts.statements.off_log import Contribution
from contracts.statements.statements import Comparison, Consent, Predicate, PrivacyCheck, Refusal
from contracts.wording import N_


@dataclass(frozen=True, slots=True)
class ShownLedger:
    """Where a member says that its ledger stood: it had seen the log's first `seen` entries, and had spoken before
    entry `index`. The rule `binds` since edition 2."""

    member: str
    seen: int
    index: int
    total: int
    listed: bool
    binds: bool


def of_statement(state: TrustState, index: int, said: Predicate) -> ShownLedger | None:
    """What a clean entry shows of its author's ledger."""
    match said:
        case Consent(event="expire"):
            return None  # which anyone may state
        case Consent():
            agreement = said.agreement
        case Refusal() | Comparison():
            run = state.runs.get(said.order)
            agreement = run.order.agreement if run else ""
        case PrivacyCheck():
            return ShownLedger(said.member, 0, index, said.ledger.rho_total_nano, listed=False, binds=False)
        case _:
            return None
    record = state.agreements.get(agreement)
    binds = record is not None and record.terms.edition >= 2
    return ShownLedger(
        said.member, min(said.seen.size, index), index, said.ledger.rho_total_nano, listed=False, binds=binds
    )


def of_line(record: RoundRecord, line: Contribution, *, edition: int) -> ShownLedger:
    """What a line of a list shows; it was signed after its round was opened, and before it ended."""
    end = record.closed_at or record.open_index
    seen = max(record.open_index, min(line.seen.size, end))
    return ShownLedger(line.member, seen, end, line.ledger.rho_total_nano, listed=True, binds=edition >= 2)


def resets(shown: Iterable[ShownLedger]) -> Iterator[Finding]:
    """Every head below one that its member had surely shown before, where at least one of the two stands in a list."""
    of_members: defaultdict[str, list[ShownLedger]] = defaultdict(list)
    for one in shown:
        of_members[one.member].append(one)
    for heads in of_members.values():
        heads.sort(key=lambda one: one.index)
        listed = [one for one in heads if one.listed]
        known, of_lists = _highest(heads), _highest(listed)
        places, of_list_places = [one.index for one in heads], [one.index for one in listed]
        for one in (one for one in heads if one.binds):
            most = (
                known[bisect_left(places, one.seen)] if one.listed else of_lists[bisect_left(of_list_places, one.seen)]
            )
            if one.total < most:
                what = N_("the ledger of {member} shows less than it has shown before")
                yield Finding("BUDGET_RESET", one.index, "I34", what, {"member": one.member})


def _highest(heads: list[ShownLedger]) -> list[int]:
    """The highest total of the first n heads, for n from none to all."""
    return [-1, *accumulate((one.total for one in heads), max)]
