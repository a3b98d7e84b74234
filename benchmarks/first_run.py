"""Risk and demand on real public data: each member alone, federated without noise, federated with privacy.

    python -m benchmarks.first_run --data ../shared/data            in this process
    python -m benchmarks.first_run --data ../shared/data --nodes    and a row a task over eight real node processes

Risk: UCI credit default, 20 members, split of the data set's README (train + validation to learn, test to score).
Demand: Texas hospitality by chain, protocol of its README (benchmarks.demand has every method and bar).
"""

from __future__ import annotations

import argparse
import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demand.methods import home_votes, kind_of, network, three
from benchmarks.demand.protocol import Setting, losses, texas
from benchmarks.demand.tuning import books, largest, schema_of, training_rows, tune
from benchmarks.risk.protocol import Table, uci
from benchmarks.rounds.local_rounds import federated
from benchmarks.rounds.nodes import plan_of, released
from engine.demand import start
from engine.risk.task import auroc, probability
from engine.table import TableSchema
from engine.task import Model, load

NODES = 8
OVER_NODES = f"{NODES} node processes, epsilon 1"


@dataclass(frozen=True, slots=True)
class Member:
    """One member's prepared rows: to learn from, and to score on."""

    train: Any
    test: Any


def federate(task: Any, schema: TableSchema, members: list[Member], epsilon: str | None) -> Model:
    """The product's rounds in this process; None = the same sums on the grid without noise."""
    plan = plan_of(schema, len(members), epsilon or "8")
    rows, start = [member.train for member in members], task.start(schema, plan.shape.family)
    return federated(task, plan, rows, start, noisy=epsilon is not None)


def table(task: Any, schema: TableSchema, members: list[Member], rows: dict[str, list[Model]]) -> list[dict[str, Any]]:
    """One line a method: mean loss, pooled AUROC for risk, and how many members do worse than by the first method."""
    first, *_ = rows.values()
    alone = [task.evaluate(model, member.test, schema)["loss"] for model, member in zip(first, members, strict=True)]
    lines = []
    for name, models in rows.items():
        losses = [
            task.evaluate(model, member.test, schema)["loss"] for model, member in zip(models, members, strict=True)
        ]
        line = {
            "task": task.name,
            "method": name,
            "mean loss": round(float(np.mean(losses)), 4),
            "worse than alone": sum(a > b * 1.0001 for a, b in zip(losses, alone, strict=True)),
            "members": len(members),
        }
        if task.name == "risk":
            line["AUROC"] = round(_pooled_auroc(models, members), 4)
        lines.append(line)
    return lines


def _pooled_auroc(models: list[Model], members: list[Member]) -> float:
    scores = [probability(model, m.test) for model, m in zip(models, members, strict=True)]
    return auroc(np.concatenate(scores), np.concatenate([m.test.y for m in members]))


def main() -> None:
    """Print one table and, with --json, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", action="store_true", help="also eight real node processes a task")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    lines: list[dict[str, Any]] = []
    credit = uci(chosen.data, chosen.seed)
    lines += _methods(load("risk"), credit.schema, [Member(one.learn, one.test) for one in credit.members])
    setting = texas(chosen.data, "chain")
    if chosen.nodes:
        lines += risk_over_nodes(credit)
    lines += demand_lines(setting)
    if chosen.nodes:
        lines += demand_over_nodes(setting)
    if chosen.json:
        print(json.dumps(lines, indent=1))
        return
    print(f"{'task':<8}{'method':<32}{'AUROC':>8}{'loss (Brier / WQL)':>20}{'worse than alone':>20}")
    for line in lines:
        print(
            f"{line['task']:<8}{line['method']:<32}{line.get('AUROC', '-'):>8}{line['mean loss']:>20}"
            f"{line['worse than alone']:>14} of {line['members']}"
        )


def risk_over_nodes(credit: Table) -> list[dict[str, Any]]:
    """The eight largest card issuers as processes, and the same eight alone."""
    risk, schema, eight = load("risk"), credit.schema, credit.members[-NODES:]
    members = [Member(one.learn, one.test) for one in eight]
    model = released(schema, {one.name: one.books for one in eight}, "1")
    alone = [risk.fit_alone(member.train, schema) for member in members]
    return table(risk, schema, members, {f"alone, {NODES} of them": alone, OVER_NODES: [model] * NODES})


def demand_lines(setting: Setting) -> list[dict[str, Any]]:
    """Texas chains: the average of three simple forecasts at home, the public start, and its head tuned together."""
    rows = training_rows(setting)
    heads = {"start, untuned": start.head(kind_of(setting))} | {
        f"federated, {label}": tune(setting, rows, epsilon)
        for label, epsilon in (("no noise", None), ("epsilon 4 a series", "4"), ("epsilon 1 a series", "1"))
    }
    return _demand_table(setting, "alone", heads)


def demand_over_nodes(setting: Setting) -> list[dict[str, Any]]:
    """The eight largest chains as processes, each with the months before the first test origin, and the same alone."""
    eight = largest(setting, NODES)
    head = released(schema_of(eight), books(eight), "1").values
    return _demand_table(eight, f"alone, {NODES} of them", {OVER_NODES: head})


def _demand_table(setting: Setting, alone: str, heads: dict[str, array[float]]) -> list[dict[str, Any]]:
    sold = np.nansum(setting.targets(setting.test), axis=(1, 2))
    made = {alone: three(setting, home_votes(setting))} | {n: network(setting, head) for n, head in heads.items()}
    named = [np.flatnonzero(setting.member == name) for name in setting.members()]
    wql = {n: [float(losses(setting, [one])[r].sum() / sold[r].sum()) for r in named] for n, one in made.items()}
    return [
        {
            "task": "demand",
            "method": name,
            "mean loss": round(float(np.mean(each)), 4),
            "worse than alone": sum(a > b * 1.0001 for a, b in zip(each, wql[alone], strict=True)),
            "members": len(named),
        }
        for name, each in wql.items()
    ]


def _start(task: Any, schema: TableSchema) -> Model:
    family = task.families[0]
    design = task.design(schema, family, 0)
    return Model(design.shape, task.start(schema, family))


def _methods(task: Any, schema: TableSchema, members: list[Member]) -> list[dict[str, Any]]:
    unit = schema.unit
    rows = {"alone": [task.fit_alone(m.train, schema) for m in members], "start": [_start(task, schema)] * len(members)}
    for label, epsilon in (
        ("federated, no noise", None),
        (f"federated, epsilon 4 a {unit}", "4"),
        (f"federated, epsilon 1 a {unit}", "1"),
    ):
        rows[label] = [federate(task, schema, members, epsilon)] * len(members)
    return table(task, schema, members, rows)


if __name__ == "__main__":
    main()
