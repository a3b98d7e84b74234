"""Groups of members whose contributions are summed together or not at all, under terms that hide totals by them (I32).

The rules of the log form them, not the office. Each group holds at least `size` members that were in no group of their
dataset before, and every set that is summed is a union of groups. So of all sums of a dataset, over all years, no
combination is of fewer than `size` members: of the groups that it counts, the newest has so many that stand in no older
one (audit of sum queries by partitioning, Chin and Ozsoyoglu 1982). One exception is the member's own act: the group in
which it came may go on without it, and its node shows it beforehand what that tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from contracts.envelope import canonical, digest
from contracts.rules.budgets import consenting_members
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import ConsentEvent, Group, RoundRecord, RunRecord, TrustState, is_live
from contracts.statements.statements import Round, RoundOpen
from contracts.terms.agreement import Grouped
from contracts.wording import N_


def rule_of(state: TrustState, agreement: str) -> Grouped | None:
    """How an agreement groups members; None if it does not."""
    totals = state.agreements[agreement].terms.totals
    return totals if isinstance(totals, Grouped) else None


def cut(fresh: Mapping[str, str], riders: Iterable[str], size: int) -> tuple[Group, ...]:
    """Groups of more than `size` of the `fresh` members, {member: digest of its consent}, so that one may leave; too
    few for three are one group, so that a sum survives the loss of one. `riders` are spread over them.

    The order follows from what all of them signed: the office, which speaks first, cannot choose it.
    """
    seed = digest(canonical(sorted(fresh.values())))
    ordered = sorted(fresh, key=lambda member: digest(canonical([seed, member])))
    count = len(ordered) // (size + 1)
    count = count if count >= 3 else 1
    line = [*ordered, *sorted(riders)]
    return tuple(sorted(tuple(sorted(line[number::count])) for number in range(count)))


def groups_at(state: TrustState, agreement: str, dataset: str, at_time: str) -> tuple[Group, ...]:
    """I32: every group that a dataset has had, oldest first, and those that form now. A member
    is in the last that names it.

    Groups form as soon as `size` members have come that were in none before. Who is left of a group that nobody can ask
    any more rides with them.
    """
    held, rule = state.groups.get(dataset, ()), rule_of(state, agreement)
    assert rule is not None
    here = _consenting(state, agreement, dataset, at_time)
    placed = {member for group in held for member in group}
    fresh = {member: event.digest for member, event in here.items() if member not in placed}
    if len(fresh) < rule.size:
        return held
    settled = {
        member
        for group in _current(held)
        if _remaining(state, rule, group, at_time) and not any(_is_gone(state, member) for member in group.members)
        for member in group.members
    }
    return (*held, *cut(fresh, here.keys() & placed - settled, rule.size))


def standing(state: TrustState, agreement: str, dataset: str, at_time: str) -> tuple[Group, ...]:
    """I32: the groups that a round may ask for; without members that left, where a group goes on without them."""
    rule = rule_of(state, agreement)
    assert rule is not None
    groups = _current(groups_at(state, agreement, dataset, at_time))
    return tuple(stayed for group in groups if (stayed := _remaining(state, rule, group, at_time)))


def askable(state: TrustState, run: RunRecord, at_time: str) -> tuple[Group, ...]:
    """The groups of which everyone may be asked now."""
    may = {member for member, _ in consenting_members(state, run, at_time)}
    groups = standing(state, run.order.agreement, run.order.dataset, at_time)
    return tuple(group for group in groups if may.issuperset(group))


def whole(groups: Iterable[Group], chosen: Iterable[str]) -> set[str]:
    """Those of `chosen` whose whole group is chosen."""
    some = set(chosen)
    return {member for group in groups if some.issuperset(group) for member in group}


def _consenting(state: TrustState, agreement: str, dataset: str, at_time: str) -> dict[str, ConsentEvent]:
    """Members whose consent names the dataset, whatever an order costs and whoever refuses it."""
    found = {}
    for member in state.members():
        event = state.consent(member, agreement)
        scope = event.consent.scope if event and is_live(event, at_time) else None
        if event and scope and any(one.id == dataset for one in scope.datasets):
            found[member] = event
    return found


@dataclass(frozen=True, slots=True)
class _Formed:
    """A group, and those of it that were in none before."""

    members: Group
    fresh: frozenset[str]


def _current(groups: tuple[Group, ...]) -> list[_Formed]:
    """Groups that are the last one of each of their members."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, group in enumerate(groups):
        for member in group:
            first.setdefault(member, number)
            last[member] = number
    return [
        _Formed(group, frozenset(member for member in group if first[member] == number))
        for number, group in enumerate(groups)
        if all(last[member] == number for member in group)
    ]


