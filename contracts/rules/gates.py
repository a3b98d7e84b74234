"""What stands between a trained model and its release: one evaluation, one verdict; and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import RunRecord, TrustState
from contracts.statements.gate import verdict_of
from contracts.statements.statements import Gate, Rollback, RunOrder
from contracts.wording import N_
from privacy.plan import Histogram


def compared_models(state: TrustState, evaluation: RunOrder) -> tuple[str, ...]:
    """Digests of the models that the candidate is held against, in the order of the histogram's blocks."""
    assert evaluation.evaluates is not None
    incumbent = evaluation.evaluates.incumbent
    served = (state.runs[incumbent].model,) if incumbent and incumbent in state.runs else ()
    return (state.runs[evaluation.evaluates.run].order.model_start, *served)


def check_evaluation(state: TrustState, entry: Entry[RunOrder]) -> Iterator[Finding]:
    """I21: a holdout is asked only to judge, once, the model of a complete run, within what that run's order said."""
    order = entry.predicate
    if order.evaluates is None and order.plan.partition == "train":
        return
    judged = state.runs.get(order.evaluates.run) if order.evaluates else None
    if order.evaluates is None or judged is None or not _may_be_judged(judged, order):
        yield entry.breaks("EVALUATION", "I21", N_("the holdout is asked for something else than one complete run"))
        return
    shape, blocks = order.plan.shape, 1 + len(compared_models(state, order))
    incumbent = state.released_runs.get(order.task)
    if order.evaluates.incumbent != incumbent or not isinstance(shape, Histogram) or shape.models != blocks:
        yield entry.breaks("EVALUATION", "I21", N_("the evaluation leaves out the model that serves, or its start"))


def _may_be_judged(run: RunRecord, order: RunOrder) -> bool:
    terms = run.order.gate
    return (
        order.plan.partition == "holdout"
        and order.gate is None
        and terms is not None
        and run.is_complete()
        and run.evaluation is None
        and (run.order.task, run.order.agreement, run.model) == (order.task, order.agreement, order.model_start)
        and (run.order.dataset, run.order.schema_digest) == (order.dataset, order.schema_digest)
        and run.order.min_members <= order.min_members
        and order.plan.rho_total_nano <= terms.rho_nano  # as it states; `plan.check` compares that with what it costs
    )


def note_evaluation(state: TrustState, entry: Entry[RunOrder]) -> TrustState:
    """Remember by which evaluation a run is judged."""
    judges = entry.predicate.evaluates
    judged = state.runs.get(judges.run) if judges else None
    if judged is None:
        return state
    return replace(state, runs=state.runs.insert(judged.run, replace(judged, evaluation=entry.digest)))


def check_gate(state: TrustState, entry: Entry[Gate]) -> Iterator[Finding]:
    """I21: the evaluation has ended, the verdict follows from its comparisons, the decision from verdict and order."""
    gate = entry.predicate
    run, evaluation = state.runs.get(gate.order), state.runs.get(gate.evaluation)
    if run is None or evaluation is None or run.gate or run.evaluation != gate.evaluation or gate.model != run.model:
        yield entry.breaks("GATE", "I21", N_("a gate is passed without the evaluation of its run, or twice"))
        return
    over = evaluation.is_complete() or gate.issued_at >= evaluation.order.expires_at
    told = any(r.closed and r.closed.outcome == "recorded" for r in evaluation.rounds)
    expected = compared_models(state, evaluation.order) if told else ()
    terms = run.order.gate
    assert terms is not None, "only a run with gate terms has an evaluation"
    verdict = verdict_of(gate.compared)
    decision = {"worse": "keep", "not-worse": "release", "too-few": terms.untold}[verdict]
    if (
        not over
        or tuple(one.model for one in gate.compared) != expected
        or (gate.verdict, gate.decision) != (verdict, decision)
    ):
        yield entry.breaks("GATE", "I21", N_("the decision of a gate does not follow from what it compared"))


def record_gate(state: TrustState, entry: Entry[Gate]) -> TrustState:
    """Remember the decision about a run's model."""
    gate = entry.predicate
    passed = replace(state.runs[gate.order], gate=gate, gated_at=entry.index)
    return replace(state, runs=state.runs.insert(gate.order, passed))


def check_rollback(state: TrustState, entry: Entry[Rollback]) -> Iterator[Finding]:
    """I21: what goes is what serves, and what comes back was released before, for the same task."""
    back = entry.predicate
    old = state.runs.get(back.order) if back.order else None
    sound = back.order is None or (old is not None and old.release is not None and old.order.task == back.task)
    if state.released_runs.get(back.task) != back.gone or back.order == back.gone or not sound:
        yield entry.breaks("ROLLBACK", "I21", N_("the model to go back to was never released, or serves now"))


def record_rollback(state: TrustState, entry: Entry[Rollback]) -> TrustState:
    """Let the earlier model serve, or none."""
    back = entry.predicate
    serving = state.released_runs
    serving = serving.insert(back.task, back.order) if back.order else serving.remove(back.task)
    return replace(state, released_runs=serving)
