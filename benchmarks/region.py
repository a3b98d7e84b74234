"""The simulated cluster `region`: risk of counterparties and of the members themselves, against a truth that no node saw.

    python -m benchmarks.region                 about ten minutes of CPU
    python -m benchmarks.region --worlds 1

Simulated figures say how methods compare where the truth is known. They say nothing about any real cluster.
Counterparties: 60 members, books closed half a year before the world ends, rows and labels by the product's rule; scored on
who of today's customers leaves a receivable unpaid in that half year. Early warning: 120 firms, a month of a firm is a row,
the unit is the whole member; learned in three years, scored on the rows of the following two.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from benchmarks.local_rounds import federated as run
from benchmarks.risk_methods import (
    at_home,
    central_logistic,
    central_trees,
    federated,
    own_best,
    plan_of,
    served,
    shared_chances,
    single,
)
from benchmarks.risk_protocol import Chances, Member, Table, against, join, score
from benchmarks.tables import publish
from demo import firms
from demo.world import CLOSED, MemberData, build
from engine.risk.ballot import SHARED
from engine.risk.books import HORIZON_DAYS, present, training
from engine.risk.models import Rows, probability
from engine.risk.own import OWN, fit_own
from engine.risk.task import TASK, auroc
from engine.table import Column, TableSchema, shipped
from engine.task import Model
from privacy.curves import rho_cap
from privacy.plan import Adam, Gradients, planned
from privacy.spend import Unit

MEMBERS, FIRMS = 60, 120
# months learned from, from when scored (labels of the first reach there), and in the world
LEARN, WATCH, MONTHS = 36, 42, 72
TODAY = CLOSED - timedelta(days=HORIZON_DAYS)
DELTA = "1e-6"
_KEY = b"benchmark: simulated data, no secret"
WARNING = (10, "0.05", "0.2")  # rounds, rate and clip: chosen on worlds 100 and above


def counterparties(seed: int) -> Table:
    """The region's members by size; test rows are today's customers with what the half year after showed."""
    schema, made = shipped("engine.risk"), []
    for number, data in enumerate(build(MEMBERS, "region", seed)[1], 1):
        before = _known(data)
        train, held = TASK.split(TASK.prepare(training(before, schema, TODAY), schema), _KEY)
        after = {"invoices": data.invoices, "payments": data.payments}
        whole = training(after, schema.model_copy(update={"max_rows_per_unit": 1}), CLOSED)
        today = present(before, schema, TODAY).drop("defaulted")
        test = TASK.prepare(today.join(whole.select("counterparty", "defaulted"), on="counterparty"), schema)
        name = f"R{number:02d}"
        made.append(Member(name, train, held, test, np.arange(len(test.y)), pl.DataFrame()))
    return Table(schema, sorted(made, key=lambda member: (member.size, member.name)))


def _known(data: MemberData) -> dict[str, pl.DataFrame]:
    """Books as they stood today."""
    invoices = data.invoices.filter(pl.col("issued") <= TODAY)
    payments = data.payments.filter(pl.col("paid") <= TODAY).filter(
        pl.col("invoice").is_in(invoices["invoice"].implode())
    )
    return {"invoices": invoices, "payments": payments}


def counterparty_methods(table: Table) -> dict[str, Chances]:
    """Everything compared in one world."""
    homes = [at_home(member) for member in table.members]
    made = {name: single(homes, name) for name in OWN} | {"own best by validation": own_best(table, homes)}
    made["own, as served"] = served(table, homes, {})[0]
    made |= {
        "pooled logistic": central_logistic(table),
        "pooled boosted trees": central_trees(table, member_code=False),
    }
    for name, epsilon in (("ours, no noise", None), ("ours, local epsilon 4", "4"), ("ours, local epsilon 1", "1")):
        both = shared_chances(table, federated(table, plan_of(table, epsilon), noisy=epsilon is not None))
        made |= {name: both[1], f"{name}: vote, as served": served(table, homes, {SHARED: both})[0]}
    return made


def counterparty_table(worlds: range) -> tuple[list[dict[str, Any]], list[str]]:
    """Means over worlds, and the bar of calibration."""
    tables = [counterparties(seed) for seed in worlds]
    runs = [counterparty_methods(table) for table in tables]
    labels = [np.concatenate([m.test.y for m in table.members]) for table in tables]
    lines, off = [], {}
    for name in runs[0]:
        chances = [run[name] for run in runs]
        found = [score(table, one) for table, one in zip(tables, chances, strict=True)]
        beside = [
            against([t], [c], [r["own best by validation"]]) for t, c, r in zip(tables, chances, runs, strict=True)
        ]
        off[name] = float(np.mean([calibration(np.concatenate(c), y) for c, y in zip(chances, labels, strict=True)]))
        lines.append(
            {
                "method": name,
                "AUC": f"{np.mean([f.auc for f in found]):.4f}",
                "AP": f"{np.mean([f.ap for f in found]):.4f}",
                "Brier": f"{np.mean([f.brier for f in found]):.4f}",
                "calibration error": f"{off[name]:.4f}",
                "gain / tie / lose": " / ".join(
                    f"{np.mean([getattr(b, k) for b in beside]):.0f}" for k in ("gain", "tie", "lose")
                ),
            }
        )
    rate = float(np.mean(np.concatenate(labels)))
    bars = [f"(customers today: {np.mean([len(y) for y in labels]):.0f} a world, {rate:.1%} fail)"]
    for target in ("4", "1"):
        name = f"ours, local epsilon {target}: vote, as served"
        bars.append(
            f"epsilon {target}, as served: calibration error {off[name]:.4f} (<= .03) – {_word(off[name] <= 0.03)}"
        )
    return lines, bars


def calibration(chance: np.ndarray, came: np.ndarray) -> float:
    """Mean distance of what was told from what came, in ten bins of equal count."""
    parts = np.array_split(np.argsort(chance, kind="stable"), 10)
    return float(sum(len(p) * abs(chance[p].mean() - came[p].mean()) for p in parts) / len(chance))


@dataclass(frozen=True, slots=True)
class Panel:
    """One world's firms: rows to learn from, a member each, and rows to score."""

    members: list[Rows]
    test: Rows


