"""What a plan gave on public data: shown before a chamber spends members' budgets on one like it.

Figures come from `benchmarks/results`; a task without any has nothing to show and says so.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from pydantic import TypeAdapter

from contracts.fields import Name, Strict


class Evidence(Strict):
    """One public set. `measure` is lower-is-better and as a node serves it: the best single method alone, the unspent
    start, and by epsilon (`0` says without noise) after a run."""

    data: Name
    members: int
    measure: Literal["WQL", "Brier"]
    alone: float
    unspent: float
    spent: dict[str, float]

    def pays(self, epsilon: str) -> bool | None:
        """Was the run better than the unspent start by half a percent? What pays at less pays at more, and what does not
        at more does not at less; None where that tells nothing."""
        better = {float(e): after < 0.995 * self.unspent for e, after in self.spent.items() if e != "0"}
        asked = float(epsilon)
        if any(paid and e <= asked for e, paid in better.items()):
            return True
        return False if any(not paid and e >= asked for e, paid in better.items()) else None


def evidence(task: str) -> tuple[Evidence, ...]:
    """All public sets of a task, of the figures that ship with it."""
    held = files(f"engine.{task}").joinpath("evidence.json")
    if not held.is_file():
        return ()
    return TypeAdapter(tuple[Evidence, ...]).validate_json(held.read_bytes(), strict=False)
