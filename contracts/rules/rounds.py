"""Orders and rounds: ordered before opened, opened before closed, one model chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rpds import HashTrieMap

from contracts.fields import moment
from contracts.rules.budgets import charge, check_asked, check_ledger, count_aborted, note_repeated
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.gates import check_evaluation, note_evaluation
from contracts.rules.groups import check_closed, check_opened, form
from contracts.rules.state import Closing, NamedDocument, Opening, Repeated, RoundRecord, RunRecord, TrustState, books
from contracts.rules.times import SKEW_S, closes_by, shifted
from contracts.statements.statements import Predicate, Round, RoundOpen, RunOrder
from contracts.terms.agreement import TaskTerms, Terms
from contracts.wording import N_
from privacy.plan import PlanError


def check_order(state: TrustState, entry: Entry[RunOrder]) -> Iterator[Finding]:
    """I9, I16, I19, I20, I21: the order stays within an active agreement, field by field."""
    order = entry.predicate
    record = state.agreements.get(order.agreement)
    offered = record.terms.for_task(order.task) if record else None
    if (
        record is None
        or offered is None
        or record.state != "active"
        or not (record.terms.valid_from <= order.issued_at < order.expires_at <= record.terms.valid_to)
    ):
        what = N_("no active agreement covers task {task} for this period")
        yield entry.breaks("AGREEMENT_INACTIVE", "I9", what, task=order.task)
        return
    yield from check_evaluation(state, entry)
    for code, rule in _breaches(order, record.terms, offered):
        yield entry.breaks(code, rule, N_("the order leaves the agreement: {breach}"), breach=code)


def _breaches(order: RunOrder, terms: Terms, offered: TaskTerms) -> Iterator[tuple[str, str]]:
    plan = order.plan
    try:
        plan.check()
    except PlanError:
        yield "NOISE", "I19"
        return
    if order.bundle not in terms.bundles:
        yield "CODE_HASH", "I16"
    if order.schema_digest != offered.schema_digest:
        yield "SCHEMA_HASH", "I16"
    if order.evaluates is None and order.model_start not in terms.start_models:
        yield "MODEL_CHAIN", "I16"
    if (plan.task, plan.dataset, plan.dataset, plan.unit) != (order.task, order.dataset, offered.dataset, offered.unit):
        yield "SCOPE", "I12"
    if (plan.max_units, plan.max_rows_per_unit) != (offered.max_units, offered.max_rows_per_unit):
        yield "NOISE", "I19"
    if plan.delta != terms.privacy.delta or plan.shape.family not in terms.privacy.families:
        yield "NOISE", "I19"
    if plan.total_rho_nano() > terms.privacy.rho_run_max_nano:
        yield "OVER_BUDGET", "I20"
    if order.min_members < terms.min_members:
        yield "MIN_PARTICIPANTS", "I15"
    if terms.gate == "required" and order.gate is None and order.evaluates is None:
        yield "GATE", "I21"
    limits = terms.rounds
    if (
        plan.releases > limits.max_per_run
        or order.window_s > limits.window_max_s
        or order.deadline_s > limits.deadline_max_s
        or _outlasts_its_window(order, terms)
    ):
        yield "ROUND_SEQUENCE", "I13"


def _outlasts_its_window(order: RunOrder, terms: Terms) -> bool:
    """I13: since edition 2 an order expires within its own window."""
    return terms.edition >= 2 and order.expires_at > shifted(order.issued_at, order.window_s)


def place_order(state: TrustState, entry: Entry[RunOrder]) -> TrustState:
    """Begin a run; its name is the digest of the order's entry."""
    order = entry.predicate
    run = RunRecord(entry.digest, entry.index, order, order.model_start)
    state = note_evaluation(state, entry)
    return replace(
        state, runs=state.runs.insert(run.run, run), documents=_named(state, entry, run, model=order.model_start)
    )


