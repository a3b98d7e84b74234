"""What wrong members can do: labels flipped, a contribution a thousand times too large, constant, or not a number.

    python -m benchmarks.rounds.poisoned --data ../shared/data            about twenty minutes of CPU

The twelve largest members of a public set; one or two are wrong in every round, and when the model is judged: those in
the middle by size, then the largest. In a plain sum the coordinator looks at each contribution; under a secure sum it
sees only their sum. Then the gate judges the model on holdout units against its start and the model that serves (a run
without wrong members), and every node's own validation rows decide about the vote. Harm: what the other members would
serve if the model were released all the same, beside what they would serve after a run without wrong members.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demand.methods import home_votes, kind_of, network, series_of, voted
from benchmarks.demand.protocol import Setting, score, texas
from benchmarks.demand.tuning import schema_of, training_rows
from benchmarks.risk.methods import Home, at_home, served, shared_chances
from benchmarks.risk.protocol import Table, uci
from benchmarks.rounds.local_rounds import KEY, Side, play
from benchmarks.tables import publish
from contracts.envelope import digest
from contracts.statements.gate import judge, verdict_of
from contracts.statements.sums import limit_steps
from engine.binary.models import LabelledRows
from engine.binary.weights import SHARED
from engine.demand.task import TASK as DEMAND
from engine.demand.task import WindowRows as Windows
from engine.demand.task import rows_of
from engine.demand.windows import windows
from engine.evaluation import holdout_counts
from engine.evaluation import plan_for as evaluation_plan
from engine.risk.task import TASK as RISK
from engine.risk.task import auroc
from engine.table import TableSchema
from engine.task import Model, Task, plan_for
from privacy.accounting import rho_cap
from privacy.mechanisms import LatticeGaussian
from privacy.plan import ReleasePlan
from privacy.step import start_state

MEMBERS, EPSILON, GATE, DELTA = 12, "4", "1", "1e-6"
AUC_HARM, WQL_HARM = 0.01, 0.02
Wrong = tuple[int, ...]  # places of wrong members, by size
MIDDLE: dict[int, Wrong] = {1: (6,), 2: (5, 6)}
LARGEST: dict[int, Wrong] = {1: (11,), 2: (10, 11)}
FAULTS = ("labels flipped", "scale x 1000", "constant", "not a number")


def sent(fault: str, plan: ReleasePlan) -> Callable[[array[int]], array[int]]:
    """What a wrong member makes of its contribution."""
    match fault:
        case "scale x 1000":
            return lambda values: array("q", [1000 * value for value in values])
        case "constant":
            return lambda values: array("q", [limit_steps(plan)] * len(values))
        case "not a number":  # what NaN becomes where it is turned into a whole number
            return lambda values: array("q", [-(2**63)] * len(values))
    return lambda values: values


@dataclass(frozen=True, slots=True)
class Case:
    """A task on one set: what members learn from and are judged on, the largest last, as they are and with labels
    flipped; and what a model costs all but the `wrong` members, in the task's own measure."""

    task: Task
    schema: TableSchema
    plan: ReleasePlan
    rows: Sequence[Any]
    held: Sequence[Any]
    flipped: Callable[[Any], Any]
    loss: Callable[[Model, Wrong], float]

    def run(self, fault: str, wrong: Wrong, *, masked: bool) -> Model | None:
        """The model of one run; None where a sum is refused."""
        sides = []
        for at, rows in enumerate(self.rows):
            mine = self.flipped(rows) if at in wrong and fault == FAULTS[0] else rows
            made = sent(fault, self.plan) if at in wrong else (lambda values: values)
            sides.append(Side(self.task, self.plan, mine, LatticeGaussian(self.plan), made))
        model = self.task.start(self.schema, self.plan.shape.family)
        state = start_state(self.plan, model)
        values = play(self.plan, sides, model, state, accepts=self.accepts_sum if masked else self.accepts)
        return values if values is None else Model(self.plan.shape, values)

    def accepts(self, values: array[int], members: int) -> bool:
        """As coordinator/web/round_api.py checks a contribution to a plain sum."""
        return max(max(values), -min(values)) <= members * limit_steps(self.plan)

    def accepts_sum(self, values: array[int], members: int) -> bool:
        """As coordinator/learning/secure_sums.py checks a secure sum; what is masked cannot be looked at."""
        return members == 1 or self.accepts(values, members)

    def verdict(self, model: Model, serves: Model, fault: str, wrong: Wrong) -> str:
        """The gate's word on a model beside its start and the one that serves; wrong members
        flip their labels here too."""
        start = Model(self.plan.shape, self.task.start(self.schema, self.plan.shape.family))
        models = [model, start, serves]
        plan = evaluation_plan(self.task, self.schema, others=2, rho_nano=rho_cap(GATE, DELTA), delta=DELTA)
        noise, sums = LatticeGaussian(plan), []
        for at, rows in enumerate(self.held):
            held = self.flipped(rows) if at in wrong and fault == FAULTS[0] else rows
            counts = holdout_counts(plan, [self.task.judge(one, held) for one in models], held.unit, KEY)
            sums.append(np.frombuffer(noise.release(counts), dtype=np.int64))
        names = [digest(one.values.tobytes()) for one in models[1:]]
        return verdict_of(judge(plan, np.sum(sums, axis=0).tolist(), len(self.held), names))


