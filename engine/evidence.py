"""What a plan gave on public data: shown before a chamber spends members' budgets on one like it.

Figures come from `benchmarks/results`; a task without any has nothing to show and says so.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from pydantic import TypeAdapter

from contracts.fields import Name, Strict


class TaskEvidence(Strict):
    """One public or simulated set. `measure` is lower-is-better and as a node serves it: the best single method alone,
    the unspent start, and by epsilon (`0` says without noise) after a run of so many `members`."""

    data: Name
    members: int
    measure: Literal["WQL", "Brier", "1 - AUC"]
    alone: float
    unspent: float
    spent: dict[str, float]

    def pays(self, epsilon: str) -> bool | None:
        """Was the run better than the unspent start by half a percent, or by .03 of an area? What pays at less pays at
        more, and what does not at more does not at less; None where that tells nothing."""
        most = self.unspent - 0.03 if self.measure == "1 - AUC" else 0.995 * self.unspent
        better = {float(e): after < most for e, after in self.spent.items() if e != "0"}
        asked = float(epsilon)
        if any(paid and e <= asked for e, paid in better.items()):
            return True
        return False if any(not paid and e >= asked for e, paid in better.items()) else None


def evidence(task: str) -> tuple[TaskEvidence, ...]:
    """All public sets of a task, of the figures that ship with it."""
    held = files(f"engine.{task}").joinpath("evidence.json")
    if not held.is_file():
        return ()
    return TypeAdapter(tuple[TaskEvidence, ...]).validate_json(held.read_bytes(), strict=False)


def nearest(known: tuple[TaskEvidence, ...], members: int) -> list[TaskEvidence]:
    """Of each set the run of the most members that are not more than `members`, else of the fewest: among more members
    noise weighs less, so what many gave is not claimed of few."""
    found = []
    for data in dict.fromkeys(one.data for one in known):
        sizes = sorted((one for one in known if one.data == data), key=lambda one: one.members)
        found.append(
            max((one for one in sizes if one.members <= members), key=lambda one: one.members, default=sizes[0])
        )
    return found
