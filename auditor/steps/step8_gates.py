"""Step 8, last part: every release gate decided again from the sum that its evaluation logged."""

from __future__ import annotations

from auditor.evidence.reader import Evidence
from auditor.findings import Step
from contracts.envelope import digest
from contracts.errors import TrustError
from contracts.rules.gates import compared_models
from contracts.rules.state import Closing, RunRecord, TrustState
from contracts.statements.artefact import read_artefact
from contracts.statements.gate import judge
from contracts.statements.statements import Gate
from contracts.wording import N_


def check_gates(state: TrustState, evidence: Evidence, step: Step) -> None:
    """A gate whose comparisons are not those of its sum is a finding; an absent sum, or no gate at all, is said."""
    ungated = 0
    for run in state.runs_in_order():
        ungated += run.release is not None and run.order.gate is None
        if run.gate is None:
            continue
        evaluation = state.runs[run.gate.evaluation]
        recorded = [r.closed for r in evaluation.rounds if r.closed and r.closed.outcome == "recorded"]
        if recorded:
            _check(state, evidence, evaluation, recorded[-1], run.gate, step)
    if ungated:
        step.skip(N_("{n} models were released by orders without a gate: nobody judged them together"), n=ungated)


def _check(
    state: TrustState, evidence: Evidence, evaluation: RunRecord, closed: Closing, gate: Gate, step: Step
) -> None:
    path = f"documents/{str(closed.aggregate).removeprefix('sha256:')}"
    data = evidence.read(path)
    if data is None or digest(data) != closed.aggregate:
        step.skip(N_("the gate of model {model} was not decided again: its sum is not at hand"), model=gate.model)
        return
    try:
        total = read_artefact(data, "aggregate", "q").values
        others = compared_models(state, evaluation.order)
        again = judge(evaluation.order.plan, total, len(closed.contributors), others)
    except (TrustError, ValueError):
        again = ()
    if again != gate.compared:
        step.add("GATE", N_("the gate of model {model} does not follow from its sum"), path, model=gate.model)