def check_open(state: TrustState, entry: Entry[RoundOpen]) -> Iterator[Finding]:
    """I13, I14, I15, I16, I32: a known, unexpired order; the next number; nobody twice; the model
    that the chain has reached."""
    opened = entry.predicate
    run = state.runs.get(opened.order)
    if run is None:
        what = N_("round {round} belongs to no order in the log")
        yield entry.breaks("ROUND_SEQUENCE", "I13", what, round=opened.round)
        return
    if not _is_next(state, run, opened, entry.index):
        what = N_("round {round} is not the next round of its run")
        yield entry.breaks("ROUND_SEQUENCE", "I13", what, round=opened.round)
    names = [member for member, _ in opened.members]
    if names != sorted(set(names)) or len(names) < run.order.min_members:
        what = N_("round {round} asks fewer than {least} members, or one of them twice")
        yield entry.breaks("MIN_PARTICIPANTS", "I15", what, round=opened.round, least=run.order.min_members)
    if opened.model_in != run.model:
        what = N_("round {round} does not start from the model of the round before")
        yield entry.breaks("MODEL_CHAIN", "I16", what, round=opened.round)
    if state.agreements[run.order.agreement].state != "active":
        what = N_("the agreement of round {round} is not active")
        yield entry.breaks("AGREEMENT_INACTIVE", "I9", what, round=opened.round)
    yield from check_asked(state, entry, run)
    yield from check_opened(state, entry, run)


def _is_next(state: TrustState, run: RunRecord, opened: RoundOpen, index: int) -> bool:
    """The round that the run waits for: in number, in time, within the order's own deadline and rounds."""
    interval_s = state.agreements[run.order.agreement].terms.rounds.interval_min_s
    soon = bool(run.rounds) and _seconds(run.rounds[-1].opened.issued_at, opened.issued_at) < interval_s
    return (
        opened.round == run.next_round()
        and not run.open_round()
        and not run.release
        and opened.issued_at < run.order.expires_at
        and not soon
        and opened.deadline_s <= run.order.deadline_s
        and opened.round <= run.order.plan.releases
        and run.index < opened.log_size <= index
    )


def _seconds(earlier: str, later: str) -> float:
    return (moment(later) - moment(earlier)).total_seconds()


def open_round(state: TrustState, entry: Entry[RoundOpen]) -> TrustState:
    """Use up the round's number and charge everyone listed."""
    return _opened(state, entry, broken=False)


def open_broken_round(state: TrustState, entry: Entry[RoundOpen]) -> TrustState:
    """Use up number and charge all the same, and permit nobody to compute."""
    return _opened(state, entry, broken=True)


def _opened(state: TrustState, entry: Entry[RoundOpen], *, broken: bool) -> TrustState:
    opened = entry.predicate
    run = state.runs.get(opened.order)
    if run is None:
        return state
    state, groups = (state, ()) if broken else form(state, opened, run)
    state = charge(state, opened, run)
    asked = run.asked.union(member for member, _ in opened.members)
    model_in = run.model if run.model == opened.model_in else opened.model_in  # one string for both, not two
    opening = Opening(opened.round, opened.issued_at, opened.deadline_s, opened.members, model_in)
    record = RoundRecord(entry.index, opening, broken=broken, groups=groups)
    grown = replace(run, rounds=(*run.rounds, record), asked=asked)
    return replace(state, runs=state.runs.insert(run.run, grown))


