"""What each family gives on three public credit tables with natural members, at which privacy.

    python -m benchmarks.utility --data ../shared/data

Rows: a member alone (logistic, boosted trees), the product at local epsilon 1 and 4 (delta 1e-6, every member adds
its own noise), the same with the noise of one member in all (research: what a trusted sum would allow, with the
local epsilon that equal total noise would need), no noise, and all rows pooled. "The design's trees" are benchmarks/recipe.py
with the same budget. Splits are those of the data sets' READMEs; columns and cut points are public (round numbers, or
quantiles of the public pool). AUC and Brier are over the test rows of all members together, means over seeds.
`sba-all` adds the loans that were drawn because they failed: nobody should be scored so, but the design's table was.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.recipe import federated
from benchmarks.tables import publish
from engine.risk.task import Rows, auroc, probability
from engine.table import Column, TableSchema
from engine.task import Model, load, plan_for
from privacy.curves import epsilon, rho_cap
from privacy.encoding import add
from privacy.mechanisms import LatticeGaussian
from privacy.plan import ReleasePlan
from privacy.step import advance, start_state

_KEY = b"benchmark: public data, no secret"
NO_NOISE_NANO = 10**13
TASK = load("risk")
NOTES = [
    'Noise is drawn anew in every run, so digits differ from run to run. "Noise once" is research: the sum of all members'
    " with the noise of one; in brackets, the local epsilon that members would have to allow.",
    '"The design\'s trees" are the same idea written a second time in floats (benchmarks/recipe.py, mean of three draws) with'
    " the same budget, members and split: where a figure differs from the design's own table, they show whether the product or"
    " the protocol differs. `sba-all` is that table's selection of loans; its own README forbids it for scoring.",
]
_STATUS = ("PAY_0", *(f"PAY_{i}" for i in range(2, 7)))


@dataclass(frozen=True, slots=True)
class Table:
    """A credit table: schema, and learning and test rows of each member."""

    schema: TableSchema
    members: list[tuple[Rows, Rows]]


def uci(data: Path, seed: int) -> Table:
    """Card holders of Taiwan, columns of the README without age, sex, marriage and schooling."""
    frame = pl.read_parquet(data / "uci_credit_default" / "clients.parquet")
    paid, late = [f"PAY_AMT{i}" for i in range(1, 7)], [f"late_{name}" for name in _STATUS]
    used = [f"used_{i}" for i in range(1, 7)]
    frame = frame.with_columns(
        *((pl.col(name) > 0).cast(pl.Float64).alias(f"late_{name}") for name in _STATUS),
        *((pl.col(f"BILL_AMT{i}") / pl.col("LIMIT_BAL")).alias(f"used_{i}") for i in range(1, 7)),
    )
    numbers = [
        *_numbers(["LIMIT_BAL"], "signed_log", "10000", "1000000", (3e4, 5e4, 8e4, 1.2e5, 1.6e5, 2.1e5, 2.8e5, 3.6e5)),
        *_numbers(used, "linear", "0", "1", (0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)),
        *_numbers(paid, "signed_log", "0", "100000", (0, 500, 1e3, 1.5e3, 2e3, 3e3, 5e3, 1e4)),
        *_numbers(list(_STATUS), "linear", "-2", "4", (-1.5, -0.5, 0.5, 1.5, 2.5)),
        *_numbers(late, "linear", "0", "1", (0.5,)),
    ]
    return _split(frame, _schema(numbers, "default_next_month"), seed)


def polish(data: Path, seed: int) -> Table:
    """Statements of Polish firms: 64 ratios, bounds and cuts from the public pool."""
    frame = pl.read_parquet(data / "polish_bankruptcy" / "statements.parquet")
    pool, numbers = frame.filter(pl.col("member").is_null()), []
    for i in range(1, 65):
        held = pool[f"Attr{i}"].drop_nulls()
        low, *cuts, high = (float(held.quantile(q) or 0.0) for q in np.linspace(0.02, 0.98, 15))
        flag = "flag" if i in (37, 27, 21, 45, 60, 64, 28, 53, 54) else "refuse"
        numbers += _numbers([f"Attr{i}"], "signed_log", f"{low:.6f}", f"{high:.6f}", tuple(dict.fromkeys(cuts)), flag)
    numbers += _numbers(["horizon_years"], "linear", "1", "5", (3,))
    return _split(frame.filter(pl.col("member").is_not_null()), _schema(numbers, "bankrupt"), seed)


def sba(data: Path, seed: int, *, drawn: tuple[int, ...] = (1,)) -> Table:
    """Loans of 20 lenders; industry and programme as 0/1 columns, amounts and jobs as numbers."""
    frame = pl.read_parquet(data / "sba_loans" / "loans.parquet")
    frame = frame.filter(pl.col("natural").is_in(drawn) & pl.col("member").is_not_null())
    frame = frame.with_columns(sba_share=pl.col("sba_appv") / pl.col("gr_appv"), is_new=pl.col("new_business") == 1)
    coded = frame.select("urban_rural", "revolving", "lowdoc", "naics2", "state").with_columns(pl.all().cast(pl.String))
    flags = coded.to_dummies()
    frame = pl.concat([frame.drop("urban_rural", "revolving", "lowdoc", "naics2", "state"), flags], how="horizontal")
    names = ["franchise", "lender_out_of_state", "is_new", *flags.columns]
    numbers = [
        *_numbers(["gr_appv"], "signed_log", "5000", "2000000", (1e4, 2e4, 3e4, 5e4, 8e4, 1.5e5, 3e5, 6e5)),
        *_numbers(["sba_share"], "linear", "0.4", "1", (0.5, 0.6, 0.75, 0.8, 0.85)),
        *_numbers(["no_emp", "create_job", "retained_job"], "signed_log", "0", "100", (0, 1, 2, 3, 5, 10, 20)),
        *_numbers(names, "linear", "0", "1", (0.5,)),
    ]
    frame = frame.with_columns(pl.col(names).cast(pl.Float64))
    return _split(frame, _schema(numbers, "default"), seed)


def _numbers(
    names: list[str], transform: Any, low: str, high: str, cuts: tuple[float, ...], missing: Any = "refuse"
) -> Iterator[Column]:
    for name in names:
        yield Column(
            name=name,
            kind="number",
            transform=transform,
            low=low,
            high=high,
            missing=missing,
            cuts=tuple(f"{cut:.6f}" for cut in cuts),
        )


def _schema(numbers: list[Column], label: str) -> TableSchema:
    return TableSchema(
        format="mengbang-table/1",
        task="risk",
        dataset="credit",
        file="receivables.csv",
        unit="row",
        purpose="early-risk-warning",
        row_meaning="a borrower",
        max_units=10_000,
        max_rows_per_unit=1,
        columns=(*numbers, Column(name=label, kind="label")),
    )


def _split(frame: pl.DataFrame, schema: TableSchema, seed: int) -> Table:
    """The READMEs' split by member and label; training and validation are learned from together."""
    random, share = np.random.RandomState(1000 + seed), np.zeros(len(frame))
    members, labels = frame["member"].cast(pl.String).to_numpy(), frame[schema.one("label").name].to_numpy()
    for member in sorted(set(members)):
        for label in (0, 1):
            rows = np.flatnonzero((members == member) & (labels == label))
            random.shuffle(rows)
            share[rows] = (np.arange(len(rows)) + random.rand()) / len(rows)
    parts = []
    for member in sorted(set(members)):
        mine = frame.filter(pl.Series(members == member)), share[members == member] < 0.8
        parts.append(tuple(TASK.prepare(mine[0].filter(pl.Series(chosen)), schema) for chosen in (mine[1], ~mine[1])))
    return Table(schema, parts)  # type: ignore[arg-type]


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


