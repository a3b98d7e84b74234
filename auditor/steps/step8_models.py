"""Step 8: each round's contribution list, sum and model again from the retained documents, then the releases."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from auditor.evidence.documents import Documents
from auditor.evidence.reader import Evidence, document_path
from auditor.findings import AuditStep, never_silent
from auditor.steps.step2_cosignatures import Witnessed
from auditor.steps.step3_tree import TiledTree
from auditor.steps.step4_views import has_seen
from auditor.steps.step8_ended_consents import EndedConsents
from auditor.steps.step8_gates import check_gates
from auditor.steps.step8_ledgers import ShownLedger, of_line, resets
from auditor.steps.step8_secure_sums import secure_total
from contracts.envelope import digest, load_public
from contracts.errors import Invalid, TrustError
from contracts.log.contribution_list import read_list
from contracts.rules.state import Closing, RegisteredKey, RoundRecord, RunRecord, TrustState, books
from contracts.statements.artefact import model, of_round, read_artefact
from contracts.statements.off_log import Contribution
from contracts.wording import N_
from privacy.encoding import EncodingError, add
from privacy.step import advance, start_state


def check_models(
    state: TrustState,
    evidence: Evidence,
    tree: TiledTree | None,
    seen: Sequence[Witnessed] = (),
    shown: Sequence[ShownLedger] = (),
) -> AuditStep:
    """Recompute what the documents allow; an absent document is said, a wrong one is a finding. Without a `tree` that
    was found right, what contributions had seen is not compared; `seen` are the cosigned checkpoints in order, and
    `shown` what statements show of ledgers."""
    step = AuditStep(8, N_("models, contributions and releases"))
    checked, documents, consents = 0, Documents(state, evidence, step), EndedConsents(state, seen, step)
    ledgers = list(shown)
    with never_silent(step, lambda: documents.last):
        for run in state.runs_in_order():
            for record in run.rounds:
                if record.closed and record.closed.outcome == "recorded":
                    lines = _check_round(state, documents, run, record, record.closed, step, tree)
                    checked += lines is not None
                    consents.round(run, record, record.closed, lines)
                    edition = state.agreements[run.order.agreement].terms.edition
                    ledgers += [of_line(record, line, edition=edition) for line in lines or ()]
        step.findings.extend(resets(ledgers))
        documents.conclude()
        consents.conclude()
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
    step: AuditStep,
    tree: TiledTree | None,
) -> list[Contribution] | None:
    """The lines of its list as far as they could be read; None if they were not at hand."""
    if not (closed.list_document and closed.aggregate and closed.step_state):
        return None  # the rules have found that already
    lines: list[Contribution] = []
    try:
        listed = documents.read(closed.list_document)
        if listed is None:
            step.skip_one_more(N_("{n} rounds: their contribution lists are not at hand"))
            return None
        lines = _signed_lines(state, listed, run, record, closed)
        edition = state.agreements[run.order.agreement].terms.edition
        _tell_lost_keys(state, record, lines, step)
        _check_lines(lines, run, closed, tree, step, edition=edition)
        _check_sum(state, documents, run, record, closed, lines, step)
        _check_model(documents, run, record, closed, step)
    except TrustError as error:
        step.caught(error, str(error.values.get("file") or document_path(closed.list_document)))
    except Exception as error:
        step.stumbled(error, documents.last)
    return lines


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
        if key is None or not statement.envelope.holds_for(load_public(key.public)):
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
    lines: list[Contribution], run: RunRecord, closed: Closing, tree: TiledTree | None, step: AuditStep, *, edition: int
) -> None:
    """I16, I17, I19, I34: made by the ordered code, on this log, and with the ledger that
    the round's record repeats."""
    if closed.books != books((line.member, line.ledger) for line in lines):
        raise Invalid(
            N_("round {round} shows other ledgers than its contributors signed"),
            code="BUDGET_REPORT" if edition < 2 else "LEDGER_UNPROVEN",
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


def _tell_lost_keys(state: TrustState, record: RoundRecord, lines: list[Contribution], step: AuditStep) -> None:
    """Nobody can tell whose a contribution is under a key that was reported as compromised before its round ended."""
    for line in lines:
        key = _node_key(state, line.member, record.open_index)
        if key and key.compromised and key.ended is not None and key.ended < (record.closed_at or 0):
            step.skip(
                N_(
                    "entry {index}: round {round} uses {member}, whose key was reported as compromised in entry "
                    "{ended}, before the round ended: the contribution may not be its owner's"
                ),
                index=record.open_index,
                round=line.round,
                member=line.member,
                ended=key.ended,
            )


def _node_key(state: TrustState, member: str, at: int) -> RegisteredKey | None:
    return next(
        (
            k
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
    step: AuditStep,
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
            keys = {member: key.public for member, key in named.items() if key}
            total = secure_total(revealed, keys, run, record, closed, vectors)
    except EncodingError as error:
        raise Invalid(
            N_("the contributions of round {round} cannot be added"), code="AGGREGATE", round=closed.round
        ) from error
    if digest(of_round("aggregate", run.run, closed.round, total).to_bytes()) != closed.aggregate:
        raise Invalid(N_("the sum of round {round} is not the logged one"), code="AGGREGATE", round=closed.round)


def _check_model(documents: Documents, run: RunRecord, record: RoundRecord, closed: Closing, step: AuditStep) -> None:
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