def check_round(state: TrustState, entry: Entry[Round]) -> Iterator[Finding]:
    """I13, I14, I15, I16, I18, I19, I32: the round ends what was opened, with everyone accounted
    for and charged as planned."""
    closed = entry.predicate
    run = state.runs.get(closed.order)
    waiting = run.open_round() if run else None
    if run is None or waiting is None or (waiting.open_index, waiting.opened.round) != (closed.open, closed.round):
        what = N_("round {round} ends without having been opened")
        yield entry.breaks("ROUND_SEQUENCE", "I13", what, round=closed.round)
        return
    yield from _check_account(entry, run, waiting)
    yield from _check_ledgers(state, entry, run)
    yield from _check_place(state, entry, run, waiting)
    yield from _check_contributors(state, entry, run, waiting)
    yield from check_closed(entry, waiting)
    if closed.outcome == "aborted":
        yield from _check_aborted(entry, waiting)
    else:
        yield from _check_recorded(state, entry, run)
        yield from _check_in_time(state, entry, run, waiting)


def _check_account(entry: Entry[Round], run: RunRecord, waiting: RoundRecord) -> Iterator[Finding]:
    """I15, I19: every member asked is a contributor or dropped, and charged what the plan says if it started."""
    closed, asked = entry.predicate, [member for member, _ in waiting.opened.members]
    if sorted([*closed.contributors, *(m for m, _ in closed.dropped)]) != asked:
        what = N_("round {round} does not account for every member asked")
        yield entry.breaks("PARTICIPANT", "I15", what, round=closed.round)
    cost = run.order.plan.rho_nano()
    if list(closed.spend) != [(member, cost) for member in asked if member not in waiting.not_started]:
        what = N_("round {round} reports another spend than its plan")
        yield entry.breaks("BUDGET_REPORT", "I19", what, round=closed.round)


def _check_ledgers(state: TrustState, entry: Entry[Round], run: RunRecord) -> Iterator[Finding]:
    """I19: each contributor's book is shown and, by the office's word that counted in edition 1, none has shrunk."""
    closed = entry.predicate
    if tuple(member for member, _ in closed.ledgers) != closed.contributors:
        what = N_("round {round} does not show the ledger of each contributor")
        yield entry.breaks("BUDGET_REPORT", "I19", what, round=closed.round)
    for member, ledger in closed.ledgers if _repeats_count(state, run) else ():
        yield from check_ledger(state, entry, member, ledger, run.order.agreement)


def _repeats_count(state: TrustState, run: RunRecord) -> bool:
    """I34: since edition 2 what a round repeats of ledgers counts only where its list of contributions shows it."""
    return state.agreements[run.order.agreement].terms.edition < 2


def _check_place(state: TrustState, entry: Entry[Round], run: RunRecord, waiting: RoundRecord) -> Iterator[Finding]:
    """I9, I14: the cut-off lies within the round, and nothing is combined after the agreement ended."""
    closed = entry.predicate
    if not waiting.open_index < closed.cutoff <= entry.index:
        what = N_("the cut-off of round {round} lies outside the round")
        yield entry.breaks("CUTOFF", "I14", what, round=closed.round)
    if closed.outcome == "recorded" and state.agreements[run.order.agreement].state not in ("active", "superseded"):
        what = N_("the agreement of round {round} is not active")
        yield entry.breaks("AGREEMENT_INACTIVE", "I9", what, round=closed.round)


def _check_contributors(
    state: TrustState, entry: Entry[Round], run: RunRecord, waiting: RoundRecord
) -> Iterator[Finding]:
    """I15, I23: nobody is in the sum who withdrew below the cut-off, or who said that it did not start."""
    closed = entry.predicate
    for member in closed.contributors:
        if member in waiting.not_started:
            what = N_("round {round} uses {member}, who did not start it")
            yield entry.breaks("PARTICIPANT", "I15", what, round=closed.round, member=member)
        event = state.consent(member, run.order.agreement, closed.cutoff)
        if event is not None and event.is_end():  # asked without any consent: found when the round was opened
            what = N_("round {round} uses {member}, who withdrew before the cut-off")
            yield entry.breaks("TRAINED_AFTER_WITHDRAWAL", "I23", what, round=closed.round, member=member)


def _results(closed: Round) -> tuple[str | None, ...]:
    return closed.list_root, closed.list_document, closed.aggregate, closed.step_state


