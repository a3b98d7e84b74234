"""Risk on real public data: members alone, pooled, federated with and without noise, and what a node serves.

    python -m benchmarks.risk --data ../shared/data                       everything (about half an hour of CPU)
    python -m benchmarks.risk --data ../shared/data --only UCI --seeds 1
    python -m benchmarks.risk --data ../shared/data --only UCI --nodes    one run over real node processes

Splits are those of the READMEs (`benchmarks.risk.protocol`); rounds are the product's, over LocalGrid; test rows score
and nothing else. Means over seeds. gain / tie / lose and the worst member: Brier against each member's own best model
by validation, 2,000 bootstrap draws over units.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.risk.methods import (
    DELTA,
    at_home,
    central_logistic,
    central_network,
    central_trees,
    continued,
    fedavg,
    fedavg_again,
    federated,
    narrowed,
    own_best,
    plan_of,
    public_forest,
    public_model,
    public_trees,
    served,
    shared_chances,
    single,
)
from benchmarks.risk.protocol import TABLES, Against, Chances, Score, Table, against, score, uci
from benchmarks.rounds.nodes import released
from benchmarks.tables import publish
from engine.binary.own import OWN
from engine.binary.weights import PUBLIC, SHARED
from engine.risk.task import TASK, auroc
from engine.task import Model
from privacy.accounting import epsilon, rho_cap

OWN_BEST, FEDAVG = "own best by validation", "FedAvg network, no privacy"
NODES = 8
PUBLIC_ROUNDS, PUBLIC_COLUMNS = 10, 8  # of 8, 16 and 24 columns, 8 were best on Polish validation rows
# Brier of the best local method in the data set's README, and AUC that federation without privacy must reach
BAR = {"UCI": 0.1352, "Polish": 0.0278, "SBA": 0.1688, "SBA, 2006 on": 0.2559}
LEVEL = {"UCI": 0.790, "Polish": 0.960, "SBA": 0.736, "SBA, 2006 on": 0.650}
NOTE = (
    "20 natural members, {seeds} seeds (the split moves with the seed), ± the sd of AUC over seeds; delta 1e-6, unit "
    "row, every member adds its own noise, rounds over LocalGrid; nothing else was spent (evaluation by a gate would "
    "be). Shared models learn from train only; a vote is decided on validation. gain / tie / lose and the worst "
    "member: Brier beside the member's own best by validation, 2,000 bootstrap draws over units, one-sided 1 % and "
    ".002. The last column is what a choice may look at. Research rows are no mode of the product."
)
NODES_NOTE = (
    f"Seed 0, the {NODES} largest members of each set as coordinator and node processes over TLS with a secure sum, "
    f"one run at local epsilon 1, delta 1e-6, unit row; the shared score alone, on their test rows. Beside it the "
    f"same rounds in one process."
)
LEVELS_NOTE = (
    "The README's levels (pooled trees .7946, FedAvg .7892, three seeds) were reached with age, sex, marriage and "
    "schooling among the inputs, and by fitting again on train and validation. No privacy here; the product uses "
    "neither."
)
PUBLIC_MODEL = "public model of the pool's rows, nothing spent"
Both = tuple[Chances, Chances]  # (validation, test)


@dataclass(frozen=True, slots=True)
class Made:
    """Everything of one split: chances of test rows by method, members that kept the shared vote, and what the shared
    models say of validation rows (AUC, Brier), by which a choice may be made."""

    table: Table
    chances: dict[str, Chances]
    kept: dict[str, int]
    validation: dict[str, tuple[float, float]]


def everything(table: Table, seed: int) -> Made:
    """All methods under one split."""
    homes = [at_home(member) for member in table.members]
    made = {name: single(homes, name) for name in OWN} | {OWN_BEST: own_best(table, homes)}
    made |= pooled(table, seed)
    candidates: dict[str, Both | None] = {"own, as served": None, FEDAVG: fedavg(table, seed)}
    candidates |= {name: shared_chances(table, model) for name, model in shared(table).items()}
    candidates |= from_public(table) if table.public else {}
    kept, validation = {}, {}
    for name, both in candidates.items():
        votes = name if both is None else f"{name}: vote, as served"
        made |= {} if both is None else {name: both[1]}
        made[votes], kept[votes] = served(table, homes, {} if both is None else {_vote(name): both})
        if both:
            validation[name] = _held(table, both[0])
    for target in ("4", "1") if table.public else ():
        name = f"public model and ours, local epsilon {target}: votes, as served"
        both_votes = {PUBLIC: candidates[PUBLIC_MODEL], SHARED: candidates[f"ours, local epsilon {target}"]}
        made[name], kept[name] = served(table, homes, both_votes)
    return Made(table, made, kept, validation)


def _vote(name: str) -> str:
    return PUBLIC if name == PUBLIC_MODEL else SHARED


def pooled(table: Table, seed: int) -> dict[str, Chances]:
    """All rows in one place: what no trust may do."""
    return {
        "pooled logistic": central_logistic(table),
        "pooled network": central_network(table, seed),
        "pooled boosted trees": central_trees(table, member_code=False),
        "pooled boosted trees, member code": central_trees(table, member_code=True),
    }


def shared(table: Table) -> dict[str, Model]:
    """The product's shared trees by budget."""
    plans = {name: plan_of(table, None if name == "0" else name) for name in ("0", "4", "1")}
    made = {
        "ours, no noise": federated(table, plans["0"], noisy=False),
        "ours, local epsilon 4": federated(table, plans["4"]),
        "ours, local epsilon 1": federated(table, plans["1"]),
    }
    for target in ("4", "1"):
        name = f"research: epsilon {target} noise once (local {_local(target, len(table.members))})"
        made[name] = federated(table, plans[target], once=True)
    return made