def federate(table: Table, plan: ReleasePlan, noise: str) -> Model:
    """The rounds of one plan; noise of every `member`, `once` for all, or `none`."""
    mechanism = LatticeGaussian(plan)
    model = TASK.start(table.schema, plan.shape.family)
    state = start_state(plan, model)
    for number in range(1, plan.releases + 1):
        sums = [TASK.contribute(plan, model, learn, round=number, key=_KEY) for learn, _ in table.members]
        if noise == "member":
            total = add([mechanism.release(one) for one in sums])
        else:
            exact = np.sum(sums, axis=0)
            total = mechanism.release(exact) if noise == "once" else array("q", exact.tobytes())
        model, state = advance(plan, state, total, number)
    return Model(plan.shape, model)


def measures(probabilities: list[np.ndarray], table: Table) -> tuple[float, float]:
    """(AUC, Brier) over the test rows of all members."""
    p, y = np.concatenate(probabilities), np.concatenate([test.y for _, test in table.members])
    return auroc(p, y), float(np.mean((p - y) ** 2))


def shared(table: Table, plan: ReleasePlan, noise: str) -> tuple[float, float]:
    """Measures of one federated model."""
    model = federate(table, plan, noise)
    return measures([probability(model, test) for _, test in table.members], table)


def designed(table: Table, rho_nano: int) -> tuple[float, float]:
    """The design's own trees, with the noise of every member: the mean of three draws."""
    learn = [(rows.columns, rows.y) for rows, _ in table.members]
    test = [rows.columns for _, rows in table.members]
    drawn = [
        measures(federated(learn, test, table.members[0][0].cuts, rho=rho_nano / 1e9, seed=seed), table)
        for seed in range(3)
    ]
    return float(np.mean([auc for auc, _ in drawn])), float(np.mean([brier for _, brier in drawn]))


def alone(table: Table) -> tuple[float, float]:
    """Each member's own logistic on its own test rows."""
    return measures([probability(TASK.fit_alone(learn, table.schema), test) for learn, test in table.members], table)


def boosted(learn: Rows, test: Rows) -> np.ndarray:
    """Ordinary boosted trees, without privacy."""
    if len(set(learn.y)) < 2:
        return np.full(len(test.y), learn.y.mean())
    model = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.06, max_leaf_nodes=15, random_state=0)
    p: np.ndarray = model.fit(learn.columns, learn.y).predict_proba(test.columns)[:, 1]
    return p


def pooled(table: Table) -> tuple[float, float]:
    """Boosted trees on the rows of all members."""
    learns = [learn for learn, _ in table.members]
    every = Rows(
        *(np.concatenate([getattr(one, part) for one in learns]) for part in ("columns", "x", "y")), (), learns[0].cuts
    )
    return measures([boosted(every, test) for _, test in table.members], table)


def methods(table: Table, delta: str) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """(method, family, measures) of everything compared."""
    yield "alone, logistic", "-", alone(table)
    yield "alone, boosted trees", "-", measures([boosted(*member) for member in table.members], table)
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
    rows = []
    for (method, family), results in found.items():
        auc, brier = np.mean(results, 0).round(4).tolist()
        spread = float(np.std([a for a, _ in results]).round(4))
        rows.append({"method": method, "family": family, "AUC": auc, "sd": spread, "Brier": brier})
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