def risk(data: Path, seed: int) -> Case:
    """UCI: rows are units here, so validation rows stand for a holdout that a table without ids does not have."""
    whole = uci(data, seed)
    table = Table(whole.schema, whole.members[-MEMBERS:])
    homes = [at_home(member) for member in table.members]
    plan = plan_for(
        RISK, table.schema, family="trees", releases=0, rho_nano=rho_cap(EPSILON, DELTA), delta=DELTA, members=MEMBERS
    )

    def loss(model: Model, wrong: Wrong) -> float:
        return -_served_auc(table, homes, model, wrong)

    train, held = ([getattr(m, part) for m in table.members] for part in ("train", "validation"))
    return Case(RISK, table.schema, plan, train, held, _flip_labels, loss)


def _flip_labels(rows: LabelledRows) -> LabelledRows:
    return replace(rows, y=1 - rows.y)


def _served_auc(table: Table, homes: list[Home], model: Model, wrong: Wrong) -> float:
    others = [at for at in range(len(table.members)) if at not in wrong]
    small = Table(table.schema, [table.members[at] for at in others])
    chances, _ = served(small, [homes[at] for at in others], {SHARED: shared_chances(small, model)})
    return auroc(np.concatenate(chances), np.concatenate([m.test.y for m in small.members]))


def demand(data: Path, seed: int) -> Case:
    """Texas by chain: the head of the public start is tuned; windows of validation origins are the holdout."""
    setting = _largest(texas(data, "chain"))
    votes, schema = home_votes(setting), schema_of(setting)
    plan = plan_for(
        DEMAND, schema, family="gradients", releases=0, rho_nano=rho_cap(EPSILON, DELTA), delta=DELTA, members=MEMBERS
    )

    def loss(model: Model, wrong: Wrong) -> float:
        """Log of WQL: a difference is a share."""
        others = np.isin(setting.member, [n for at, n in enumerate(setting.members()) if at not in wrong])
        made, _ = voted(setting, votes, network(setting, model.values))
        cut = len(setting.validation)
        return float(np.log(score(setting.only(others), made[others][:, cut:], setting.test).wql))

    rows = training_rows(setting)
    held = []
    for name in setting.members():
        own = setting.only(np.flatnonzero(setting.member == name))
        held.append(rows_of(kind_of(own), series_of(own), windows(series_of(own), own.validation, kind_of(own))))
    return Case(DEMAND, schema, plan, [rows[name] for name in setting.members()], held, _turned, loss)


def _largest(setting: Setting) -> Setting:
    return setting.only(np.flatnonzero(np.isin(setting.member, setting.members()[-MEMBERS:])))


def _turned(rows: Windows) -> Windows:
    """Sales that went up went down, in shares of the window's level."""
    return replace(rows, y=np.maximum(0.0, 2.0 - rows.y))


