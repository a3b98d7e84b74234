"""Early warning of the member itself among simulated firms: what does a run add to a prior,
and from how many members on?

    python -m benchmarks.risk.region_firms             about five minutes of CPU
    python -m benchmarks.risk.region_firms --worlds 1

The task's own code (engine.warning): its table, rule, prior, plan and rounds. A month of a firm is a row, the whole
member is the unit; learned from the first 42 months of its books, scored on the months after those. All members' sums
are added up before one draw of noise as large as theirs together, which is what a secure sum shows. Simulated figures
say how methods compare where the truth is known. They say nothing about any real firm.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.risk.region import calibration
from benchmarks.tables import publish
from engine.binary.models import LabelledRows, probability
from engine.binary.own import fit_own
from engine.risk.task import auroc
from engine.task import Model, plan_for
from engine.warning.firms import simulate
from engine.warning.pretrain import MONTHS, fitted, together
from engine.warning.task import TASK
from privacy.accounting import rho_cap
from privacy.mechanisms import LatticeGaussian
from privacy.plan import stated
from privacy.step import advance, start_state

SIZES = {120: 12, 300: 12, 1000: 8, 3000: 4, 10_000: 3}  # members: worlds
LEARN = 42  # months in the books of those who learn; the months scored begin here
BAR, DELTA = 0.03, "1e-6"
NOISE = {"no noise": None, "epsilon 4": "4", "epsilon 1": "1"}
SCHEMA = TASK.schema()


Measure = Callable[[np.ndarray, np.ndarray], float]
MEASURES: dict[str, Measure] = {
    "AUC": auroc,
    "AP": lambda p, y: float(average_precision_score(y, p)),
    "Brier": lambda p, y: float(np.mean((p - y) ** 2)),
    "calibration error": calibration,
    "found by the top 8 %": lambda p, y: float(y[np.argsort(-p)[: round(0.08 * len(p))]].sum() / max(y.sum(), 1)),
}


@dataclass(frozen=True, slots=True)
class World:
    """Of each firm the rows to learn from, and the rows to score (none if it came into distress before)."""

    members: list[LabelledRows]
    tests: list[LabelledRows]


def world(firms: int, seed: int) -> World:
    """Firms of that seed: their books after `LEARN` months, and the months after those."""
    made = simulate(firms, MONTHS, seed)
    learn, later = made.tables(LEARN), [table.slice(LEARN) for table in made.tables(MONTHS)]
    return World(*([TASK.prepare(table, SCHEMA) for table in tables] for tables in (learn, later)))


def damaged(values: array[float], seed: int) -> array[float]:
    """Coefficients halved, with errors as large as they were; the base rate stays."""
    weights = np.array(values[:-1])
    error = np.random.default_rng(seed).normal(0, np.abs(weights).mean(), len(weights))
    return array("d", [*(0.5 * weights + error), values[-1]])


def after(here: World, start: array[float], epsilon: str | None) -> Model:
    """A run from `start`, as an order makes it; None is without noise."""
    rho_nano, members = rho_cap(epsilon, DELTA) if epsilon else 10**13, len(here.members)
    plan = plan_for(TASK, SCHEMA, family="gradients", releases=0, rho_nano=rho_nano, delta=DELTA, members=members)
    of_all = stated(replace(plan, sigma_steps=isqrt(members * plan.sigma_steps**2)))
    noise = LatticeGaussian(of_all) if epsilon else None
    apart = replace(plan, max_units=members)
    rows = together([replace(own, unit=(str(at),) * len(own.y)) for at, own in enumerate(here.members)])
    model, state = start, start_state(plan, start)
    for number in range(1, plan.releases + 1):
        total = TASK.contribute(apart, model, rows, round=number, key=b"simulated firms, no secret")
        sent = noise.release(total) if noise else array("q", total.tobytes())
        model, state = advance(plan, state, sent, number)
    return Model(plan.shape, model)


def chances(here: World, seed: int) -> dict[str, np.ndarray]:
    """What each method says of the rows to score; the prior as it ships goes through runs
    of the fewest members only."""
    test, good = together(here.tests), TASK.start(SCHEMA, "gradients")
    starts = {"damaged prior": damaged(good, seed), "prior": good}
    shape = TASK.design(SCHEMA, "gradients", 1).shape
    models = {"pooled logistic (no trust may)": Model(shape, fitted(together(here.members)))}
    for name, start in starts.items():
        models[f"{name} alone"] = Model(shape, start)
        if name != "prior" or len(here.members) == min(SIZES):
            models |= {f"{name} + members, {word}": after(here, start, epsilon) for word, epsilon in NOISE.items()}
    return {"each firm alone": _alone(here)} | {name: probability(model, test) for name, model in models.items()}


def _alone(here: World) -> np.ndarray:
    """A firm's own logistic; most have never seen distress, so theirs is a base rate."""
    told = []
    for rows, test in zip(here.members, here.tests, strict=True):
        model = fit_own("logistic", rows) or fit_own("base rate", rows)
        assert model
        told.append(probability(model, test))
    return np.concatenate(told)


def measured(members: int, worlds: int) -> dict[str, dict[str, np.ndarray]]:
    """Method -> measure -> one figure a world."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(worlds):
        here = world(members, seed)
        came = together(here.tests).y
        for name, chance in chances(here, seed).items():
            for word, measure in MEASURES.items():
                found.setdefault(name, {}).setdefault(word, []).append(measure(chance, came))
    return {name: {word: np.array(each) for word, each in one.items()} for name, one in found.items()}


def row(name: str, one: dict[str, np.ndarray]) -> dict[str, Any]:
    """A method's means over worlds."""
    return {"method": name} | {word: f"{each.mean():.3f}" for word, each in one.items()}


def bars(members: int, found: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Whether members improve the damaged prior by as much as would be worth their budgets."""
    base, told = found["damaged prior alone"]["AUC"], []
    for word in NOISE:
        more = found[f"damaged prior + members, {word}"]["AUC"] - base
        error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else float("nan")
        met = "MET" if more.mean() >= BAR else "MISSED"
        told.append(f"{members} members, {word}: {more.mean():+.3f} ± {error:.3f} AUC (>= {BAR}) – {met}")
    return told


def main() -> None:
    """Print and write a table a number of members."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, help="worlds of each number of members")
    chosen = parser.parse_args()
    parts, told = {}, []
    for members, worlds in SIZES.items():
        found = measured(members, chosen.worlds or worlds)
        parts[f"{members} members"] = [row(name, one) for name, one in found.items()]
        told += bars(members, found)
    notes = [
        f"**Simulated**: a generator of this repository (engine/warning/firms.py); no public data of this kind exist. "
        f"Unit member, delta {DELTA}, noise of every member; worlds of each number of members: {SIZES}. The prior as "
        f"it ships flatters: it comes from the same generator. The damaged one has its coefficients halved, with "
        f"errors as large as they were.",
        "What members add to the damaged prior:\n\n" + "\n".join(f"- {bar}" for bar in told),
    ]
    publish("region_firms", "Early warning of the member itself, by month", parts, notes)


if __name__ == "__main__":
    main()
