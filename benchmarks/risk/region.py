"""The simulated cluster `region`: risk of counterparties, against a truth that no node saw.

    python -m benchmarks.risk.region                 about eight minutes of CPU
    python -m benchmarks.risk.region --worlds 1

Simulated figures say how methods compare where the truth is known. They say nothing about any real cluster. 60 members,
books closed half a year before the world ends, rows and labels by the product's rule; scored on who of today's
customers leaves a receivable unpaid in that half year. The members themselves: `benchmarks.risk.region_firms`.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from benchmarks.risk.methods import (
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
from benchmarks.risk.protocol import Chances, Member, Table, against, score
from benchmarks.tables import publish
from demo.world import CLOSED, MemberData, build
from engine.binary.own import OWN
from engine.binary.weights import SHARED
from engine.risk.books import HORIZON_DAYS, present, training
from engine.risk.task import TASK
from engine.table import shipped

MEMBERS = 60
TODAY = CLOSED - timedelta(days=HORIZON_DAYS)
_KEY = b"benchmark: simulated data, no secret"


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


def _word(met: bool) -> str:
    return "MET" if met else "MISSED"


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3)
    chosen = parser.parse_args()
    lines, bars = counterparty_table(range(chosen.worlds))
    notes = [
        f"**Simulated**: a generator of this repository (demo/world.py). Means over {chosen.worlds} worlds. {MEMBERS} "
        f"members, unit counterparty, noise of every member. Delta 1e-6.",
        "Bars:\n\n" + "\n".join(f"- {bar}" for bar in bars),
    ]
    publish("region", "The simulated region", {"Counterparties": lines}, notes)


if __name__ == "__main__":
    main()
