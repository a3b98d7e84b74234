"""Released models: which one serves, and a card for each from the log and the task's own words, without any count."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from contracts.errors import Refused
from contracts.promise import UNITS
from contracts.rules.state import RunRecord
from contracts.wording import N_, filled, some_of
from coordinator.learning.evaluation import Evaluation
from coordinator.office import Office
from coordinator.store.documents import document_of
from engine.table import TableSchema, read_schema
from privacy.accounting import epsilon
from privacy.plan import Trees

Line = tuple[str, dict[str, Any]]  # a sentence and its values
WORDS = {
    "not-worse": N_("not worse"),
    "worse": N_("worse"),
    "too-few": N_("too few to tell"),
    "release": N_("may be released"),
    "keep": N_("is not released"),
}  # verdicts and decisions of a gate, as people read them
FAMILIES = {"trees": N_("trees"), "gradients": N_("gradients"), "moments": N_("moments")}


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


def found(office: Office, name: str) -> RunRecord:
    """The released run that begins so; Refused unless there is exactly one."""
    runs = [r for r in office.log.state().runs_in_order() if r.release and _begins(r.run, name)]
    if len(runs) != 1:
        raise Refused(
            N_("{n} released models have a run that begins with {name}"),
            why=N_("released are: {known}"),
            do=N_("give more of one of these; coordinator models lists them"),
            known=some_of(f"{r.run[:23]} ({r.order.task})" for r in office.log.state().runs_in_order() if r.release),
            code="NO_MODEL",
            n=len(runs),
            name=name,
        )
    return runs[0]


def card(office: Office, name: str) -> list[tuple[str, list[Line]]]:
    """(heading, lines) of the released model of a run; see `found`."""
    run = found(office, name)
    schema = read_schema(document_of(office.database, run.order.schema_digest))
    gives, not_for = _words(run.order.task)
    return [
        (N_("What it gives"), gives),
        (N_("Table"), _table(schema)),
        (N_("What is hidden, and within which caps"), _caps(run)),
        (N_("Privacy"), _privacy(run)),
        (N_("Evaluation"), _evaluated(office, run)),
        (N_("Not for"), not_for),
        (N_("Lineage in the log"), _lineage(office, run)),
    ]


def text(made: list[tuple[str, list[Line]]], translate: Callable[[str], str]) -> str:
    """The card as Markdown in the language of `translate`."""
    parts = ["# " + translate(N_("Model card"))]
    for heading, lines in spoken(made, translate):
        parts += ["", "## " + heading, *(f"- {line}" for line in lines)]
    return "\n".join(parts) + "\n"


def spoken(made: list[tuple[str, list[Line]]], translate: Callable[[str], str]) -> list[tuple[str, list[str]]]:
    """Headings and sentences in the language of `translate`."""
    return [
        (translate(heading), [filled(translate(text), _values(values, translate)) for text, values in lines])
        for heading, lines in made
    ]


def _values(values: dict[str, Any], translate: Callable[[str], str]) -> dict[str, Any]:
    """The values; verdict, decision, unit and family in the reader's language."""
    known = {"verdict": WORDS, "decision": WORDS, "unit": UNITS, "family": FAMILIES}
    return values | {name: translate(words[values[name]]) for name, words in known.items() if name in values}


def _begins(run: str, name: str) -> bool:
    return run.startswith(name) or run.removeprefix("sha256:").startswith(name)


def _said(sentence: str, **values: object) -> Line:
    return sentence, values


def _words(task: str) -> tuple[list[Line], list[Line]]:
    """What the task itself says of its models."""
    place = f"engine.{task}.card"
    if find_spec(place) is None:
        return [_said(N_("the task ships no words for a card"))], []
    told = import_module(place)
    return [_said(one) for one in told.GIVES], [_said(one) for one in told.NOT_FOR]


def _epsilon(run: RunRecord) -> float:
    plan = run.order.plan
    return round(epsilon(plan.total_rho_nano(), plan.delta), 4)


