"""When a model may be served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.budgets import give_back, note_ledger
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import Matter, RoundRecord, RunRecord, TrustState
from contracts.statements.statements import Comparison, Refusal, Release
from contracts.wording import N_


def participants(run: RunRecord) -> int:
    """The smallest number of members combined in a recorded round of the run; 0 if there is none."""
    return min(
        (len(r.closed.contributors) for r in run.rounds if r.closed and r.closed.outcome == "recorded"), default=0
    )


def check_release(state: TrustState, entry: Entry[Release]) -> Iterator[Finding]:
    """I21: the model is what the complete chain of rounds led to, and enough members stand behind it."""
    release = entry.predicate
    run = state.runs.get(release.order)
    if run is None or run.release or run.order.evaluates or not run.is_complete():
        yield entry.breaks("RELEASE_ROUNDS", "I21", N_("a model is released before its run is complete, or twice"))
        return
    if (release.model, release.task, release.rounds) != (run.model, run.order.task, len(run.rounds)):
        yield entry.breaks("RELEASE_MODEL", "I21", N_("the released model is not the one its rounds led to"))
    if not run.order.min_members <= release.min_members <= release.participants == participants(run):
        yield entry.breaks("RELEASE_FLOOR", "I21", N_("the release stands on {n} members"), n=participants(run))
    if run.order.gate and (run.gate is None or run.gate.decision != "release"):
        yield entry.breaks("GATE", "I21", N_("a model is released that has not passed its gate"))
    yield from _check_terms(state, entry, run)


def _check_terms(state: TrustState, entry: Entry[Release], run: RunRecord) -> Iterator[Finding]:
    """I21: released while the agreement lasts, to those whom it names."""
    release, record = entry.predicate, state.agreements[run.order.agreement]
    if record.state not in ("active", "superseded") or release.issued_at >= record.terms.valid_to:
        yield entry.breaks("RELEASE_EXPIRED", "I21", N_("the agreement of the released model is over"))
    if release.beneficiaries != record.terms.beneficiaries:
        what = N_("the model is released to others than the agreement names")
        yield entry.breaks("RELEASE_BENEFICIARY", "I21", what)


def record_release(state: TrustState, entry: Entry[Release]) -> TrustState:
    """Mark the run's model as released."""
    release = entry.predicate
    released = replace(state.runs[release.order], release=release, released_at=entry.index)
    return replace(
        state,
        runs=state.runs.insert(release.order, released),
        released_runs=state.released_runs.insert(release.task, release.order),
    )


# Reasons that lie with the order or the office, which therefore owes an answer (I28).
_FAULTS = ("agreement", "bundle", "schema", "ledger", "plan", "log")
_OF_ONE_ROUND = ("not-started", "restarted")


def check_refusal(state: TrustState, entry: Entry[Refusal]) -> Iterator[Finding]:
    """I19: a reason about one round names it; who says it did not start, an open one that lists it and that it is
    not charged back for yet."""
    refusal = entry.predicate
    if (refusal.reason in _OF_ONE_ROUND) != (refusal.open is not None) or (
        refusal.reason == "not-started" and _not_started(state, refusal) is None
    ):
        yield entry.breaks("PARTICIPANT", "I19", N_("{member} was not asked in that round"), member=refusal.member)


def _not_started(state: TrustState, refusal: Refusal) -> RoundRecord | None:
    """The open round that a `not-started` refusal is about."""
    run = state.runs.get(refusal.order)
    waiting = run.open_round() if run else None
    if waiting is None or waiting.open_index != refusal.open or refusal.member in waiting.not_started:
        return None
    return waiting if refusal.member in dict(waiting.opened.members) else None


def record_refusal(state: TrustState, entry: Entry[Refusal]) -> TrustState:
    """Remember who takes no further part in a run; a round that was not started is not charged."""
    refusal = entry.predicate
    state = note_ledger(state, refusal.member, refusal.ledger)
    run = state.runs.get(refusal.order)
    if run is None or refusal.reason == "restarted":
        return state
    waiting = _not_started(state, refusal)
    if waiting is not None:
        state = give_back(state, refusal.member, waiting.opened, run.order)
        idle = replace(waiting, not_started=waiting.not_started | {refusal.member})
        return replace(state, runs=state.runs.insert(run.run, replace(run, rounds=(*run.rounds[:-1], idle))))
    if refusal.reason in _FAULTS:
        state = replace(state, matters=state.matters.insert(entry.digest, Matter(entry.index, refusal.issued_at)))
    return replace(state, runs=state.runs.insert(run.run, replace(run, refused=run.refused | {refusal.member})))


def check_comparison(state: TrustState, entry: Entry[Comparison]) -> Iterator[Finding]:
    """I31: a member speaks about a released model, once."""
    said = entry.predicate
    run = state.runs.get(said.order)
    if run is None or run.release is None or said.member in dict(run.compared):
        what = N_("{member} compares a model that was not released, or compares it twice")
        yield entry.breaks("COMPARISON", "I31", what, member=said.member)


def record_comparison(state: TrustState, entry: Entry[Comparison]) -> TrustState:
    """Keep the word beside the run."""
    said = entry.predicate
    run = state.runs[said.order]
    declared = replace(run, compared=(*run.compared, (said.member, said.verdict)))
    return note_ledger(replace(state, runs=state.runs.insert(said.order, declared)), said.member, said.ledger)