def table_of(cases: Sequence[Case], harm: float) -> tuple[list[dict[str, Any]], list[str]]:
    """One line a fault, who is wrong and kind of sum; `cases` are seeds."""
    clean = [model for case in cases if (model := case.run("none", (), masked=True))]
    lines = [_line("none", "–", (), False, cases, clean, harm)]
    for fault in FAULTS:
        for count in (1, 2):
            for masked in (False, True):
                lines.append(_line(fault, f"{count} of the middle", MIDDLE[count], masked, cases, clean, harm))
    for fault in ("labels flipped", "constant"):
        lines += [_line(fault, f"the {n} largest", LARGEST[n], False, cases, clean, harm) for n in (1, 2)]
    return lines, [f"{one['fault']}, {one['wrong']}, {one['sum']}" for one in lines if one["bar"] == "MISSED"]


def _line(
    fault: str, who: str, wrong: Wrong, masked: bool, cases: Sequence[Case], clean: Sequence[Model], harm: float
) -> dict[str, Any]:
    made = [case.run(fault, wrong, masked=masked) for case in cases]
    told = [
        (case.verdict(model, serves, fault, wrong), case.loss(model, wrong) - case.loss(serves, wrong))
        for case, serves, model in zip(cases, clean, made, strict=True)
        if model
    ]
    more = [lost for _, lost in told]
    served = {"worse": "keep", "not-worse": "release", "too-few": cases[0].task.untold}
    met = all(served[verdict] == "keep" or lost <= harm for verdict, lost in told)
    refused = not masked and not cases[0].accepts(sent(fault, cases[0].plan)(_typical(cases[0])), 1)
    return {
        "fault": fault,
        "wrong": who,
        "sum": "secure sum" if masked else "plain sum",
        "refused": "each contribution" if refused else "the sum: no model" if not told else "–",
        "gate": ", ".join(verdict for verdict, _ in told) or "–",
        "harm to the others if released": f"{np.mean(more):+.4f} (worst {max(more):+.4f})" if told else "–",
        "bar": "MET" if met else "MISSED",
    }


def _typical(case: Case) -> array[int]:
    """What a member in the middle sends in the first round."""
    model = case.task.start(case.schema, case.plan.shape.family)
    total = case.task.contribute(case.plan, model, case.rows[MIDDLE[1][0]], round=1, key=KEY)
    return LatticeGaussian(case.plan).release(total)


def main() -> None:
    """Print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    parts, bars = {}, []
    made: dict[str, tuple[Callable[[Path, int], Case], float, str]] = {
        "Risk, UCI": (risk, AUC_HARM, "AUC"),
        "Demand, Texas chains": (demand, WQL_HARM, "share of WQL"),
    }
    for name, (case, harm, measure) in made.items():
        parts[name], missed = table_of([case(chosen.data, seed) for seed in range(chosen.seeds)], harm)
        bars.append(
            f"{name}: the gate lets what served before serve on, or harm is at most {harm} {measure}: "
            + ("MET" if not missed else f"MISSED by {'; '.join(missed)}")
        )
    notes = [
        f"{MEMBERS} members, {chosen.seeds} seeds, local epsilon {EPSILON}, delta {DELTA}; one verdict a seed. A run "
        f"costs every member epsilon {EPSILON} of its training units and its evaluation epsilon {GATE} of its "
        f"held-out units, also where the model is refused: budget that was spent on a spoilt run is gone, and the "
        f"agreement caps how many such runs a year may hold. A member whose contribution is refused on arrival is out "
        f"of that round; the others' sum stands without it. A secure sum outside the plan's range is refused as a "
        f"whole: that round is lost, with its budget. A gate that says too-few releases nothing unless the order said "
        f"--untold release, which is the default of risk, where nothing else is shared, and not of demand. The two "
        f"largest hold a third of the card holders' training rows. The first line is a second run without wrong "
        f"members: how far two runs differ by noise alone.",
        "Bars:\n\n" + "\n".join(f"- {bar}" for bar in bars),
    ]
    publish("poisoned", "Wrong members", parts, notes)


if __name__ == "__main__":
    main()