def from_public(table: Table) -> dict[str, Both]:
    """What a public pool gives: its own boosted trees for nothing, and the product's rounds on the few columns that
    they use most, from a forest of public rows."""
    made = {PUBLIC_MODEL: shared_chances(table, public_model(table))}
    few = narrowed(table, public_trees(table), PUBLIC_COLUMNS)
    for target in ("4", "1"):
        plan = plan_of(few, target)
        model = continued(few, plan, public_forest(few, plan, PUBLIC_ROUNDS))
        name = f"ours from the pool's {PUBLIC_COLUMNS} best columns and a forest of it, local epsilon {target}"
        made[name] = shared_chances(few, model)
    return made


def _local(target: str, members: int) -> str:
    """The local epsilon at which the members' noise adds up to that of one at `target`."""
    return f"{epsilon(rho_cap(target, DELTA) * members, DELTA):.1f}"


def _held(table: Table, chances: Chances) -> tuple[float, float]:
    p, y = np.concatenate(chances), np.concatenate([m.validation.y for m in table.members])
    return auroc(p, y), float(np.mean((p - y) ** 2))


@dataclass(frozen=True, slots=True)
class Row:
    """One method over all seeds."""

    scores: list[Score]
    beside: Against

    def mean(self, name: str) -> float:
        """Over seeds."""
        return float(np.mean([getattr(one, name) for one in self.scores]))

    def line(self, method: str, validation: str, kept: str) -> dict[str, Any]:
        """As the table shows it."""
        sd = f" ± {np.std([s.auc for s in self.scores], ddof=1):.4f}" if len(self.scores) > 1 else ""
        return {
            "method": method,
            "AUC": f"{self.mean('auc'):.4f}{sd}",
            "AP": f"{self.mean('ap'):.4f}",
            "Brier": f"{self.mean('brier'):.4f}",
            "AUC within members": f"{self.mean('within'):.4f}",
            "Brier small / mid / large": " ".join(f"{x:.4f}" for x in np.mean([s.thirds for s in self.scores], 0)),
            "gain / tie / lose": f"{self.beside.gain} / {self.beside.tie} / {self.beside.lose}",
            "worst member": self.beside.worst,
            "keep the vote": kept,
            "validation AUC / Brier": validation,
        }


