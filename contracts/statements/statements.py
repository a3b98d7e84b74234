"""The statements that stand in the log: what members, the office and auditors may say, field by field.

A statement is an in-toto Statement v1 whose predicate is one of the classes below. Times are RFC 3339 in
UTC, digests `sha256:<hex>`, decimals are strings, and there are no floats. `run` everywhere is the digest
of the run-order's entry. Those that stay off the log: `contracts.statements.off_log`; how all are spelled:
`contracts.statements.closed_list`; who must sign each, and what rules it keeps to: `contracts.rules.kinds`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from contracts.envelope import canonical, digest, from_base64
from contracts.fields import (
    CertificateText,
    Count,
    Decimal,
    Delta,
    Digest,
    Index,
    KeyText,
    MemberId,
    Name,
    RecordId,
    SignedDecimal,
    Strict,
    Time,
)
from contracts.terms.agreement import Terms
from privacy.plan import ReleasePlan


class Predicate(Strict):
    """What every statement carries: a name of its own and when its author says it was made.

    A class that names its `kind` stands in the closed list from then on.
    """

    closed_list: ClassVar[dict[str, type[Predicate]]] = {}
    kind: ClassVar[str]
    record_id: RecordId
    issued_at: Time

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "kind" in vars(cls) and cls.closed_list.setdefault(cls.kind, cls) is not cls:
            raise TypeError(f"two statements are of kind {cls.kind}")

    def subject(self) -> tuple[str, str]:
        """(name, digest) of what the statement is about."""
        raise TypeError("only the kinds of statement have a subject")


class MemberStatement(Predicate):
    """What a member says itself, with its node key."""

    member: MemberId


class Seen(Strict):
    """The newest log state its author had verified: free gossip against split views."""

    size: Index
    root: Digest


class LedgerHead(Strict):
    """Where the member's own budget book stands: a node with an older book may not contribute."""

    head: Digest
    rho_total_nano: Index


# How many of the n admitted witnesses of either group must cosign; auditors count only once there is one.
QuorumRule = Literal["members n//2+1, auditors 1", "members 2n//3+1, auditors 1", "members n, auditors 1"]


class Genesis(Predicate):
    """The first entry: keys of the log and of the office."""

    kind = "genesis"
    origin: Name
    log_vkey: str
    office: KeyText
    agreement: KeyText
    ca: Digest
    quorum: QuorumRule

    def subject(self) -> tuple[str, str]:
        return "ca", self.ca


class Key(Predicate):
    """Admission of a key. One that follows another in its role `replaces` it: that one ends with this entry."""

    kind = "key"
    member: MemberId | None
    role: Literal["node", "witness", "auditor", "office", "agreement"]
    public: KeyText
    register_document: Digest | None
    replaces: Digest | None = None

    def subject(self) -> tuple[str, str]:
        return "key", digest(from_base64(self.public))


class KeyState(Predicate):
    """A key ends."""

    kind = "key-state"
    key: Digest
    state: Literal["retired", "compromised"]

    def subject(self) -> tuple[str, str]:
        return "key", self.key


class Authority(Predicate):
    """A new certificate authority for the connections of nodes; the one that it `replaces` ends 60 days later.

    A node takes its word once enough witnesses have cosigned it: until then a log could say one thing to each.
    """

    kind = "authority"
    certificate: CertificateText
    replaces: Digest

    def subject(self) -> tuple[str, str]:
        return "ca", digest(from_base64(self.certificate))


class AgreementPublished(Predicate):
    """One immutable version of the terms."""

    kind = "agreement"
    terms: Terms

    def subject(self) -> tuple[str, str]:
        return "agreement", self.terms.digest()


AgreementPhase = Literal["active", "suspended", "superseded", "revoked", "expired", "closed"]


class AgreementState(Predicate):
    """A change of an agreement's state."""

    kind = "agreement-state"
    agreement: Digest
    prev_state: AgreementPhase
    state: Literal["active", "suspended", "revoked", "expired", "closed"]
    reason: Literal["office", "authority", "incident", "resumed", "time"]

    def subject(self) -> tuple[str, str]:
        return "agreement", self.agreement


class DatasetScope(Strict):
    """A dataset that a consent names, and the privacy unit that it is protected by."""

    id: Name
    unit: Literal["row", "counterparty", "series", "member"]


