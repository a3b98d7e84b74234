"""Step 8: each round's contribution list, sum and model again from the retained documents, then the releases."""

from __future__ import annotations

from array import array

from auditor.evidence.documents import Documents
from auditor.evidence.reader import Evidence, document_path
from auditor.findings import Step, never_silent
from auditor.steps.step3_tree import TiledTree
from auditor.steps.step4_views import has_seen
from auditor.steps.step8_gates import check_gates
from auditor.steps.step8_secure_sums import secure_total
from contracts.envelope import digest, load_public
from contracts.errors import Invalid, TrustError
from contracts.log.contribution_list import read_list
from contracts.rules.state import Closing, RoundRecord, RunRecord, TrustState, books
from contracts.statements.artefact import model, of_round, read_artefact
from contracts.statements.off_log import Contribution
from contracts.wording import N_
from privacy.encoding import EncodingError, add
from privacy.step import advance, start_state


def check_models(state: TrustState, evidence: Evidence, tree: TiledTree | None) -> Step:
    """Recompute what the documents allow; an absent document is said, a wrong one is a finding. Without a `tree` that was
    found right, what contributions had seen is not compared."""
    step = Step(8, N_("models, contributions and releases"))
    checked, documents = 0, Documents(state, evidence, step)
    with never_silent(step, lambda: documents.last):
        for run in state.runs_in_order():
            for record in run.rounds:
                if record.closed and record.closed.outcome == "recorded":
                    checked += _check_round(state, documents, run, record, record.closed, step, tree)
        documents.conclude()
        check_gates(state, documents, step)
    released = sum(run.release is not None for run in state.runs.values())
    step.detail = f"{checked} / {released}"
    return step


def _check_round(
    state: TrustState,
    documents: Documents,
    run: RunRecord,
    record: RoundRecord,
    closed: Closing,
    step: Step,
    tree: TiledTree | None,
) -> int:
    if not (closed.list_document and closed.aggregate and closed.step_state):
        return 0  # the rules have found that already
    try:
        listed = documents.read(closed.list_document)
        if listed is None:
            step.skip_one_more(N_("{n} rounds: their contribution lists are not at hand"))
            return 0
        lines = _signed_lines(state, listed, run, record, closed)
        _check_lines(lines, run, closed, tree, step)
        _check_sum(state, documents, run, record, closed, lines, step)
        _check_model(documents, run, record, closed, step)
    except TrustError as error:
        step.caught(error, str(error.values.get("file") or document_path(closed.list_document)))
    except Exception as error:
        step.stumbled(error, documents.last)
    return 1


def _signed_lines(
    state: TrustState, data: bytes, run: RunRecord, record: RoundRecord, closed: Closing
) -> list[Contribution]:
    """I17, I18: the lines of a contribution list, each signed by its member for this round and this model."""
    listed = read_list(data, len(closed.contributors))
    if closed.list_root != listed.root():
        raise Invalid(
            N_("the contribution list of round {round} is not the logged one"),
            code="UPDATE_MISSING",
            round=closed.round,
        )
    lines = []
    for statement, line in ((one.statement, one.said) for one in listed.lines()):
        key = _node_key(state, line.member, record.open_index)
        if key is None or not statement.envelope.holds_for(load_public(key)):
            raise Invalid(N_("a contribution is not signed by {member}"), code="UPDATE_SIGNATURE", member=line.member)
        if (line.order, line.round, line.open, line.model_in) != (
            run.run,
            closed.round,
            record.open_index,
            record.opened.model_in,
        ):
            raise Invalid(
                N_("a contribution of {member} was made for another round"), code="UPDATE_REPLAY", member=line.member
            )
        lines.append(line)
    if tuple(line.member for line in lines) != closed.contributors:
        raise Invalid(
            N_("the contribution list of round {round} names other members than the log"),
            code="UPDATE_MISSING",
            round=closed.round,
        )
    return lines