def rows_of(runs: list[Made]) -> dict[str, Row]:
    """Every method beside the own best."""
    tables, base = [run.table for run in runs], [run.chances[OWN_BEST] for run in runs]
    found = {}
    for name in runs[0].chances:
        ours = [run.chances[name] for run in runs]
        scores = [score(table, one) for table, one in zip(tables, ours, strict=True)]
        found[name] = Row(scores, against(tables, ours, base))
    return found


def lines(runs: list[Made], rows: dict[str, Row]) -> list[dict[str, Any]]:
    """The table."""
    made = []
    for name, row in rows.items():
        votes = [run.kept[name] for run in runs if name in run.kept and name != "own, as served"]
        held = [run.validation[name] for run in runs if name in run.validation]
        kept = f"{np.mean(votes):.0f} of {len(runs[0].table.members)}" if votes else "–"
        told = "{:.4f} / {:.4f}".format(*np.mean(held, 0)) if held else "–"
        made.append(row.line(name, told, kept))
    return made


def verdicts(name: str, rows: dict[str, Row]) -> list[str]:
    """The bars of this set: what nodes serve beside their own best, then levels, then what privacy keeps."""
    own = rows[OWN_BEST]
    members = own.beside.gain + own.beside.tie + own.beside.lose
    checks: dict[str, bool] = {}
    for target in ("no noise", "local epsilon 4", "local epsilon 1"):
        row = rows[f"ours, {target}: vote, as served"]
        beside = row.beside
        checks[f"{target}: no worse than the own best for {members - beside.lose} of {members} members (>= 95 %)"] = (
            beside.lose <= max(1, int(0.05 * members))
        )
        checks[f"{target}: small third, Brier {beside.small:+.4f} ± {beside.error:.4f} (below 0 by one error)"] = (
            beside.small < -beside.error
        )
        checks[f"{target}: Brier {row.mean('brier'):.4f} <= {BAR[name]} of the best local method in the README"] = (
            row.mean("brier") <= BAR[name]
        )
    free = {n: r.mean("auc") for n, r in rows.items() if n.startswith(FEDAVG)}
    best = max(free, key=lambda n: free[n])
    checks[f"level: {best} has AUC {free[best]:.4f} (>= {LEVEL[name]})"] = free[best] >= LEVEL[name]
    if name == "UCI":
        checks |= kept_gain(rows, own, rows[best])
    return [f"{name}: {text} – {'MET' if met else 'MISSED'}" for text, met in checks.items()]


def kept_gain(rows: dict[str, Row], own: Row, free: Row) -> dict[str, bool]:
    """Shares of FedAvg's gain over the members' own best that privacy leaves after the vote, and Brier beside it."""
    checks: dict[str, bool] = {}
    gain = {name: free.mean(name) - own.mean(name) for name in ("auc", "brier")}
    for target, least in (("4", 0.45), ("1", 0.25)):
        row = rows[f"ours, local epsilon {target}: vote, as served"]
        share = (row.mean("auc") - own.mean("auc")) / gain["auc"]
        checks[f"epsilon {target} keeps {share:.0%} of FedAvg's AUC gain of {gain['auc']:.4f} (>= {least:.0%})"] = (
            share >= least
        )
        less = (row.mean("brier") - own.mean("brier")) / gain["brier"]
        text, met = (
            (f"keeps {less:.0%} of the Brier gain (>= 35 %)", less >= 0.35)
            if target == "4"
            else (
                f"Brier {row.mean('brier'):.4f} against {own.mean('brier'):.4f} (no worse)",
                row.mean("brier") <= own.mean("brier"),
            )
        )
        checks[f"epsilon {target}: {text}"] = met
    return checks


