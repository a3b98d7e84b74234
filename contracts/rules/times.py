"""The order in the log is the time; what a statement says about its own time must not contradict it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from contracts.fields import moment, time_text
from contracts.rules.findings import Finding
from contracts.rules.state import Entry, TrustState
from contracts.statements.statements import (
    AgreementPublished,
    AgreementState,
    Consent,
    Erasure,
    Gate,
    Incident,
    Predicate,
    Release,
    Rollback,
    Round,
    RoundOpen,
    RunOrder,
)
from contracts.wording import N_

SKEW_S = 60
# Signed by the office at once, without waiting for anybody: these alone must come in order of their times.
_AT_ONCE = (AgreementPublished, AgreementState, RunOrder, RoundOpen, Round, Gate, Release, Rollback, Erasure, Incident)


def check_time(state: TrustState, entry: Entry) -> Iterator[Finding]:
    """I7: the office's clock does not run backwards, and no consent takes effect in the past.

    A withdrawal is never refused for its time. Real time, between cosigned checkpoints, is the auditor's check.
    """
    said = entry.predicate
    if isinstance(said, _AT_ONCE) and said.issued_at < state.not_before:
        yield Finding(
            "TIME_OUT_OF_WINDOW",
            entry.index,
            "I7",
            N_("the statement says it was made at {at}, before statements that stand before it"),
            {"at": said.issued_at},
        )
    if isinstance(said, Consent) and said.scope and said.effective_from < max(said.issued_at, state.not_before):
        yield Finding(
            "BACKDATED_CONSENT",
            entry.index,
            "I7",
            N_("the consent of {member} would take effect at {at}, before it was given"),
            {"member": said.member, "at": said.effective_from},
        )


def advance(state: TrustState, said: Predicate) -> TrustState:
    """The office has spoken: from now on nothing may claim to be older by more than the skew of two clocks."""
    if not isinstance(said, _AT_ONCE):
        return state
    earliest = time_text(moment(said.issued_at) - timedelta(seconds=SKEW_S))
    return replace(state, not_before=max(state.not_before, earliest))