def _check_aborted(entry: Entry[Round], waiting: RoundRecord) -> Iterator[Finding]:
    """I16: a round without a sum leaves the model as it was."""
    closed = entry.predicate
    combined = closed.contributors or any(_results(closed)) or closed.unmasking
    if combined or closed.model_out != waiting.opened.model_in:
        what = N_("the aborted round {round} changes the model")
        yield entry.breaks("MODEL_CHAIN", "I16", what, round=closed.round)


def _check_recorded(state: TrustState, entry: Entry[Round], run: RunRecord) -> Iterator[Finding]:
    """I15, I18: enough members are combined, and all that is needed to do the sum again is named."""
    closed, n = entry.predicate, len(entry.predicate.contributors)
    if n < run.order.min_members:
        what = N_("round {round} combines only {n} members")
        yield entry.breaks("MIN_PARTICIPANTS", "I15", what, round=closed.round, n=n)
    masked = state.agreements[run.order.agreement].terms.secure_sum == "required"
    if not all(_results(closed)) or masked != (closed.unmasking is not None):
        what = N_("round {round} does not name what it combined")
        yield entry.breaks("AGGREGATE", "I18", what, round=closed.round)


def _check_in_time(state: TrustState, entry: Entry[Round], run: RunRecord, waiting: RoundRecord) -> Iterator[Finding]:
    """I13: since edition 2 a round past its time can only be aborted."""
    closed, opened = entry.predicate, waiting.opened
    last = shifted(closes_by(run.order, opened.issued_at, opened.deadline_s), SKEW_S)
    if state.agreements[run.order.agreement].terms.edition >= 2 and closed.issued_at > last:
        what = N_("round {round} is recorded after its time: it could only be aborted")
        yield entry.breaks("ROUND_SEQUENCE", "I13", what, round=closed.round)


def close_round(state: TrustState, entry: Entry[Round]) -> TrustState:
    """End the open round and move the model chain, also for a broken entry."""
    closed = entry.predicate
    run = state.runs.get(closed.order)
    waiting = run.open_round() if run else None
    if run is None or waiting is None:
        return state
    if closed.outcome == "aborted":
        state = count_aborted(state, waiting.opened, run.order)
    for member, ledger in closed.ledgers:
        state = note_repeated(state, member, ledger) if _repeats_count(state, run) else state
    state = _note_last(state, run, waiting, closed)
    kept = {name: getattr(closed, name) for name in Closing.__slots__ if name != "books"}
    closing = Closing(**kept, books=books(closed.ledgers))
    over = replace(waiting, closed=closing, closed_at=entry.index, groups=())
    ended = replace(run, rounds=(*run.rounds[:-1], over), model=closed.model_out)
    documents = _named(
        state,
        entry,
        run,
        model=closed.model_out,
        list=closed.list_document,
        aggregate=closed.aggregate,
        unmasking=closed.unmasking,
        **{"step-state": closed.step_state},
    )
    return replace(state, runs=state.runs.insert(run.run, ended), documents=documents)


def _note_last(state: TrustState, run: RunRecord, waiting: RoundRecord, closed: Round) -> TrustState:
    """Remember where it can be looked up what the office says last of each member's ledger."""
    if closed.list_document is None:
        return state
    last = (closed.list_document, run.run, waiting.opened.round, waiting.open_index)
    said = {member: Repeated(ledger, *last) for member, ledger in closed.ledgers}
    return replace(state, repeated=state.repeated.update(said))


def _named(
    state: TrustState, entry: Entry[Predicate], run: RunRecord, **digests: str | None
) -> HashTrieMap[str, NamedDocument]:
    documents = state.documents
    for kind, name in digests.items():
        if name is not None and name not in documents:
            named = NamedDocument(entry.index, kind, run.order.agreement, entry.predicate.issued_at)  # type: ignore[arg-type]
            documents = documents.insert(name, named)
    return documents