def panel_schema() -> TableSchema:
    """A month of a firm; the id is the firm itself, so that all its months are one unit."""
    numbers = [
        Column(name=name, kind="number", transform="linear", low=str(low), high=str(high), missing="flag")
        for name, (low, high) in firms.RATIOS.items()
    ]
    return TableSchema(
        format="mengbang-table/1",
        task="risk",
        dataset="early-warning",
        file="firm.csv",
        unit="counterparty",
        purpose="early-risk-warning",
        row_meaning="a firm in one month",
        max_units=1,
        max_rows_per_unit=LEARN,
        columns=(Column(name="firm", kind="id"), *numbers, Column(name="distressed", kind="label")),
    )


def panel(seed: int) -> Panel:
    """A world of firms."""
    world, schema = firms.simulate(FIRMS, MONTHS, seed), panel_schema()
    learned = world.rows(0, LEARN)
    each = [TASK.prepare(part, schema) for part in learned.partition_by("firm", maintain_order=True)]
    return Panel(each, TASK.prepare(world.rows(WATCH, MONTHS), schema))


def prior(seed: int) -> array[float]:
    """A logistic fitted in another world of the same kind: as good as a prior can be."""
    model = fit_own("logistic", join(panel(1000 + seed).members))
    assert isinstance(model, Model)
    return model.values


def damaged(values: array[float], seed: int) -> array[float]:
    """Coefficients halved, with errors as large as they were; the base rate stays."""
    weights = np.array(values[:-1])
    error = np.random.default_rng(seed).normal(0, np.abs(weights).mean(), len(weights))
    return array("d", [*(0.5 * weights + error), values[-1]])