def over_nodes(name: str, data: Path) -> list[dict[str, Any]]:
    """Seed 0, the eight largest members, rows that a node's checks let pass: one run at epsilon 1 over TrustGrid and
    real processes, and the same over LocalGrid. A node holds a fifth of its rows back; so does the run beside it."""
    table = TABLES[name](data, 0)
    whole = [c.name for c in table.schema.of_kind("number") if c.missing == "refuse"]
    members = table.members[-NODES:]
    books = {m.name: m.books.drop_nulls(whole) for m in members}
    learned = [TASK.split(TASK.prepare(frame, table.schema), b"benchmark")[0] for frame in books.values()]
    table = Table(table.schema, [replace(m, train=rows) for m, rows in zip(members, learned, strict=True)])
    models = {
        f"{NODES} node processes": released(table.schema, books, "1"),
        "LocalGrid": federated(table, plan_of(table, "1")),
    }
    made = {f"{label}, local epsilon 1": shared_chances(table, model)[1] for label, model in models.items()}
    made = {OWN_BEST: own_best(table, [at_home(m) for m in members])} | made
    return [_short(method, score(table, chances)) for method, chances in made.items()]


def levels(data: Path, seeds: range) -> list[dict[str, Any]]:
    """UCI with and without the inputs that a scoring product should not use: is it the code or the inputs?"""
    made = []
    for personal in (False, True):
        tables = [uci(data, seed, personal=personal) for seed in seeds]
        methods: dict[str, list[Chances]] = {
            "pooled boosted trees": [central_trees(table, member_code=False) for table in tables],
            "FedAvg network, trained on train": [fedavg(t, s)[1] for t, s in zip(tables, seeds, strict=True)],
            "FedAvg network, refitted": [fedavg_again(t, s) for t, s in zip(tables, seeds, strict=True)],
        }
        for method, runs in methods.items():
            found = [score(table, run) for table, run in zip(tables, runs, strict=True)]
            made.append(
                {
                    "inputs": "all of the README" if personal else "the product's",
                    "method": method,
                    "AUC": f"{np.mean([f.auc for f in found]):.4f} ± {np.std([f.auc for f in found], ddof=1):.4f}",
                    "Brier": f"{np.mean([f.brier for f in found]):.4f}",
                }
            )
    return made


def _short(method: str, found: Score) -> dict[str, Any]:
    return {"method": method, "AUC": f"{found.auc:.4f}", "AP": f"{found.ap:.4f}", "Brier": f"{found.brier:.4f}"}


def main() -> None:
    """Print and write one table a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=TABLES, help="one set")
    parser.add_argument("--nodes", action="store_true", help="instead: one run over real node processes a set")
    parser.add_argument("--levels", action="store_true", help="instead: what the inputs of UCI are worth, no privacy")
    chosen = parser.parse_args()
    if chosen.levels:
        made = {"UCI": levels(chosen.data, range(chosen.seeds))}
        publish("risk", "What the inputs are worth", made, [LEVELS_NOTE], suffix="-levels")
        return
    parts: dict[str, Any] = {}
    bars: list[str] = []
    for name in [chosen.only] if chosen.only else TABLES:
        if chosen.nodes:
            parts[name] = over_nodes(name, chosen.data)
            continue
        runs = [everything(TABLES[name](chosen.data, seed), seed) for seed in range(chosen.seeds)]
        rows = rows_of(runs)
        parts[name], bars = lines(runs, rows), bars + verdicts(name, rows)
        print(f"{name}: {time.process_time():.0f} s of CPU so far", file=sys.stderr, flush=True)
    suffix = "" if chosen.only is None else "-" + chosen.only.lower().replace(", ", "-").replace(" ", "-")
    if chosen.nodes:
        publish("risk", "Risk over real node processes", parts, [NODES_NOTE], suffix=suffix + "-nodes")
        return
    notes = [NOTE.format(seeds=chosen.seeds), "Bars:\n\n" + "\n".join(f"- {bar}" for bar in bars)]
    publish("risk", "Risk on public data", parts, notes, suffix=suffix)


if __name__ == "__main__":
    main()