def _table(schema: TableSchema) -> list[Line]:
    names = ", ".join(" ".join((column.name, *column.aliases[:1])) for column in schema.columns)  # as ledgers call them
    return [
        _said(N_("{dataset}: {names}"), dataset=schema.dataset, names=names),
        _said(N_("schema {digest}"), digest=schema.digest()),
        *([_said(N_("rows are made by the rule {rule}"), rule=schema.rule)] if schema.rule else []),
    ]


def _caps(run: RunRecord) -> list[Line]:
    plan, shape = run.order.plan, run.order.plan.shape
    trees = isinstance(shape, Trees) and _said(
        N_("{trees} trees a round, of depth {depth}"), trees=shape.trees, depth=shape.depth
    )
    return [
        _said(
            N_("one {unit}; at most {units} of a member, {rows} rows of each"),
            unit=plan.unit,
            units=plan.max_units,
            rows=plan.max_rows_per_unit,
        ),
        _said(
            N_("{family}, {rounds} rounds, clip {clip}"),
            family=shape.family,
            rounds=plan.releases,
            clip=shape.clip,
        ),
        *([trees] if trees else []),
    ]


def _privacy(run: RunRecord) -> list[Line]:
    gate, delta = run.order.gate, run.order.plan.delta
    told = [
        _said(N_("epsilon {epsilon} a member for the whole run (delta {delta})"), epsilon=_epsilon(run), delta=delta)
    ]
    if gate:
        judged = round(epsilon(gate.rho_nano, delta), 4)
        told.append(
            _said(N_("held-out units, for the gate: epsilon {epsilon}, in an account of their own"), epsilon=judged)
        )
    return told


def _evaluated(office: Office, run: RunRecord) -> list[Line]:
    """The gate's comparisons with their band, and what the released histogram says with its error."""
    if run.gate is None:
        return [_said(N_("no gate: the table has no ids and so no holdout; members compare at home"))]
    told = [_said(N_("gate: {verdict}, {decision}"), verdict=run.gate.verdict, decision=run.gate.decision)]
    told += [
        _said(
            N_("beside {model}: {difference} loss a unit, ± {band} by noise, {verdict}"),
            model=one.model[:23],
            difference=one.difference,
            band=one.band,
            verdict=one.verdict,
        )
        for one in run.gate.compared
    ]
    judged = Evaluation(office.database, office.log, office.settings)
    figures = judged.figures(office.log.state().runs[run.evaluation]) if run.evaluation else None
    if figures:
        told.append(_said(N_("AUC {auc} ± {auc_error}, Brier {brier} ± {brier_error}"), **figures))
    return [*told, _said(N_("each member's own comparison is on its own node: mine alone, shared, what is used"))]


def _lineage(office: Office, run: RunRecord) -> list[Line]:
    """Digests and entries that lead from the agreement to the model."""
    state = office.log.state()
    assert run.release is not None
    agreed, rounds = state.agreements[run.order.agreement].index, ", ".join(f"#{one.open_index}" for one in run.rounds)
    steps = [
        _said(N_("agreement #{index} {digest}"), index=agreed, digest=run.order.agreement),
        _said(N_("order #{index} {digest}"), index=run.index, digest=run.run),
        _said(N_("start {digest}"), digest=run.order.model_start),
        _said(N_("rounds opened {rounds}"), rounds=rounds),
    ]
    if run.evaluation:
        index = state.runs[run.evaluation].index
        steps.append(_said(N_("evaluation #{index} {digest}"), index=index, digest=run.evaluation))
    if run.gate:
        steps.append(_said(N_("gate #{index}"), index=run.gated_at))
    return [
        *steps,
        _said(N_("release #{index}"), index=run.released_at),
        _said(N_("model {digest}"), digest=run.release.model),
        _said(N_("bundle {digest}"), digest=run.order.bundle),
    ]
