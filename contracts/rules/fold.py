"""The fold: `apply(state, entry, index) -> (state, findings)`, the same for all three parties, and total.

Before an append and on a node any finding refuses. On replay a broken entry may spend but never permit:
it uses up budget, round numbers and the model chain; it grants no key, consent or release. So one fault
gives one finding, not a cascade.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from contracts.errors import TrustError
from contracts.rules import times
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding, from_error
from contracts.rules.kinds import KINDS, Kind
from contracts.rules.signers import verified_signers
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.signed import Statement, read_statement
from contracts.statements.statements import Genesis, Predicate
from contracts.wording import N_


def apply(state: TrustState, entry: bytes, index: int) -> tuple[TrustState, tuple[Finding, ...]]:
    """The state after `entry` at `index`, and every rule that it breaks. Never raises on any bytes (I1)."""
    return apply_read(state, read(entry), index)


def read(entry: bytes) -> Statement | TrustError:
    """The statement in an entry, or why there is none: `apply_read` takes both."""
    try:
        return read_statement(entry)
    except TrustError as error:
        return error


def apply_read(state: TrustState, entry: Statement | TrustError, index: int) -> tuple[TrustState, tuple[Finding, ...]]:
    """See `apply`; for whoever looks into what an entry says, and need not read it again."""
    after = replace(state, size=index + 1)
    if isinstance(entry, TrustError):
        return after, (from_error(entry, index, "I1"),)
    predicate = entry.said
    kind = KINDS[type(predicate)]
    try:
        signers = verified_signers(state, entry.envelope, kind.brings(predicate))
    except TrustError as error:
        # unsigned words use up nothing either: anyone could have written them
        return after, (from_error(error, index, "I3" if error.code == "WEAK_KEY" else "I2"),)
    placed = Entry(index, entry.digest, predicate, signers)
    findings = [*_check_place(state, placed, kind), *kind.signed(state, placed)]
    if findings:
        # the same words again, or somebody else's: they use up nothing
        return after, tuple(findings)
    findings = _broken_rules(state, placed, kind)
    after = kind.spend(after, placed) if findings else _permitted(after, placed, kind)
    return replace(after, record_ids=after.record_ids.insert(predicate.record_id)), tuple(findings)


def _check_place(state: TrustState, entry: Entry[Predicate], kind: Kind[Any]) -> Iterator[Finding]:
    """I6, I8, I26: genesis stands first and only there, nothing is said twice, nobody has seen entries to come."""
    if isinstance(entry.predicate, Genesis) != (entry.index == 0):
        yield entry.breaks("GENESIS", "I6", N_("the genesis statement must be the first entry and no other"))
    if entry.predicate.record_id in state.record_ids:
        what = N_("the statement {id} is in the log already")
        yield entry.breaks("DUPLICATE_ENTRY", "I8", what, id=entry.predicate.record_id)
    seen = kind.seen(entry.predicate)
    if seen is not None and seen.size > entry.index:
        what = N_("its author had seen {size} entries of a log that had {index}")
        yield entry.breaks("EQUIVOCATION", "I26", what, size=seen.size, index=entry.index)


def _broken_rules(state: TrustState, entry: Entry[Predicate], kind: Kind[Any]) -> list[Finding]:
    late = list(times.check_order(state, entry)) if kind.at_once else []
    return late or list(kind.check(state, entry))


def _permitted(state: TrustState, entry: Entry[Predicate], kind: Kind[Any]) -> TrustState:
    state = kind.permit(state, entry)
    return times.advance(state, entry.predicate) if kind.at_once else state


def replay(entries: Iterable[bytes], state: TrustState = EMPTY) -> tuple[TrustState, list[Finding]]:
    """Fold many entries from `state` on; all findings in order."""
    found: list[Finding] = []
    for entry in entries:
        state, findings = apply(state, entry, state.size)
        found.extend(findings)
    return state, found
