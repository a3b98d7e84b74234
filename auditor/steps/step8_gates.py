"""Step 8, last part: every release gate decided again from the sum that its evaluation logged."""

from __future__ import annotations

from array import array

from auditor.evidence.documents import Documents
from auditor.evidence.reader import document_path
from auditor.findings import AuditStep
from contracts.errors import Invalid, Malformed
from contracts.rules.gates import compared_models
from contracts.rules.state import Closing, RunRecord, TrustState
from contracts.statements.gate import judge
from contracts.statements.statements import Gate
from contracts.wording import N_


def check_gates(state: TrustState, documents: Documents, step: AuditStep) -> None:
    """A gate whose comparisons are not those of its sum is a finding; an absent sum, or no gate at all, is said."""
    ungated = 0
    for run in state.runs_in_order():
        ungated += run.release is not None and run.order.gate is None
        if run.gate is None:
            continue
        evaluation = state.runs[run.gate.evaluation]
        recorded = [r.closed for r in evaluation.rounds if r.closed and r.closed.outcome == "recorded"]
        if recorded:
            try:
                _check(state, documents, evaluation, recorded[-1], run.gate, step)
            except Exception as error:
                step.stumbled(error, documents.last)
    if ungated:
        step.skip(N_("{n} models were released by orders without a gate: nobody judged them together"), n=ungated)


def _check(
    state: TrustState, documents: Documents, evaluation: RunRecord, closed: Closing, gate: Gate, step: AuditStep
) -> None:
    try:
        total = documents.values(str(closed.aggregate), "aggregate", "q", evaluation.order.plan)
    except Invalid:  # other bytes in its place: step 3 has found that
        total = None
    except Malformed:
        total = array("q")  # no sum of any comparison
    if total is None:
        step.skip(N_("the gate of model {model} was not decided again: its sum is not at hand"), model=gate.model)
        return
    try:
        others = compared_models(state, evaluation.order)
        again = judge(evaluation.order.plan, total, len(closed.contributors), others)
    except ValueError:
        again = ()
    if again != gate.compared:
        path = document_path(str(closed.aggregate))
        step.add("GATE", N_("the gate of model {model} does not follow from its sum"), path, model=gate.model)