def _check_lines(
    lines: list[Contribution], run: RunRecord, closed: Closing, tree: TiledTree | None, step: Step
) -> None:
    """I16, I17, I19: made by the ordered code, on this log, and with the ledger that the round's record repeats."""
    if closed.books != books((line.member, line.ledger) for line in lines):
        raise Invalid(
            N_("round {round} shows other ledgers than its contributors signed"),
            code="BUDGET_REPORT",
            round=closed.round,
        )
    for line in lines:
        if line.bundle != run.order.bundle:
            raise Invalid(
                N_("a contribution of {member} was made by other code than was ordered"),
                code="CODE_HASH",
                member=line.member,
            )
        held = has_seen(tree, line.seen, tree.size) if tree else True  # a wrong tree is found, and said
        if held is None:
            step.skip_one_more(N_("{n} contributions: what they had seen was not compared, hash tiles are missing"))
        elif not held:
            raise Invalid(
                N_("a contribution of {member} was made on a log of size {size} with another root"),
                code="EQUIVOCATION",
                member=line.member,
                size=line.seen.size,
            )


def _node_key(state: TrustState, member: str, at: int) -> str | None:
    return next(
        (
            k.public
            for k in state.keys.values()
            if (k.member, k.role) == (member, "node") and k.index < at and (k.ended is None or k.ended > at)
        ),
        None,
    )


def _check_sum(
    state: TrustState,
    documents: Documents,
    run: RunRecord,
    record: RoundRecord,
    closed: Closing,
    lines: list[Contribution],
    step: Step,
) -> None:
    """The sum again, exactly: of the contributions, or of what they hide under their masks."""
    plan, listed = run.order.plan, str(closed.list_document)
    held = {line.member: documents.contribution(line.payload, listed, plan) for line in lines}
    revealed = documents.read(closed.unmasking) if closed.unmasking else b""
    if revealed is None or None in held.values():
        step.skip_one_more(N_("{n} rounds: contributions are not at hand, their sums were not recomputed"))
        return
    vectors = {
        member: read_artefact(data, "contribution", "q").values for member, data in held.items() if data is not None
    }
    try:
        if closed.unmasking is None:
            total = add(list(vectors.values()))
        else:
            named = {member: _node_key(state, member, record.open_index) for member, _ in record.opened.members}
            keys = {member: key for member, key in named.items() if key}
            total = secure_total(revealed, keys, run, record, closed, vectors)
    except EncodingError as error:
        raise Invalid(
            N_("the contributions of round {round} cannot be added"), code="AGGREGATE", round=closed.round
        ) from error
    if digest(of_round("aggregate", run.run, closed.round, total).to_bytes()) != closed.aggregate:
        raise Invalid(N_("the sum of round {round} is not the logged one"), code="AGGREGATE", round=closed.round)


def _check_model(documents: Documents, run: RunRecord, record: RoundRecord, closed: Closing, step: Step) -> None:
    """The server step again, bit for bit, from the documents of this round and of the one before."""
    assert closed.aggregate
    total = documents.values(closed.aggregate, "aggregate", "q", run.order.plan)
    try:
        state = _state_before(documents, run, record)
        if total is None or state is None:
            step.skip_one_more(N_("{n} rounds: documents are not at hand, their models were not recomputed"))
            return
        values, after = advance(run.order.plan, state, total, closed.round)
    except ValueError as error:
        raise Invalid(
            N_("round {round} has a sum of another length than its model"), code="MODEL_CHAIN", round=closed.round
        ) from error
    except ArithmeticError as error:
        raise Invalid(
            N_("the state before round {round} is one that no step can lead to"), code="MODEL_CHAIN", round=closed.round
        ) from error
    stepped = of_round("step-state", run.run, closed.round, after)
    if (digest(model(run.order.task, values).to_bytes()), digest(stepped.to_bytes())) != (
        closed.model_out,
        closed.step_state,
    ):
        raise Invalid(
            N_("the model of round {round} does not follow from its sum"), code="MODEL_CHAIN", round=closed.round
        )


def _state_before(documents: Documents, run: RunRecord, record: RoundRecord) -> array[float] | None:
    earlier = [
        r.closed for r in run.rounds if r.closed and r.closed.outcome == "recorded" and r.open_index < record.open_index
    ]
    if not earlier:
        values = documents.values(run.order.model_start, "model", "d", run.order.plan)
        return None if values is None else start_state(run.order.plan, values)
    assert earlier[-1].step_state
    return documents.values(earlier[-1].step_state, "step-state", "d", run.order.plan)