class Scope(Strict):
    """What a consent allows: never wider than the agreement. Rho in nano is the truth, epsilon display.

    `orders_max` runs a year may ask for a dataset, and `aborted_max` of their rounds may end without a sum: an order
    that is never finished costs budget all the same.
    """

    tasks: tuple[Name, ...]
    datasets: tuple[DatasetScope, ...]
    delta: Delta
    epsilon_run_max: Decimal
    epsilon_year_max: Decimal
    rho_run_max_nano: Count
    rho_year_max_nano: Count
    rounds_max: Count
    orders_max: Count
    aborted_max: Count


class Notice(Strict):
    """The very text that was shown."""

    digest: Digest
    lang: Literal["zh-CN", "en"]
    level: Literal["general", "enhanced"]


class GivenBy(Strict):
    """The person who speaks for the member; a delegate by a document whose salted digest is named."""

    role: Literal["legal-representative", "delegate"]
    delegation: Digest | None


class Consent(MemberStatement):
    """A member's signed event on an agreement.

    A grant says everything anew; an amend only narrows; a renew opens the next year's budget and may prolong. A
    withdraw ends the consent. An expire states what time already made true.
    """

    kind = "consent"
    event: Literal["grant", "amend", "renew", "withdraw", "expire"]
    agreement: Digest
    scope: Scope | None
    seq: Count
    prev: Digest | None
    effective_from: Time
    expires_at: Time | None
    notice: Notice | None
    method: Literal["signed-in-node"]
    consent_kind: Literal["general", "separate", "written"]
    given_by: GivenBy = GivenBy(role="legal-representative", delegation=None)
    legal_basis: Literal["dpv:Consent", "dpv:Contract"] = "dpv:Consent"
    seen: Seen
    ledger: LedgerHead

    def subject(self) -> tuple[str, str]:
        return "agreement", self.agreement


GateVerdict = Literal["not-worse", "worse", "too-few"]
GateDecision = Literal["release", "keep"]


class GateTerms(Strict):
    """How the model of a run will be judged, fixed before anybody sees it.

    One joint histogram of holdout units may cost each member `rho_nano` there. `untold` is what happens if the
    members are too few for it to tell anything: a decision that no data can sway.
    """

    rho_nano: Count
    untold: GateDecision


class Evaluates(Strict):
    """What an evaluation judges: the model of `run`, against its start and the model of `incumbent`, if one serves."""

    run: Digest
    incumbent: Digest | None


class RunOrder(Predicate):
    """One ordered computation, logged and cosigned before round 1.

    A run that trains may carry `gate`; an evaluation `evaluates` such a run, on the holdout partition.
    """

    kind = "run-order"
    agreement: Digest
    task: Name
    dataset: Name
    schema_digest: Digest
    bundle: Digest
    model_start: Digest
    plan: ReleasePlan
    min_members: Count
    window_s: Count
    deadline_s: Count
    expires_at: Time
    gate: GateTerms | None = None
    evaluates: Evaluates | None = None

    def subject(self) -> tuple[str, str]:
        return "model", self.model_start


class RoundOpen(Predicate):
    """Who is asked in a round, on which consent entry, from which model."""

    kind = "round-open"
    order: Digest
    round: Count
    members: tuple[tuple[MemberId, Index], ...]
    model_in: Digest
    log_size: Index
    deadline_s: Count

    def subject(self) -> tuple[str, str]:
        return "model", self.model_in


DropReason = Literal["no-reply", "withdrawn", "malformed", "refused", "group"]


class Round(Predicate):
    """How a round ended. `spend` charges every listed member, dropped or not; `group` drops whoever replied while
    others of its group did not, under terms that group members.

    `unmasking` names the document with which the secure sum can be done again; None where none is agreed.
    `ledgers` repeats from each contributor's signed line where its own budget book stands.
    """

    kind = "round"
    order: Digest
    open: Index
    round: Count
    outcome: Literal["recorded", "aborted"]
    cutoff: Index
    contributors: tuple[MemberId, ...]
    list_root: Digest | None
    list_document: Digest | None
    aggregate: Digest | None
    model_out: Digest
    step_state: Digest | None
    unmasking: Digest | None
    dropped: tuple[tuple[MemberId, DropReason], ...]
    spend: tuple[tuple[MemberId, Count], ...]
    ledgers: tuple[tuple[MemberId, LedgerHead], ...]

    def subject(self) -> tuple[str, str]:
        return "model", self.model_out


class Release(Predicate):
    """A model may be served."""

    kind = "release"
    order: Digest
    task: Name
    model: Digest
    rounds: Count
    participants: Count
    min_members: Count
    beneficiaries: Literal["members", "named", "public"] = "members"

    def subject(self) -> tuple[str, str]:
        return "model", self.model