def warned(panel: Panel, start: array[float], epsilon: str | None) -> Model:
    """The product's rounds for a logistic, every member one unit; None is without noise."""
    rounds, rate, clip = WARNING
    plan = planned(
        rho_cap(epsilon, DELTA) if epsilon else 10**13,
        task="risk",
        dataset="early-warning",
        unit=Unit.MEMBER,
        shape=Gradients("gradients", ((len(start) - 1, 1),), clip),
        step=Adam("adam", rate, rounds // 2),
        releases=rounds,
        delta=DELTA,
        max_units=1,
        max_rows_per_unit=LEARN,
    )
    return run(TASK, plan, panel.members, start, noisy=epsilon is not None)


def warning_methods(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(what came, chances by method) in one world."""
    here, good = panel(seed), prior(seed)
    bad, pooled = damaged(good, seed), fit_own("logistic", join(here.members))
    assert isinstance(pooled, Model)
    zero = array("d", [0.0] * (len(good) - 1) + [good[-1]])
    models = {
        "pooled logistic (no trust may)": pooled,
        "public prior alone": replace(pooled, values=good),
        "damaged prior alone": replace(pooled, values=bad),
    }
    for name, start in (("damaged prior", bad), ("no prior", zero), ("public prior", good)):
        for word, epsilon in (("no noise", None), ("epsilon 4", "4"), ("epsilon 1", "1")):
            models[f"{name} + members, {word}"] = warned(here, start, epsilon)
    made = {"each firm alone": _alone(here)} | {name: probability(model, here.test) for name, model in models.items()}
    return here.test.y, made


def _alone(here: Panel) -> np.ndarray:
    """A firm's own logistic; most have never seen distress, so theirs is a base rate."""
    own = {
        rows.unit[0]: fit_own("logistic", rows) or fit_own("base rate", rows) for rows in here.members if len(rows.y)
    }
    chance = np.zeros(len(here.test.y))
    names = np.array(here.test.unit)
    for name in set(here.test.unit):
        at, model = np.flatnonzero(names == name), own[name]
        assert model
        chance[at] = probability(model, here.test.take(at))
    return chance


def warning_table(worlds: range) -> tuple[list[dict[str, Any]], list[str]]:
    """Means over worlds, and whether members improve the damaged prior."""
    runs = [warning_methods(seed) for seed in worlds]
    measures: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "AUC": auroc,
        "AP": lambda p, y: float(average_precision_score(y, p)),
        "Brier": lambda p, y: float(np.mean((p - y) ** 2)),
        "calibration error": calibration,
        "found by the top 8 %": lambda p, y: float(y[np.argsort(-p)[: round(0.08 * len(p))]].sum() / max(y.sum(), 1)),
    }
    found = {
        name: {word: [measure(made[name], y) for y, made in runs] for word, measure in measures.items()}
        for name in runs[0][1]
    }
    lines = [
        {"method": name} | {word: f"{np.mean(each):.3f}" for word, each in one.items()} for name, one in found.items()
    ]
    base, bars = np.array(found["damaged prior alone"]["AUC"]), []
    for word in ("epsilon 4", "epsilon 1"):
        more = np.array(found[f"damaged prior + members, {word}"]["AUC"]) - base
        error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else float("nan")
        bars.append(
            f"{word}: members add {more.mean():+.3f} ± {error:.3f} AUC to the damaged prior (>= .03) – {_word(more.mean() >= 0.03)}"
        )
    rate = np.mean([y.mean() for y, _ in runs])
    return lines, [f"({np.mean([len(y) for y, _ in runs]):.0f} firm-months a world, {rate:.1%} before distress)", *bars]


def _word(met: bool) -> str:
    return "MET" if met else "MISSED"


def main() -> None:
    """Print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3)
    chosen = parser.parse_args()
    first, first_bars = counterparty_table(range(chosen.worlds))
    second, second_bars = warning_table(range(2 * chosen.worlds))
    notes = [
        "**Simulated**: a generator of this repository (demo/world.py, demo/firms.py). Means over "
        f"{chosen.worlds} worlds ({2 * chosen.worlds} of firms). Counterparties: {MEMBERS} members, unit counterparty, noise of "
        f"every member. Early warning: {FIRMS} firms, unit member, {WARNING[0]} rounds. Delta {DELTA}. A good prior flatters: it "
        "comes from the same generator.",
        "Bars:\n\n" + "\n".join(f"- {bar}" for bar in [*first_bars, *second_bars]),
    ]
    parts = {"Counterparties": first, "Early warning: the member itself, by month": second}
    publish("region", "The simulated region", parts, notes)


if __name__ == "__main__":
    main()
