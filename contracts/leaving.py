"""What a member shows by leaving its group: said in numbers before it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from contracts.promise import UNITS
from contracts.rules.groups import rule_of, without
from contracts.rules.state import RunRecord, TrustState
from contracts.wording import N_

_SENTENCES = {
    "go-on": N_(
        "If this member leaves, its group in {dataset} goes on without it. The difference of the sums before and "
        "after then shows the number of its units (one unit is one {unit}) to ± {plus_minus} (95 %) at best, and its "
        "other totals as precisely: {rounds} rounds were summed with it, and as many may follow with {left} members."
    ),
    "rest": N_(
        "If this member leaves, its group in {dataset} rests until the next year and then goes on without it. The "
        "difference of the sums before and after then shows the number of its units (one unit is one {unit}) to ± "
        "{plus_minus} (95 %) at best, and its other totals as precisely: {rounds} rounds were summed with it, and as "
        "many may follow with {left} members."
    ),
    "nothing": N_("If this member leaves, no difference of sums of {dataset} shows its totals."),
}


@dataclass(frozen=True, slots=True)
class Leaving:
    """Of one dataset: how exactly the difference of sums would show how many units the member has; `plus_minus` is None
    where there is no such difference, as none was summed or its group would not go on without it.

    Half the width of a band of 95 %. No smaller one is possible: it is that of a total in which every unit counts as
    much as the plan lets it, in all rounds that were recorded with the member and as many after it has left.
    """

    dataset: str
    unit: str
    then: Literal["go-on", "rest", "nothing"]
    rounds: int
    left: int
    plus_minus: int | None

    def sentence(self, translate: Callable[[str], str] = str) -> str:
        """For the member, before it decides."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return translate(_SENTENCES[self.then]).format_map(values | {"unit": translate(UNITS[self.unit])})


def leaving(state: TrustState, member: str) -> list[Leaving]:
    """What a member would show by leaving now, for each dataset in which the terms put it into a group."""
    found = []
    for dataset in sorted(state.groups):
        runs = [run for run in state.runs_in_order() if run.order.dataset == dataset]
        agreement = state.active_agreement() or runs[-1].order.agreement
        stayed, rule = without(state, agreement, dataset, member), rule_of(state, agreement)
        if stayed is None or rule is None:
            continue
        before, after, rounds = _known(runs, member)
        shows = bool(stayed) and rounds > 0
        found.append(
            Leaving(
                dataset,
                str(runs[-1].order.plan.unit),
                rule.after_leaving if shows else "nothing",
                rounds,
                len(stayed),
                round(1.96 * sqrt(1 / before + 1 / after)) if shows else None,
            )
        )
    return found


def _known(runs: list[RunRecord], member: str) -> tuple[float, float, int]:
    """(what the sums with the member tell of a total of units, what as many without it would, how many there are), the
    first two as one over a variance."""
    before, after, rounds = 0.0, 0.0, 0
    for run in runs:
        plan = run.order.plan
        one = (plan.sensitivity_steps() / plan.sigma_steps) ** 2
        for closed in (record.closed for record in run.rounds if record.closed):
            n = len(closed.contributors)
            if member in closed.contributors and plan.partition == "train":
                before, after, rounds = before + one / n, after + one / (n - 1), rounds + 1
    return before, after, rounds
