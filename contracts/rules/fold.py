"""The fold: `apply(state, entry, index) -> (state, findings)`, the same for all three parties, and total.

Before an append and on a node any finding refuses. On replay a broken entry may spend but never permit:
it uses up budget, round numbers and the model chain; it grants no key, consent or release. So one fault
gives one finding, not a cascade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from contracts.errors import TrustError
from contracts.rules import consents, gates, incidents, members, releases, rounds, times
from contracts.rules.findings import Finding, from_error
from contracts.rules.state import EMPTY, Entry, TrustState
from contracts.statements.off_log import Contribution, Receipt, SumKeys, SumSurvivors
from contracts.statements.signed import Statement, read_statement
from contracts.statements.statements import (
    AgreementPublished,
    AgreementState,
    AuditReport,
    Comparison,
    Consent,
    Erasure,
    Gate,
    Genesis,
    Incident,
    Key,
    KeyState,
    Policy,
    Predicate,
    PrivacyCheck,
    Refusal,
    Release,
    Rollback,
    Round,
    RoundOpen,
    RunOrder,
)
from contracts.wording import N_

Check = Callable[[TrustState, Entry], Iterator[Finding]]
Effect = Callable[[TrustState, Entry], TrustState]


def _nothing_to_check(state: TrustState, entry: Entry) -> Iterator[Finding]:
    return iter(())


def _no_effect(state: TrustState, entry: Entry) -> TrustState:
    return state


def _not_for_the_log(state: TrustState, entry: Entry) -> Iterator[Finding]:
    yield Finding(
        "PROFILE", entry.index, "I1", N_("a {kind} does not belong on the log"), {"kind": entry.predicate.kind}
    )


# kind -> (its rules, what it permits, what it uses up even when broken)
_RULES: dict[type[Predicate], tuple[Check, Effect, Effect]] = {
    Genesis: (_nothing_to_check, members.found_trust, _no_effect),
    Key: (members.check_key, members.admit_key, _no_effect),
    KeyState: (members.check_key_state, members.end_key, _no_effect),
    AgreementPublished: (consents.check_agreement, consents.publish, _no_effect),
    AgreementState: (consents.check_agreement_state, consents.change_state, _no_effect),
    Consent: (consents.check_consent, consents.record_consent, _no_effect),
    RunOrder: (rounds.check_order, rounds.place_order, _no_effect),
    RoundOpen: (rounds.check_open, rounds.open_round, rounds.open_broken_round),
    Round: (rounds.check_round, rounds.close_round, rounds.close_round),
    Gate: (gates.check_gate, gates.record_gate, _no_effect),
    Rollback: (gates.check_rollback, gates.record_rollback, _no_effect),
    Release: (releases.check_release, releases.record_release, _no_effect),
    Refusal: (releases.check_refusal, releases.record_refusal, _no_effect),
    PrivacyCheck: (_nothing_to_check, members.record_privacy_check, _no_effect),
    Comparison: (releases.check_comparison, releases.record_comparison, _no_effect),
    Policy: (members.check_policy, members.change_policy, _no_effect),
    AuditReport: (incidents.check_report, incidents.record_report, _no_effect),
    Erasure: (incidents.check_erasure, incidents.record_erasure, _no_effect),
    Incident: (incidents.check_incident, incidents.record_incident, _no_effect),
    Contribution: (_not_for_the_log, _no_effect, _no_effect),
    SumKeys: (_not_for_the_log, _no_effect, _no_effect),
    SumSurvivors: (_not_for_the_log, _no_effect, _no_effect),
    Receipt: (_not_for_the_log, _no_effect, _no_effect),
}


def apply(state: TrustState, entry: bytes, index: int) -> tuple[TrustState, tuple[Finding, ...]]:
    """The state after `entry` at `index`, and every rule that it breaks. Never raises on any bytes (I1)."""
    return apply_read(state, read(entry), index)


def read(entry: bytes) -> Statement | TrustError:
    """The statement in an entry, or why there is none: `apply_read` takes both."""
    try:
        return read_statement(entry)
    except TrustError as error:
        return error


def apply_read(state: TrustState, entry: Statement | TrustError, index: int) -> tuple[TrustState, tuple[Finding, ...]]:
    """See `apply`; for whoever looks into what an entry says, and need not read it again."""
    after = replace(state, size=index + 1)
    if isinstance(entry, TrustError):
        return after, (from_error(entry, index, "I1"),)
    predicate = entry.said
    check, permit, spend = _RULES[type(predicate)]
    try:
        signers = members.verified_signers(state, entry.envelope, predicate)
    except TrustError as error:
        # unsigned words use up nothing either: anyone could have written them
        return after, (from_error(error, index, "I3" if error.code == "WEAK_KEY" else "I2"),)
    placed = Entry(index, entry.digest, predicate, signers)
    findings = [*members.check_place(state, placed), *members.check_signers(state, placed)]
    if findings:
        # the same words again, or somebody else's: they use up nothing
        return after, tuple(findings)
    findings = list(times.check_time(state, placed)) or list(check(state, placed))
    after = spend(after, placed) if findings else times.advance(permit(after, placed), predicate)
    return replace(after, record_ids=after.record_ids.insert(predicate.record_id)), tuple(findings)


def replay(entries: Iterable[bytes], state: TrustState = EMPTY) -> tuple[TrustState, list[Finding]]:
    """Fold many entries from `state` on; all findings in order."""
    found: list[Finding] = []
    for entry in entries:
        state, findings = apply(state, entry, state.size)
        found.extend(findings)
    return state, found