class Compared(Strict):
    """The candidate beside one other model: mean loss it adds to a holdout unit, and two
    standard errors of the noise."""

    model: Digest
    verdict: GateVerdict
    difference: SignedDecimal
    band: Decimal


class Gate(Predicate):
    """Whether the model of a run may be released, and why; recomputed from the evaluation's sum."""

    kind = "gate"
    order: Digest
    evaluation: Digest
    model: Digest
    compared: tuple[Compared, ...]
    verdict: GateVerdict
    decision: GateDecision

    def subject(self) -> tuple[str, str]:
        return "model", self.model


class Rollback(Predicate):
    """An earlier released model serves again, or none does."""

    kind = "rollback"
    task: Name
    gone: Digest
    order: Digest | None
    reason: Literal["harm", "incident", "office"]

    def subject(self) -> tuple[str, str]:
        return "order", self.gone


class Refusal(MemberStatement):
    """A member's node says no. Reasons are a closed list without data causes.

    Two reasons are about one round, named by the index of its opening: `not-started`, that member did not begin to
    compute and is not charged; `restarted`, its node has lost the secrets of the round and stays out of that one only.
    """

    kind = "refusal"
    order: Digest
    reason: Literal[
        "budget",
        "consent",
        "agreement",
        "bundle",
        "schema",
        "expired",
        "ledger",
        "plan",
        "log",
        "secure-sum",
        "not-started",
        "restarted",
    ]
    open: Index | None = None
    seen: Seen
    ledger: LedgerHead

    def subject(self) -> tuple[str, str]:
        return "order", self.order


CheckFault = Literal[
    "noise-scale", "noise-shape", "noise-repeats", "noise-shared", "unit-too-strong", "unit-lost", "bound-above-claim"
]


class PrivacyCheck(MemberStatement):
    """A node has attacked its own release path on synthetic rows.

    Says nothing about the member's data and spends nothing. `epsilon_at_least` is a lower bound at 95 %
    confidence for a path that claims `epsilon_claimed`; `epsilon_visible` is the most that this many
    canaries can show, so a path with no noise at all would be reported with that number.
    """

    kind = "privacy-check"
    bundle: Digest
    family: Literal["gradients", "trees", "moments", "histogram"]
    epsilon_claimed: Decimal
    epsilon_at_least: Decimal
    epsilon_visible: Decimal
    delta: Delta
    canaries: Count
    releases: Count
    faults: tuple[CheckFault, ...]
    ledger: LedgerHead

    def subject(self) -> tuple[str, str]:
        return "bundle", self.bundle


ComparisonVerdict = Literal["better", "tie", "worse"]


class Comparison(MemberStatement):
    """A member's own word on a released model, once a run. Nobody can check it.

    Says how its node fares on its held-out rows with the shared vote, beside its own votes alone: better or worse by
    more than two standard errors, else a tie. One of three words, no figure and no count; outside epsilon.
    """

    kind = "comparison"
    order: Digest
    verdict: ComparisonVerdict
    seen: Seen
    ledger: LedgerHead

    def subject(self) -> tuple[str, str]:
        return "order", self.order


class Policy(Predicate):
    """A change of the quorum rule."""

    kind = "policy"
    prev: QuorumRule
    quorum: QuorumRule

    def subject(self) -> tuple[str, str]:
        return "quorum", digest(self.quorum.encode())


class AuditReport(Predicate):
    """What an auditor found in the first `size` entries."""

    kind = "audit-report"
    size: Index
    root: Digest
    verdict: Literal["clean", "findings", "could-not-check"]
    codes: tuple[Name, ...]
    report: Digest

    def subject(self) -> tuple[str, str]:
        return "report", self.report


class Erased(Strict):
    """A document that the log names; of a contribution list either itself or the contributions that it names."""

    document: Digest
    part: Literal["document", "contributions"]


class Erasure(Predicate):
    """Off-log documents are gone; their digests stay."""

    kind = "erasure"
    documents: tuple[Erased, ...]
    ground: Literal["retention-ended", "member-left", "authority"]

    def subject(self) -> tuple[str, str]:
        return "documents", digest(canonical([e.model_dump(mode="json") for e in self.documents]))


class Incident(Predicate):
    """Something went wrong, or an answer to it.

    `about` is the digest of the entry that this one follows up (a refusal, a key-state, an audit-report or an
    earlier incident); details stand in a salted off-log document.
    """

    kind = "incident"
    about: Digest | None
    category: Literal["refusal", "key", "audit", "availability", "data", "privacy", "other"]
    state: Literal["open", "answered", "closed"]
    members: tuple[MemberId, ...]
    document: Digest

    def subject(self) -> tuple[str, str]:
        return "document", self.document
