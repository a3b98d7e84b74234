"""What each family gives on three public credit tables with natural members, at which privacy.

    python -m benchmarks.privacy.utility --data ../shared/data

Rows: a member alone (logistic, boosted trees), the product at local epsilon 1 and 4 (delta 1e-6, every member adds
its own noise), the same with the noise of one member in all (research: what a trusted sum would allow, with the
local epsilon that equal total noise would need), no noise, and all rows pooled. "The design's trees" are
benchmarks/privacy/recipe.py with the same budget. Splits are those of the data sets' READMEs; columns and cut
points are public (round numbers, or quantiles of the public pool). AUC and Brier are over the test rows of all
members together, means over seeds. `sba-all` adds the loans that were drawn because they failed: nobody should be
scored so, but the design's table was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.privacy import recipe
from benchmarks.risk.protocol import Table, join, polish, sba, uci
from benchmarks.rounds.local_rounds import federated
from benchmarks.tables import publish
from engine.binary.models import LabelledRows
from engine.risk.task import auroc, probability
from engine.task import load, plan_for
from privacy.accounting import epsilon, rho_cap
from privacy.plan import ReleasePlan

NO_NOISE_NANO = 10**13
TASK = load("risk")
NOTES = [
    'Noise is drawn anew in every run, so digits differ from run to run. "Noise once" is research: the sum of '
    "all members with the noise of one; in brackets, the local epsilon that members would have to allow.",
    '"The design\'s trees" are the same idea written a second time in floats (benchmarks/privacy/recipe.py, mean '
    "of three draws) with the same budget, members and split: where a figure differs from the design's own table, "
    "they show whether the product or the protocol differs. `sba-all` is that table's selection of loans; its own "
    "README forbids it for scoring.",
]


TABLES: dict[str, Callable[[Path, int], Table]] = {
    "uci": uci,
    "sba": sba,
    "sba-all": partial(sba, drawn=(0, 1)),
    "polish": polish,
}


def plan_of(table: Table, family: str, rho_nano: int, delta: str) -> ReleasePlan:
    """The product's own plan for this budget."""
    return plan_for(
        TASK,
        table.schema,
        family=family,
        releases=0,
        rho_nano=rho_nano,
        delta=delta,
        members=len(table.members),
    )


def measures(probabilities: list[np.ndarray], table: Table) -> tuple[float, float]:
    """(AUC, Brier) over the test rows of all members."""
    p, y = np.concatenate(probabilities), np.concatenate([member.test.y for member in table.members])
    return auroc(p, y), float(np.mean((p - y) ** 2))


def shared(table: Table, plan: ReleasePlan, noise: str) -> tuple[float, float]:
    """Measures of one federated model; noise of every `member`, `once` for all, or `none`."""
    learn, start = [member.learn for member in table.members], TASK.start(table.schema, plan.shape.family)
    model = federated(TASK, plan, learn, start, noisy=noise != "none", once=noise == "once")
    return measures([probability(model, member.test) for member in table.members], table)


def designed(table: Table, rho_nano: int) -> tuple[float, float]:
    """The design's own trees, with the noise of every member: the mean of three draws."""
    learn = [(m.learn.columns, m.learn.y) for m in table.members]
    test = [m.test.columns for m in table.members]
    drawn = [
        measures(recipe.federated(learn, test, table.members[0].train.cuts, rho=rho_nano / 1e9, seed=seed), table)
        for seed in range(3)
    ]
    return float(np.mean([auc for auc, _ in drawn])), float(np.mean([brier for _, brier in drawn]))


def alone(table: Table) -> tuple[float, float]:
    """Each member's own logistic on its own test rows."""
    return measures([probability(TASK.fit_alone(m.learn, table.schema), m.test) for m in table.members], table)


def boosted(learn: LabelledRows, test: LabelledRows) -> np.ndarray:
    """Ordinary boosted trees, without privacy."""
    if len(set(learn.y)) < 2:
        return np.full(len(test.y), learn.y.mean())
    model = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.06, max_leaf_nodes=15, random_state=0)
    p: np.ndarray = model.fit(learn.columns, learn.y).predict_proba(test.columns)[:, 1]
    return p


def pooled(table: Table) -> tuple[float, float]:
    """Boosted trees on the rows of all members."""
    every = join([member.learn for member in table.members])
    return measures([boosted(every, member.test) for member in table.members], table)


def methods(table: Table, delta: str) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """(method, family, measures) of everything compared."""
    yield "alone, logistic", "-", alone(table)
    yield "alone, boosted trees", "-", measures([boosted(m.learn, m.test) for m in table.members], table)
    for target in ("1", "4"):
        yield f"the design's trees, local epsilon {target}", "trees", designed(table, rho_cap(target, delta))
    for family in TASK.families:
        for target in ("1", "4"):
            cap = rho_cap(target, delta)
            needed = epsilon(cap * len(table.members), delta)
            plan = plan_of(table, family, cap, delta)
            yield f"ours, local epsilon {target}", family, shared(table, plan, "member")
            yield f"noise once, {target} (local {needed:.0f})", family, shared(table, plan, "once")
        yield "no noise", family, shared(table, plan_of(table, family, NO_NOISE_NANO, delta), "none")
    yield "pooled, boosted trees", "-", pooled(table)


def summary(name: str, seeds: int, data: Path, delta: str) -> list[dict[str, Any]]:
    """One row a method: means over seeds, and the standard deviation of AUC."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(seeds):
        for method, family, result in methods(TABLES[name](data, seed), delta):
            found.setdefault((method, family), []).append(result)
    rows, most = [], np.mean(found["pooled, boosted trees", "-"], 0)[0]
    for (method, family), results in found.items():
        auc, brier = np.mean(results, 0)
        shown = {"AUC": auc, "sd": np.std([a for a, _ in results]), "below pooled": most - auc, "Brier": brier}
        rows.append({"method": method, "family": family} | {key: round(float(v), 4) for key, v in shown.items()})
        print(name, *rows[-1].values(), sep="  ", flush=True)
    return rows


def main() -> None:
    """Print the tables and write them to results/utility."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", choices=TABLES, action="append")
    parser.add_argument("--delta", default="1e-6", help="the product's; the design's tables used 1e-5")
    chosen = parser.parse_args()
    tables = {name: summary(name, chosen.seeds, chosen.data, chosen.delta) for name in chosen.table or TABLES}
    notes = [f"20 natural members a table, {chosen.seeds} seeds, delta {chosen.delta}, protection of one row.", *NOTES]
    suffix = "" if chosen.delta == "1e-6" else f"-{chosen.delta}"
    publish("utility", "What each family gives on public credit tables", tables, notes, suffix=suffix)


if __name__ == "__main__":
    main()
