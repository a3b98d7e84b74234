"""What somebody who knows everything but one unit learns from a release, and how far one unit can move a sum.

    python -m benchmarks.privacy.neighbours [--tables 10000] [--releases 20000]

Each family's kernel sums random tables of any scale, some of whose values no honest ledger holds, under any model,
with and without one unit; moved is the most that this changed a sum, of the sensitivity that its plan declares. The
worst pair of tables is then released through the product's noise at a claimed epsilon of 1 (delta 1e-6, one release),
so many times each. The attacker knows both sums, looks along their difference (no test is stronger) and guesses at
thresholds fixed beforehand: epsilon is at least log((hits - delta) / false alarms), by exact binomial bounds that
hold together with 95 % confidence.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from benchmarks.tables import publish
from privacy.accounting import rho_cap
from privacy.gradients import Clipped
from privacy.histogram import histogram_sums
from privacy.mechanisms import LatticeGaussian
from privacy.moments import moment_sums
from privacy.plan import Adam, Boost, Gradients, Histogram, Moments, ReleasePlan, Ridge, Shape, Step, Tally, Trees
from privacy.plan import planned as plan_of
from privacy.spend import Unit
from privacy.trees import leaf_sums
from privacy.units import Blocks, blocks

CLAIM, DELTA, CONFIDENCE, THRESHOLDS = "1", "1e-6", 0.95, (-3.0, -2.5, -2.0, -1.5, -1.0, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0)
INPUTS, UNITS, ROWS, LABELS, WILD = 3, 40, 3, (0.0, 1.0, 7.0, np.nan), (np.nan, np.inf, -np.inf, 1e300, 0.0)
Dice = np.random.Generator
Sum = Callable[[np.ndarray, np.ndarray, Blocks], np.ndarray]  # (inputs, labels, units) -> grid sum
Maker = Callable[[ReleasePlan, Dice], Sum]


def gradients(plan: ReleasePlan, dice: Dice) -> Sum:
    """A network of two layers with any weights, by squared loss."""
    net = nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    for parameter in net.parameters():
        parameter.data = torch.from_numpy(dice.normal(0, 10 ** dice.uniform(-2, 1), parameter.shape))
    assert isinstance(plan.shape, Gradients)
    clipped = Clipped(net, plan.shape, plan.grid_bits)
    return lambda x, y, units: clipped.sum(
        lambda z, y: (z[:, 0] - y).square(), torch.from_numpy(x), torch.from_numpy(y), units
    )


def trees(plan: ReleasePlan, dice: Dice) -> Sum:
    """Two trees after any start."""
    shape, model, cuts = plan.shape, np.array([dice.normal(0, 10 ** dice.uniform(-2, 1))]), [np.array([0.0])] * INPUTS
    assert isinstance(shape, Trees)
    return lambda x, y, units: leaf_sums(shape, model, x, y, units, round=1, cuts=cuts, grid_bits=plan.grid_bits)


def moments(plan: ReleasePlan, _dice: Dice) -> Sum:
    """Second moments; there is no model."""
    shape = plan.shape
    assert isinstance(shape, Moments)
    return lambda x, y, units: moment_sums(shape, x, y, units, grid_bits=plan.grid_bits)


def histogram(plan: ReleasePlan, _dice: Dice) -> Sum:
    """Scores of one model, and how much more it lost than another."""
    shape = plan.shape
    assert isinstance(shape, Histogram)
    return lambda x, y, units: histogram_sums(shape, np.abs(x[:, 0]), y, [x[:, 1]], units, grid_bits=plan.grid_bits)


FAMILIES: dict[str, tuple[Maker, Shape, Step]] = {
    "gradients": (gradients, Gradients("gradients", ((INPUTS, 4), (4, 1)), "1"), Adam("adam", "0.1", 1)),
    "trees": (trees, Trees("trees", secrets.token_hex(16), 2, 2), Boost("boost", "0.1", "1")),
    "moments": (moments, Moments("moments", INPUTS, "1"), Ridge("ridge", "1")),
    "histogram": (histogram, Histogram("histogram", 2, 2, 4), Tally("tally")),
}


def planned(shape: Shape, step: Step) -> ReleasePlan:
    """One release that costs the whole claim."""
    return plan_of(
        rho_cap(CLAIM, DELTA),
        task="neighbours",
        dataset="synthetic",
        unit=Unit.COUNTERPARTY,
        shape=shape,
        step=step,
        releases=1,
        delta=DELTA,
        max_units=UNITS,
        max_rows_per_unit=ROWS,
    )


def pair(plan: ReleasePlan, make: Maker, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """The sums of a random table with and without one of its units."""
    who = np.repeat(np.arange(dice.integers(1, UNITS)), ROWS + 1)  # a row more than a unit may have
    who = who[: dice.integers(1, len(who) + 1)]
    x = dice.normal(0, 10 ** dice.uniform(-2, 3), (len(who), INPUTS))
    x[dice.random(x.shape) < 0.03] = dice.choice(WILD)
    y, key, total = dice.choice(LABELS, len(who), p=[0.5, 0.46, 0.02, 0.02]), dice.bytes(8), make(plan, dice)
    kept = who != dice.choice(who)
    whole, rest = (
        total(x[part], y[part], blocks([str(name) for name in who[part]], key, max_rows=ROWS, max_units=UNITS))
        for part in (np.ones(len(who), dtype=bool), kept)
    )
    return whole, rest


def search(plan: ReleasePlan, make: Maker, tables: int) -> tuple[float, np.ndarray, np.ndarray]:
    """(most that a unit moved a sum, of what is declared; the two sums)."""
    dice, worst = np.random.default_rng(4), (-1.0, np.zeros(0), np.zeros(0))
    with np.errstate(all="ignore"):  # what no ledger holds overflows on its way; what is added for it is looked at
        for _ in range(tables):
            whole, rest = pair(plan, make, dice)
            moved = float(np.linalg.norm((whole - rest).astype(float))) / plan.sensitivity_steps()
            worst = max(worst, (moved, whole, rest), key=lambda found: found[0])
    return worst


def released(plan: ReleasePlan, sums: tuple[np.ndarray, np.ndarray], releases: int) -> tuple[float, list[np.ndarray]]:
    """How far the two sums lie apart in standard deviations of the noise, and what noise each
    release adds along that line."""
    noise, apart = LatticeGaussian(plan), (sums[0] - sums[1]).astype(float)
    far = float(np.linalg.norm(apart))
    along = apart / far / plan.sigma_steps
    gone = [np.array([np.array(noise.release(total)) - total for _ in range(releases)]) @ along for total in sums]
    return far / plan.sigma_steps, gone


def at_least(present: np.ndarray, absent: np.ndarray) -> float:
    """The largest epsilon that some threshold refutes, whichever of the two is guessed."""
    level, best = (1 - CONFIDENCE) / (2 * 2 * len(THRESHOLDS)), 0.0  # two bounds for each of two guesses a threshold
    for threshold in THRESHOLDS:
        for hit, false in ((present > threshold, absent > threshold), (absent <= threshold, present <= threshold)):
            right = _bound(int(hit.sum()), len(hit), level)
            wrong = 1 - _bound(int((~false).sum()), len(false), level)
            best = max(best, float(np.log(max(right - float(DELTA), 1e-300) / wrong)))
    return best


def _bound(count: int, n: int, level: float) -> float:
    """What a probability is at least after `count` of `n` (Clopper and Pearson)."""
    return float(stats.beta.ppf(level, count, n - count + 1)) if count else 0.0


def row(family: str, tables: int, releases: int) -> dict[str, Any]:
    """One line of the table."""
    make, shape, step = FAMILIES[family]
    plan = planned(shape, step)
    moved, *sums = search(plan, make, tables)
    far, (present, absent) = released(plan, (sums[0], sums[1]), releases)

    def shown(times: float) -> str:
        """What is learnt if the sums lay so many times as far apart."""
        return f"{at_least(present + times * far / 2, absent - times * far / 2):.2f}"

    return {
        "family": family,
        "epsilon claimed": CLAIM,
        "at least": shown(1),
        "with half the noise": shown(2),
        "without noise": shown(1e6),
        "moved": f"{moved:.6f}",
    }


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--releases", type=int, default=20_000)
    asked = parser.parse_args()
    rows = [row(family, asked.tables, asked.releases) for family in FAMILIES]
    heading = f"{asked.tables:,} tables and 2 x {asked.releases:,} releases a family"
    publish("neighbours", "One unit more or less", {heading: rows}, str(__doc__).split("\n\n")[::2])


if __name__ == "__main__":
    main()
