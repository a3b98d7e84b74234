"""Every kind of statement in one table: who signs it, what rules bind it, what it changes, how it reads in a sentence.

The fold, the history and the list of fields follow from the table; nothing else lists kinds. How to add one:
docs/how-to/add-a-statement-kind.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.rules import consents, gates, incidents, members, releases, rounds, signers
from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import TrustState
from contracts.statements import off_log, statements
from contracts.statements.off_log import OffLog
from contracts.statements.statements import Predicate, Seen
from contracts.wording import N_

Said = TypeVar("Said", bound=Predicate)
Check = Callable[[TrustState, Entry[Said]], Iterator[Finding]]
Effect = Callable[[TrustState, Entry[Said]], TrustState]


@dataclass(frozen=True, slots=True)
class Kind(Generic[Said]):
    """A row of the table.

    `signed` finds signatures of others than those whose word it is, `check` what its rules forbid. A sound entry
    does what `permit` does, a broken one no more than `spend`. What the office signs `at_once`, without waiting for
    anybody, must come in order of its times. `brings` are the public keys that an entry introduces, `seen` is what its
    author had seen of the log, `values` are what its sentence needs beside the fields.
    """

    statement: type[Said]
    sentence: str | Callable[[Said], str]
    signed: Check[Said]
    at_once: bool = False
    check: Check[Said] = lambda state, entry: iter(())
    permit: Effect[Said] = lambda state, entry: state
    spend: Effect[Said] = lambda state, entry: state
    brings: Callable[[Said], Iterable[str]] = lambda said: ()
    seen: Callable[[Said], Seen | None] = lambda said: getattr(said, "seen", None)
    values: Callable[[Said], Mapping[str, object]] = lambda said: {}

    def words(self, said: Said) -> tuple[str, dict[str, object]]:
        """An English sentence with fields, and what stands in them."""
        sentence = self.sentence if isinstance(self.sentence, str) else self.sentence(said)
        return sentence, {**said.model_dump(), "kind": said.kind, **self.values(said)}


_CONSENTS = {
    "grant": N_("{member} consents from {effective_from} to {expires_at}"),
    "amend": N_("{member} narrows the consent, to {expires_at}"),
    "renew": N_("{member} prolongs the consent to {expires_at}"),
    "withdraw": N_("{member} withdraws"),
    "expire": N_("the consent of {member} has expired"),
}


def _not_for_the_log(state: TrustState, entry: Entry[Predicate]) -> Iterator[Finding]:
    """I1: what members only show one another, or keep, never stands in the log."""
    yield entry.breaks("PROFILE", "I1", N_("a {kind} does not belong on the log"), kind=entry.predicate.kind)


def _off_log(statement: type[OffLog]) -> Kind[OffLog]:
    return Kind(statement, N_("a statement of kind {kind}"), signed=signers.by_office, check=_not_for_the_log)


_ROWS = (  # without a type of its own: so mypy holds each row against the class of its statement
    Kind(
        statements.Genesis,
        N_("the log {origin} begins"),
        signed=signers.by_its_own_keys,
        brings=lambda genesis: signers.keys_of_genesis(genesis).values(),
        permit=members.found_trust,
    ),
    Kind(
        statements.Key,
        N_("the {role} key of {member} is admitted"),
        signed=signers.by_admitting,
        brings=lambda key: (key.public,),
        check=members.check_key,
        permit=members.admit_key,
    ),
    Kind(
        statements.KeyState,
        N_("key {key} is {state}"),
        signed=signers.by_key_or_office,
        check=members.check_key_state,
        permit=members.end_key,
    ),
    Kind(
        statements.Authority,
        N_("nodes connect under the certificate authority {ca}; {replaces} ends on {until}"),
        signed=signers.by_office,
        at_once=True,
        check=members.check_authority,
        permit=members.name_authority,
        values=lambda said: {"ca": said.subject()[1], "until": members.overlap_ends(said.issued_at)},
    ),
    Kind(
        statements.AgreementPublished,
        N_("agreement version {version} is published, valid to {until}"),
        signed=signers.by_office_and_agreement_key,
        at_once=True,
        check=consents.check_agreement,
        permit=consents.publish,
        values=lambda published: {"version": published.terms.version, "until": published.terms.valid_to},
    ),
    Kind(
        statements.AgreementState,
        N_("agreement {agreement} becomes {state} ({reason})"),
        signed=signers.by_office,
        at_once=True,
        check=consents.check_agreement_state,
        permit=consents.change_state,
    ),
    Kind(
        statements.Consent,
        lambda consent: _CONSENTS[consent.event],
        signed=signers.by_principal,
        check=consents.check_consent,
        permit=consents.record_consent,
        seen=consents.seen_by,
    ),
    Kind(
        statements.RunOrder,
        N_("a run of {task} on {dataset} is ordered, at least {min_members} members"),
        signed=signers.by_office,
        at_once=True,
        check=rounds.check_order,
        permit=rounds.place_order,
    ),
    Kind(
        statements.RoundOpen,
        N_("round {round} is opened to {n} members"),
        signed=signers.by_office,
        at_once=True,
        check=rounds.check_open,
        permit=rounds.open_round,
        spend=rounds.open_broken_round,
        values=lambda opened: {"n": len(opened.members)},
    ),
    Kind(
        statements.Round,
        N_("round {round} is {outcome}: {n} members combined, {dropped} left out"),
        signed=signers.by_office,
        at_once=True,
        check=rounds.check_round,
        permit=rounds.close_round,
        spend=rounds.close_round,
        values=lambda closed: {"n": len(closed.contributors), "dropped": len(closed.dropped)},
    ),
    Kind(
        statements.Gate,
        N_("the gate of the model says {verdict}: {decision}"),
        signed=signers.by_office,
        at_once=True,
        check=gates.check_gate,
        permit=gates.record_gate,
    ),
    Kind(
        statements.Release,
        N_("the model of {task} is released after {rounds} rounds of {participants} members"),
        signed=signers.by_office,
        at_once=True,
        check=releases.check_release,
        permit=releases.record_release,
    ),
    Kind(
        statements.Rollback,
        N_("the model of {task} is taken back ({reason})"),
        signed=signers.by_office,
        at_once=True,
        check=gates.check_rollback,
        permit=gates.record_rollback,
    ),
    Kind(
        statements.Refusal,
        N_("{member} refuses to take part: {reason}"),
        signed=signers.by_member,
        check=releases.check_refusal,
        permit=releases.record_refusal,
    ),
    Kind(
        statements.PrivacyCheck,
        N_("{member} has checked its own noise: epsilon at least {epsilon_at_least}"),
        signed=signers.by_member,
        permit=members.record_privacy_check,
    ),
    Kind(
        statements.Comparison,
        N_("{member} declares, and nobody can check, that the shared model beside its own is: {verdict}"),
        signed=signers.by_member,
        check=releases.check_comparison,
        permit=releases.record_comparison,
    ),
    Kind(
        statements.Policy,
        N_("the quorum rule becomes {quorum}"),
        signed=signers.by_both_groups,
        check=members.check_policy,
        permit=members.change_policy,
    ),
    Kind(
        statements.AuditReport,
        N_("an auditor reports on {size} entries: {verdict}"),
        signed=signers.by_auditor,
        check=incidents.check_report,
        permit=incidents.record_report,
    ),
    Kind(
        statements.Erasure,
        N_("documents are erased ({ground})"),
        signed=signers.by_office,
        at_once=True,
        check=incidents.check_erasure,
        permit=incidents.record_erasure,
    ),
    Kind(
        statements.Incident,
        N_("incident of kind {category} is {state}"),
        signed=signers.by_office,
        at_once=True,
        check=incidents.check_incident,
        permit=incidents.record_incident,
    ),
    _off_log(off_log.Contribution),
    _off_log(off_log.SumKeys),
    _off_log(off_log.SumSurvivors),
    _off_log(off_log.Receipt),
)


def _table(rows: Sequence[Kind[Any]], closed_list: Iterable[type[Predicate]]) -> dict[type[Predicate], Kind[Any]]:
    """Every statement of the closed list with its row; whoever defines one and writes no row is told at import."""
    table = {row.statement: row for row in rows}
    bare = [one.kind for one in closed_list if one not in table]
    if bare:
        raise TypeError(f"contracts/rules/kinds.py has no row for statements of kind {', '.join(bare)}")
    return table


KINDS = _table(_ROWS, Predicate.closed_list.values())