def _remaining(state: TrustState, rule: Grouped, group: _Formed, at_time: str) -> Group:
    """A group without the members that left it; () while it rests, or where it cannot go on without them."""
    ends = {member: left for member in group.members if (left := _left_at(state, member))}
    rests = rule.after_leaving == "rest" and any(left[:4] >= at_time[:4] for left in ends.values())
    return () if rests else _goes_on(rule, group, ends)


def _goes_on(rule: Grouped, group: _Formed, without: Collection[str]) -> Group:
    """Who is left, if those who leave were all fresh and enough fresh ones stay; else ().

    A rider stands in sums of an older group too: shown by a difference, it would be missing among those who hide there.
    """
    stayed = tuple(member for member in group.members if member not in without)
    alone = group.fresh.issuperset(without) and len(group.fresh.intersection(stayed)) >= rule.size
    return stayed if alone else ()


def without(state: TrustState, agreement: str, dataset: str, member: str) -> Group | None:
    """Who would remain in a member's group if it left; () if the group would not go on, None if it is in no group."""
    rule = rule_of(state, agreement)
    mine = [group for group in _current(state.groups.get(dataset, ())) if member in group.members]
    if rule is None or not mine:
        return None
    return _goes_on(rule, mine[0], {one for one in mine[0].members if one == member or _left_at(state, one)})


def _last_word(state: TrustState, member: str) -> ConsentEvent | None:
    events = (state.consent(member, agreement) for agreement in state.agreements)
    return max((event for event in events if event), key=lambda event: event.index, default=None)


def _left_at(state: TrustState, member: str) -> str | None:
    """When a member withdrew, if that is its last word: only its own act counts as leaving, none of the office's."""
    event = _last_word(state, member)
    return event.consent.issued_at if event and event.consent.event == "withdraw" else None


def _is_gone(state: TrustState, member: str) -> bool:
    """The log says that a member takes no further part, though not by its own word."""
    event = _last_word(state, member)
    return state.live_key(member, "node") is None or (event is not None and event.consent.event == "expire")


def check_opened(state: TrustState, entry: Entry[RoundOpen], run: RunRecord) -> Iterator[Finding]:
    """I32: whole groups are asked and nobody else."""
    opened = entry.predicate
    if rule_of(state, run.order.agreement) is None:
        return
    asked = {member for member, _ in opened.members}
    groups = standing(state, run.order.agreement, run.order.dataset, opened.issued_at)
    yield from _partial(entry, asked - whole(groups, asked), N_("round {round} asks {member} and not its whole group"))


def form(state: TrustState, opened: RoundOpen, run: RunRecord) -> tuple[TrustState, tuple[Group, ...]]:
    """Keep the groups that a clean opening found; those of them that it asks."""
    agreement, dataset, at_time = run.order.agreement, run.order.dataset, opened.issued_at
    if rule_of(state, agreement) is None:
        return state, ()
    asked = {member for member, _ in opened.members}
    groups = tuple(g for g in standing(state, agreement, dataset, at_time) if asked.issuperset(g))
    return replace(state, groups=state.groups.insert(dataset, groups_at(state, agreement, dataset, at_time))), groups


def check_closed(entry: Entry[Round], waiting: RoundRecord) -> Iterator[Finding]:
    """I32: of each group that was asked everyone is in the sum or nobody; and only that keeps a
    member out for its group."""
    closed = entry.predicate
    used, known = set(closed.contributors), {member for group in waiting.groups for member in group}
    split = used & known - whole(waiting.groups, used)
    yield from _partial(entry, split, N_("round {round} combines {member} and not its whole group"))
    others = {member for member, why in closed.dropped if why == "group" and member not in known}
    yield from _partial(entry, others, N_("round {round} leaves {member} out for a group that was not asked"))


def _partial(entry: Entry[RoundOpen] | Entry[Round], members: set[str], what: str) -> Iterator[Finding]:
    if members:
        yield entry.breaks("PARTIAL_GROUP", "I32", what, round=entry.predicate.round, member=min(members))
