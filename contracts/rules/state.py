"""TrustState: everything that the log has said so far, as one immutable value, and the questions put to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from rpds import HashTrieMap, HashTrieSet

from contracts.envelope import load_public
from contracts.log.checkpoint import WITNESS_KEY, NoteKey, auditor_name, witness_name
from contracts.log.quorum import Quorum
from contracts.rules.persistent import Map, Set
from contracts.statements.statements import (
    AgreementPhase,
    ComparisonVerdict,
    Consent,
    Gate,
    Genesis,
    LedgerHead,
    PrivacyCheck,
    QuorumRule,
    Release,
    RunOrder,
)
from contracts.terms.agreement import Terms

Role = Literal["office", "agreement", "log", "node", "witness", "auditor"]
Account = tuple[str, str, str, str, str]  # member, dataset, unit, partition, calendar year
Group = tuple[str, ...]  # members that are summed together or not at all, sorted


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """An admitted key; `ended` is the index from which it counts no more."""

    member: str | None
    role: Role
    public: str
    index: int
    ended: int | None = None
    compromised: bool = False

    def is_live(self, size: int) -> bool:
        """Admitted below `size` and not ended below it."""
        return self.index < size and (self.ended is None or self.ended >= size)


@dataclass(frozen=True, slots=True)
class NamedAuthority:
    """The certificate authority that an entry names, by the digest of its certificate (DER in base64)."""

    index: int
    digest: str
    certificate: str
    replaces: str
    named_at: str


@dataclass(frozen=True, slots=True)
class AgreementRecord:
    """An agreement, its present state, and when it ceased to be active for good (None while it may be)."""

    terms: Terms
    index: int
    state: AgreementPhase = "active"
    ended_at: str | None = None


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One consent entry of a member to one agreement."""

    index: int
    digest: str
    consent: Consent

    def is_end(self) -> bool:
        """True if this event ends what was consented: a withdrawal, or an expiry that somebody stated."""
        return self.consent.event in ("withdraw", "expire")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a round-open said that is still asked for later. A state of many rounds must stay small."""

    round: int
    issued_at: str
    deadline_s: int
    members: tuple[tuple[str, int], ...]
    model_in: str


def books(ledgers: Iterable[tuple[str, LedgerHead]]) -> str:
    """SHA-256 of where each contributor's ledger stood, in order: what a replay keeps of lists as long as the log."""
    return sha256(
        "".join(f"{member} {said.rho_total_nano} {said.head}\n" for member, said in ledgers).encode()
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class Closing:
    """What a round said that is still asked for later; `books` stands for the ledgers that it repeated."""

    round: int
    outcome: Literal["recorded", "aborted"]
    cutoff: int
    contributors: tuple[str, ...]
    list_root: str | None
    list_document: str | None
    aggregate: str | None
    model_out: str
    step_state: str | None
    unmasking: str | None
    books: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """Where a member's ledger stood, by the office's word alone: only the list of contributions in `document` can
    show that the member said so."""

    ledger: LedgerHead
    document: str
    order: str
    round: int
    open_index: int


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A round that was opened, and how it ended if it did. A `broken` opening spends, and permits nobody to compute.

    `groups` are those it asks, and forgotten when it ends.
    """

    open_index: int
    opened: Opening
    closed: Closing | None = None
    closed_at: int | None = None  # index of the entry that ended it
    broken: bool = False
    not_started: frozenset[str] = frozenset()
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: its order, its rounds so far, and the model they lead to."""

    run: str
    index: int
    order: RunOrder
    model: str
    rounds: tuple[RoundRecord, ...] = ()
    release: Release | None = None
    released_at: int | None = None  # index of the release
    refused: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    evaluation: str | None = None
    gate: Gate | None = None
    gated_at: int | None = None  # index of the gate
    compared: tuple[tuple[str, ComparisonVerdict], ...] = ()  # what members declared, in order

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
class NamedDocument:
    """An off-log document that an entry names, and the agreement that says how long it must be kept."""

    index: int
    kind: Literal[
        "register", "model", "list", "aggregate", "step-state", "unmasking", "incident", "delegation", "report"
    ]
    agreement: str | None
    named_at: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """A refusal, a compromised key or an incident that somebody has to answer."""

    index: int
    since: str
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """How often a member was asked for a dataset in a year: runs, and rounds that ended without a sum."""

    orders: int = 0
    aborted: int = 0


@dataclass(frozen=True, slots=True)
class TrustState:
    """What was admitted, agreed, consented, ordered, spent and released below `size`.

    The maps are persistent: an added entry shares all the rest, so a state costs no copy and stays as it was.
    """

    size: int = 0
    not_before: str = ""
    genesis: Genesis | None = None
    quorum: QuorumRule = "members n//2+1, auditors 1"
    earlier_quorums: tuple[tuple[int, QuorumRule], ...] = ()  # (index of the entry that ended it, rule)
    keys: Map[str, RegisteredKey] = HashTrieMap()
    seats: Map[tuple[str | None, str], str] = HashTrieMap()
    auditors: Set[str] = HashTrieSet()
    authorities: tuple[NamedAuthority, ...] = ()  # after that of genesis, in order
    agreements: Map[str, AgreementRecord] = HashTrieMap()
    newest_agreement: str | None = None
    consents: Map[tuple[str, str], tuple[ConsentEvent, ...]] = HashTrieMap()  # of each member and agreement, in order
    runs: Map[str, RunRecord] = HashTrieMap()
    released_runs: Map[str, str] = HashTrieMap()
    charges: Map[Account, int] = HashTrieMap()
    asked: Map[tuple[str, str, str], Asked] = HashTrieMap()
    ledgers: Map[str, LedgerHead] = HashTrieMap()  # highest that counts; of rounds only those under edition 1
    own_ledgers: Map[str, LedgerHead] = HashTrieMap()  # highest under the member's own signature
    repeated: Map[str, Repeated] = HashTrieMap()  # what the office said last
    privacy_checks: Map[str, tuple[int, PrivacyCheck]] = HashTrieMap()
    record_ids: Set[str] = HashTrieSet()
    documents: Map[str, NamedDocument] = HashTrieMap()
    erased: Set[tuple[str, str]] = HashTrieSet()
    matters: Map[str, Matter] = HashTrieMap()
    groups: Map[str, tuple[Group, ...]] = HashTrieMap()  # of each dataset, in the order in which they formed

    def live_key(self, member: str | None, role: Role) -> tuple[str, RegisteredKey] | None:
        """(KeyId, key) of the one live key in a role, if there is one."""
        held = self.seats.get((member, role))
        return (held, self.keys[held]) if held and self.keys[held].ended is None else None

    def authority(self) -> str:
        """Digest of the newest certificate authority; before genesis there is none."""
        first = self.genesis.ca if self.genesis else ""
        return self.authorities[-1].digest if self.authorities else first

    def members(self) -> list[str]:
        """Members with a live node key, in order of admission."""
        live = (r for r in self.keys.values() if r.role == "node" and r.ended is None and r.member)
        return [str(r.member) for r in sorted(live, key=lambda r: r.index)]

    def witnesses(self) -> dict[str, NoteKey]:
        """Cosigner name -> verifier key of every live member witness."""
        return dict(self.quorum_at(self.size).members)

    def quorum_at(self, size: int) -> Quorum:
        """Who must cosign a checkpoint of `size`: the keys that live and the rule that holds after its entries."""
        rule = next((rule for ended, rule in self.earlier_quorums if size <= ended), self.quorum)
        members: dict[str, NoteKey] = {}
        auditors: dict[str, NoteKey] = {}
        origin = self.genesis.origin if self.genesis else ""
        live = ((k, r) for k, r in self.keys.items() if r.role in ("witness", "auditor") and r.is_live(size))
        for keyid, key in sorted(live, key=lambda pair: pair[1].index):
            group, name = (
                (members, witness_name(origin, key.member)) if key.member else (auditors, auditor_name(origin, keyid))
            )
            group[name] = NoteKey(name, WITNESS_KEY, load_public(key.public))
        return Quorum(rule, members, auditors)

    def consent(self, member: str, agreement: str, below: int | None = None) -> ConsentEvent | None:
        """The last consent entry of a member to an agreement with index < `below`."""
        events = reversed(self.consents.get((member, agreement), ()))
        return next((event for event in events if below is None or event.index < below), None)

    def consent_events(self, member: str | None = None) -> Iterator[ConsentEvent]:
        """Every consent entry (of one member), newest first within an agreement."""
        for (who, _), events in self.consents.items():
            if member in (None, who):
                yield from reversed(events)

    def replaced_consent(self, member: str, agreement: str) -> int | None:
        """The newest version before `agreement` that a member consented to and did not withdraw from, if it has none to
        this one."""
        if self.consent(member, agreement) is not None:
            return None
        newest, before = self.agreements[agreement].terms.version, 0
        for name, record in self.agreements.items():
            event = self.consent(member, name)
            if event is not None and not event.is_end() and record.terms.version < newest:
                before = max(before, record.terms.version)
        return before or None

    def active_agreement(self) -> str | None:
        """Digest of the newest agreement, if that is active."""
        newest = self.newest_agreement
        return newest if newest and self.agreements[newest].state == "active" else None

    def runs_in_order(self) -> list[RunRecord]:
        """All runs in order of their orders."""
        return sorted(self.runs.values(), key=lambda r: r.index)

    def released(self, task: str) -> RunRecord | None:
        """The run whose model serves a task: released last, or brought back by a rollback."""
        run = self.released_runs.get(task)
        return self.runs[run] if run else None

    def spent(self, member: str, dataset: str, unit: str, partition: str, year: str) -> int:
        """Nano-rho charged to a member's account in a calendar year."""
        return self.charges.get((member, dataset, unit, partition, year), 0)


EMPTY = TrustState()


def is_live(event: ConsentEvent | None, at_time: str) -> bool:
    """A consent allows something: not ended, in effect and not expired at `at_time`."""
    if event is None or event.is_end() or event.consent.expires_at is None:
        return False
    return event.consent.effective_from <= at_time < event.consent.expires_at


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
