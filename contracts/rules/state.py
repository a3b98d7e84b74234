"""TrustState: everything that the log has said so far, as one immutable value, and the questions put to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from contracts.agreement import Terms
from contracts.checkpoint import WITNESS_KEY, NoteKey, witness_name
from contracts.envelope import load_public
from contracts.fields import moment
from contracts.statements import Consent, Genesis, Predicate, PrivacyCheck, Release, Round, RoundOpen, RunOrder

Role = Literal["office", "agreement", "log", "node", "witness", "auditor"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry that could be read: its place, digest, statement and the keys whose signature holds."""

    index: int
    digest: str
    predicate: Predicate
    signers: frozenset[str]


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """An admitted key; `ended` is the index from which it counts no more."""

    member: str | None
    role: Role
    public: str
    index: int
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class AgreementRecord:
    """An agreement and its present state."""

    terms: Terms
    index: int
    state: Literal["active", "suspended", "superseded", "revoked", "closed"] = "active"


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One consent entry of a member to one agreement."""

    index: int
    digest: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A round that was opened, and how it ended if it did."""

    open_index: int
    opened: RoundOpen
    closed: Round | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: its order, its rounds so far, and the model they lead to."""

    run: str
    index: int
    order: RunOrder
    model: str
    rounds: tuple[RoundRecord, ...] = ()
    release: Release | None = None
    refused: frozenset[str] = frozenset()

    def open_round(self) -> RoundRecord | None:
        """The round that waits for its end, if any."""
        return self.rounds[-1] if self.rounds and self.rounds[-1].closed is None else None

    def next_round(self) -> int:
        """The number of the next round to open, from 1."""
        return len(self.rounds) + 1

    def is_complete(self) -> bool:
        """All rounds of the order were opened and have ended."""
        return len(self.rounds) >= self.order.plan.releases and self.open_round() is None


@dataclass(frozen=True, slots=True)
class TrustState:
    """What was admitted, agreed, consented, ordered, spent and released below `size`."""

    size: int = 0
    genesis: Genesis | None = None
    keys: Mapping[str, RegisteredKey] = field(default_factory=dict)
    agreements: Mapping[str, AgreementRecord] = field(default_factory=dict)
    consents: Mapping[tuple[str, str], tuple[ConsentEvent, ...]] = field(default_factory=dict)
    runs: Mapping[str, RunRecord] = field(default_factory=dict)
    charges: Mapping[tuple[str, str, str, str, str], int] = field(default_factory=dict)
    privacy_checks: Mapping[str, tuple[int, PrivacyCheck]] = field(default_factory=dict)
    record_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def knows_record(self, record_id: str) -> bool:
        """True if a statement with this id is in the log."""
        return record_id in self.record_ids.get(record_id[-2:], ())

    def with_record(self, record_id: str) -> TrustState:
        """The state that also knows `record_id` (in 256 buckets, so that a copy stays small)."""
        bucket = self.record_ids.get(record_id[-2:], frozenset()) | {record_id}
        return replace(self, record_ids={**self.record_ids, record_id[-2:]: bucket})

    def live_key(self, member: str | None, role: Role) -> tuple[str, RegisteredKey] | None:
        """(KeyId, key) of the one live key in a role, if there is one."""
        return next(
            ((k, r) for k, r in self.keys.items() if (r.member, r.role) == (member, role) and r.ended is None), None
        )

    def members(self) -> list[str]:
        """Members with a live node key, in order of admission."""
        return [r.member for r in self.keys.values() if r.role == "node" and r.ended is None and r.member]

    def witnesses(self) -> dict[str, NoteKey]:
        """Cosigner name -> verifier key of every live member witness."""
        if self.genesis is None:
            return {}
        live = [r for r in self.keys.values() if r.role == "witness" and r.ended is None and r.member]
        names = {witness_name(self.genesis.origin, str(r.member)): r for r in live}
        return {name: NoteKey(name, WITNESS_KEY, load_public(r.public)) for name, r in names.items()}

    def consent(self, member: str, agreement: str, below: int | None = None) -> ConsentEvent | None:
        """The last consent entry of a member to an agreement with index < `below`."""
        events = self.consents.get((member, agreement), ())
        return next((e for e in reversed(events) if below is None or e.index < below), None)

    def active_agreement(self) -> str | None:
        """Digest of the newest active agreement."""
        return next((d for d, a in reversed(tuple(self.agreements.items())) if a.state == "active"), None)

    def released(self, task: str) -> RunRecord | None:
        """The run whose model was released last for a task."""
        return next((r for r in reversed(tuple(self.runs.values())) if r.release and r.order.task == task), None)

    def spent(self, member: str, dataset: str, unit: str, partition: str, year: str) -> int:
        """Nano-rho charged to a member's account in a calendar year."""
        return self.charges.get((member, dataset, unit, partition, year), 0)


EMPTY = TrustState()


def is_live(event: ConsentEvent | None, at_time: str) -> bool:
    """A consent allows something: not withdrawn, in effect and not expired at `at_time`."""
    if event is None or event.consent.event == "withdraw" or event.consent.expires_at is None:
        return False
    return moment(event.consent.effective_from) <= moment(at_time) < moment(event.consent.expires_at)


def covers(event: ConsentEvent, order: RunOrder) -> bool:
    """A consent's scope holds this run: task, dataset with its unit, budget and number of rounds."""
    scope = event.consent.scope
    return (
        scope is not None
        and order.task in scope.tasks
        and any((d.id, d.unit) == (order.dataset, order.plan.unit) for d in scope.datasets)
        and order.plan.total_rho_nano() <= scope.rho_run_max_nano
        and order.plan.releases <= scope.rounds_max
        and order.plan.delta == scope.delta
    )
