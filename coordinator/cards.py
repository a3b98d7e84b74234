"""Released models: which one serves, and a card for each from the log and the task's own words, without any count."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from contracts.errors import Refused
from contracts.rules.state import RunRecord
from contracts.wording import N_
from coordinator.api import Office
from coordinator.console import document_of
from coordinator.evaluation import Evaluation
from engine.table import TableSchema, read_schema
from privacy.curves import epsilon
from privacy.plan import Trees


def listed(office: Office) -> list[dict[str, Any]]:
    """Every release in order of its run."""
    state = office.log.state()
    return [
        {
            "task": run.order.task,
            "run": run.run,
            "model": run.release.model,
            "index": run.index,
            "epsilon": _epsilon(run),
            "gate": run.gate.verdict if run.gate else None,
            "serves": state.released_runs.get(run.order.task) == run.run,
        }
        for run in state.runs_in_order()
        if run.release
    ]


def card(office: Office, name: str) -> list[tuple[str, list[str]]]:
    """(heading, lines) of the released model of a run; Refused if there is none whose name begins so."""
    found = [r for r in office.log.state().runs_in_order() if r.release and _begins(r.run, name)]
    if len(found) != 1:
        raise Refused(
            N_("{n} released models have a run that begins with {name}"),
            do=N_("coordinator models lists them"),
            code="NO_MODEL",
            n=len(found),
            name=name,
        )
    run = found[0]
    schema = read_schema(document_of(office, run.order.schema_digest))
    gives, not_for = _words(run.order.task)
    return [
        (N_("What it gives"), gives),
        (N_("Table"), _table(schema)),
        (N_("What is hidden, and within which caps"), _caps(run, schema)),
        (N_("Privacy"), _privacy(run)),
        (N_("Evaluation"), _evaluated(office, run)),
        (N_("Not for"), not_for),
        (N_("Lineage in the log"), _lineage(office, run)),
    ]


def text(made: list[tuple[str, list[str]]], translate: Callable[[str], str]) -> str:
    """The card as Markdown in the language of `translate`."""
    parts = ["# " + translate(N_("Model card"))]
    for heading, lines in made:
        parts += ["", "## " + translate(heading), *(f"- {translate(line)}" for line in lines)]
    return "\n".join(parts) + "\n"


def _begins(run: str, name: str) -> bool:
    return run.startswith(name) or run.removeprefix("sha256:").startswith(name)


def _words(task: str) -> tuple[list[str], list[str]]:
    """What the task itself says of its models."""
    place = f"engine.{task}.card"
    if find_spec(place) is None:
        return [N_("the task ships no words for a card")], []
    told = import_module(place)
    return list(told.GIVES), list(told.NOT_FOR)


def _epsilon(run: RunRecord) -> float:
    plan = run.order.plan
    return round(epsilon(plan.total_rho_nano(), plan.delta), 4)


def _table(schema: TableSchema) -> list[str]:
    names = ", ".join(column.name for column in schema.columns)
    return [f"{schema.dataset}: {schema.row_meaning}", names, schema.digest(), *([schema.rule] if schema.rule else [])]


def _caps(run: RunRecord, schema: TableSchema) -> list[str]:
    plan = run.order.plan
    return [
        f"unit: {plan.unit}",
        f"max_units: {plan.max_units}, max_rows_per_unit: {plan.max_rows_per_unit}",
        f"family: {plan.shape.family}, clip: {plan.shape.clip}, rounds: {plan.releases}"
        + (f", {plan.shape.trees} x depth {plan.shape.depth}" if isinstance(plan.shape, Trees) else ""),
    ]


def _privacy(run: RunRecord) -> list[str]:
    gate = run.order.gate
    held = [f"held-out units: epsilon {epsilon(gate.rho_nano, run.order.plan.delta):.4f}"] if gate else []
    return [f"epsilon {_epsilon(run)} (delta {run.order.plan.delta}) a member and run", *held]


def _evaluated(office: Office, run: RunRecord) -> list[str]:
    """The gate's comparisons with their band, and what the released histogram says with its error."""
    if run.gate is None:
        return [N_("no gate: the table has no ids and so no holdout; members compare at home")]
    told = [f"{run.gate.verdict}, {run.gate.decision}"]
    told += [f"{c.model[:23]}: {c.difference} ± {c.band}, {c.verdict}" for c in run.gate.compared]
    judged = Evaluation(office.database, office.log, office.settings)
    figures = judged.figures(office.log.state().runs[run.evaluation]) if run.evaluation else None
    if figures:
        told.append(
            f"AUC {figures['auc']} ± {figures['auc_error']}, Brier {figures['brier']} ± {figures['brier_error']}, "
            f"ECE {figures['calibration_error']}"
        )
    return [*told, N_("each member's own comparison is on its own node: mine alone, shared, what is used")]


def _lineage(office: Office, run: RunRecord) -> list[str]:
    """Digests and entries that lead from the agreement to the model."""
    state = office.log.state()
    assert run.release is not None
    steps = [
        f"agreement #{state.agreements[run.order.agreement].index} {run.order.agreement}",
        f"order #{run.index} {run.run}",
        f"start {run.order.model_start}",
        "rounds " + ", ".join(f"#{one.open_index}" for one in run.rounds),
    ]
    if run.evaluation:
        steps.append(f"evaluation #{state.runs[run.evaluation].index} {run.evaluation}")
    return [*steps, f"model {run.release.model}", f"bundle {run.order.bundle}"]
