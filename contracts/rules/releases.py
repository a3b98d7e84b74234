"""When a model may be served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.findings import Finding
from contracts.rules.state import Entry, RunRecord, TrustState
from contracts.statements import Refusal, Release
from contracts.wording import N_


def participants(run: RunRecord) -> int:
    """The smallest number of members combined in a recorded round of the run; 0 if there is none."""
    return min(
        (len(r.closed.contributors) for r in run.rounds if r.closed and r.closed.outcome == "recorded"), default=0
    )


def check_release(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I21: the model is what the complete chain of rounds led to, and enough members stand behind it."""
    release = entry.predicate
    assert isinstance(release, Release)
    run = state.runs.get(release.order)
    if run is None or run.release or not run.is_complete():
        yield Finding(
            "RELEASE_ROUNDS", entry.index, "I21", N_("a model is released before its run is complete, or twice")
        )
        return
    if (release.model, release.task, release.rounds) != (run.model, run.order.task, len(run.rounds)):
        yield Finding("RELEASE_MODEL", entry.index, "I21", N_("the released model is not the one its rounds led to"))
    if not run.order.min_members <= release.min_members <= release.participants == participants(run):
        yield Finding(
            "RELEASE_FLOOR", entry.index, "I21", N_("the release stands on {n} members"), {"n": participants(run)}
        )


def record_release(state: TrustState, entry: Entry) -> TrustState:
    """Mark the run's model as released."""
    release = entry.predicate
    assert isinstance(release, Release)
    released = replace(state.runs[release.order], release=release)
    return replace(state, runs={**state.runs, release.order: released})


def record_refusal(state: TrustState, entry: Entry) -> TrustState:
    """Remember who takes no further part in a run."""
    refusal = entry.predicate
    assert isinstance(refusal, Refusal)
    run = state.runs.get(refusal.order)
    if run is None:
        return state
    return replace(state, runs={**state.runs, run.run: replace(run, refused=run.refused | {refusal.member})})
