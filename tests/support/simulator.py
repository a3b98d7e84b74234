"""A whole trust in one process: keys, clock, log, members, and ways to cheat. No torch, no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import digest, key_id, public_text, seal
from contracts.fields import new_id, time_text
from contracts.log import tiles
from contracts.log.checkpoint import (
    LOG_KEY,
    Checkpoint,
    Note,
    NoteKey,
    cosign_note,
    parse_line,
    sign_checkpoint,
    witness_name,
)
from contracts.log.merkle import leaf_hash, root
from contracts.rules.budgets import consenting_members
from contracts.rules.findings import Finding
from contracts.rules.fold import apply
from contracts.rules.releases import participants
from contracts.rules.state import EMPTY, RunRecord, TrustState
from contracts.statements.closed_list import payload
from contracts.statements.statements import (
    AgreementPublished,
    Consent,
    DatasetScope,
    Genesis,
    Key,
    LedgerHead,
    Notice,
    Predicate,
    Refusal,
    Release,
    Round,
    RoundOpen,
    RunOrder,
    Scope,
    Seen,
)
from contracts.terms.agreement import Chamber, PrivacyTerms, Prose, RoundTerms, TaskTerms, Terms
from contracts.terms.prose import with_prose
from hash_tiles import tile_hashes
from privacy.plan import Adam, Gradients, ReleasePlan, stated
from privacy.spend import Unit

ORIGIN = "chamber.test/consent-log"
NOTHING = "sha256:" + "0" * 64
START = digest(b"start model")
TASK = TaskTerms(
    task="risk",
    dataset="receivables",
    schema_digest=NOTHING,
    purpose="early-risk-warning",
    row_meaning="customers",
    personal_data=False,
    unit="row",
    max_units=1000,
    max_rows_per_unit=1,
)
LIMITS = PrivacyTerms(
    delta="1e-6",
    epsilon_run_max="1",
    epsilon_year_max="4",
    rho_run_max_nano=24_355_970,
    rho_year_max_nano=311_064_954,
    families=("trees", "gradients", "moments", "histogram"),
    noise="member",
    neighbours="add-remove",
)
ROUNDS = RoundTerms(
    max_per_run=50,
    orders_max=20,
    aborted_max=10,
    interval_min_s=0,
    window_max_s=259_200,
    deadline_max_s=3600,
)


def plan(**changes: object) -> ReleasePlan:
    """A plan of four numbers and three releases."""
    fields = {
        "task": "risk",
        "dataset": "receivables",
        "unit": Unit.ROW,
        "partition": "train",
        "releases": 3,
        "shape": Gradients("gradients", ((3, 1),), "1"),
        "sigma_steps": 40 * 2**20,
        "grid_bits": 20,
        "delta": "1e-6",
        "max_units": 1000,
        "max_rows_per_unit": 1,
        "step": Adam("adam", "0.1", 1),
        "rho_total_nano": 0,
    } | changes
    return stated(ReleasePlan(**fields))  # type: ignore[arg-type]


@dataclass
class Firm:
    """A member with its two keys."""

    member: str = field(default_factory=new_id)
    node: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    witness: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)


class Trust:
    """An office, its log and its members; every `say` folds and appends, refused or not."""

    def __init__(self, members: int = 3, **terms: object):
        self.log_key, self.office, self.agreement_key = (Ed25519PrivateKey.generate() for _ in range(3))
        self.now = datetime(2026, 1, 5, 8, tzinfo=UTC)
        self.entries: list[bytes] = []
        self.state: TrustState = EMPTY
        self.findings: list[Finding] = []
        self.say(
            Genesis(
                **self.stamp(),
                origin=ORIGIN,
                log_vkey=self.log.vkey(),
                office=public_text(self.office.public_key()),
                agreement=public_text(self.agreement_key.public_key()),
                ca=NOTHING,
                quorum="members n//2+1, auditors 1",
            ),
            self.log_key,
            self.office,
            self.agreement_key,
        )
        self.firms = [self.admit() for _ in range(members)]
        self.terms = self.make_terms(**terms)
        self.publish(self.terms)

    @property
    def log(self) -> NoteKey:
        """The log's verifier key."""
        return NoteKey(ORIGIN, LOG_KEY, self.log_key.public_key())

    @property
    def agreement(self) -> str:
        """Digest of the first agreement."""
        return self.terms.digest()

    def stamp(self) -> dict[str, str]:
        """Fresh id and the present time; the clock moves on by a minute."""
        self.now += timedelta(minutes=1)
        return {"record_id": new_id(), "issued_at": time_text(self.now)}

    def say(self, predicate: Predicate, *keys: Ed25519PrivateKey) -> tuple[Finding, ...]:
        """Append a statement signed by `keys` and fold it."""
        return self.append(seal(payload(predicate), keys))

    def append(self, entry: bytes) -> tuple[Finding, ...]:
        """Append raw bytes and fold them."""
        self.state, findings = apply(self.state, entry, len(self.entries))
        self.entries.append(entry)
        self.findings += findings
        return findings

    def admit(self, firm: Firm | None = None) -> Firm:
        """Admit a firm with both keys."""
        firm = firm or Firm()
        for role, key in (("node", firm.node), ("witness", firm.witness)):
            self.say(self.key(firm.member, role, key), self.office, key)
        return firm

    def key(self, member: str | None, role: str, key: Ed25519PrivateKey, replaces: str | None = None) -> Key:
        """An admission of `key`, to be signed by the office, the key, and whoever else must."""
        public = public_text(key.public_key())
        fields = {**self.stamp(), "member": member, "role": role, "public": public, "replaces": replaces}
        return Key(**fields, register_document=None)  # type: ignore[arg-type]

    def publish(self, terms: Terms, *keys: Ed25519PrivateKey) -> tuple[Finding, ...]:
        """Publish an agreement, by default under both keys that it needs."""
        statement = AgreementPublished(**self.stamp(), terms=terms)
        return self.say(statement, *(keys or (self.office, self.agreement_key)))

    def refuse(self, firm: Firm, reason: str, open: int | None = None) -> tuple[Finding, ...]:
        """A firm's node says no to the last run."""
        fields = {**self.stamp(), "member": firm.member, "order": self.run.run, "reason": reason, "open": open}
        shown = {"seen": Seen(size=0, root=NOTHING), "ledger": self.ledger(firm.member)}
        return self.say(Refusal(**fields, **shown), firm.node)  # type: ignore[arg-type]

    def make_terms(self, edition: int = 1, **changes: object) -> Terms:
        """Terms for the risk task, with prose of an edition."""
        fields: dict[str, object] = {
            "format": "mengbang-terms/1",
            "id": new_id(),
            "version": 1,
            "supersedes": None,
            "valid_from": "2026-01-01T00:00:00Z",
            "valid_to": "2027-12-31T00:00:00Z",
            "chamber": Chamber(name="示例商会", code_digest=NOTHING),
            "beneficiaries": "members",
            "auditors": (),
            "rights_granted": ("processing-use",),
            "tasks": (TASK,),
            "privacy": LIMITS,
            "bundles": (NOTHING,),
            "start_models": (START,),
            "combining": "fixed-point/1",
            "secure_sum": "none",
            "min_members": 3,
            "rounds": ROUNDS,
            "onward_use": "none",
            "withdrawal": "excluded-from-next-cut-off",
            "records_kept_years": 3,
            "contributions_kept_days": 90,
            "provenance": "member-states-source",
            "impact_assessment": None,
            "law": "中华人民共和国法律",
            "dispute": "商会所在地人民法院",
            "prose": Prose(template=f"mengbang-agreement/{edition}", zh=NOTHING, en=NOTHING),  # type: ignore[arg-type]
        } | changes
        return with_prose(Terms(**fields))  # type: ignore[arg-type]

    def consent(
        self,
        firm: Firm,
        event: str = "grant",
        *,
        signer: Ed25519PrivateKey | None = None,
        scope: dict[str, object] | None = None,
        **changes: object,
    ) -> tuple[Finding, ...]:
        """A consent entry of `firm`, by default a grant over the whole agreement."""
        last = self.state.consent(firm.member, self.agreement)
        limits = self.terms.privacy
        whole = Scope(
            **(
                {
                    "tasks": ("risk",),
                    "datasets": (DatasetScope(id="receivables", unit="row"),),
                    "delta": limits.delta,
                    "epsilon_run_max": "1",
                    "epsilon_year_max": "4",
                    "rho_run_max_nano": limits.rho_run_max_nano,
                    "rho_year_max_nano": limits.rho_year_max_nano,
                    "rounds_max": 50,
                    "orders_max": 20,
                    "aborted_max": 10,
                }
                | (scope or {})
            )  # type: ignore[arg-type]
        )
        gone = event in ("withdraw", "expire")
        fields: dict[str, object] = {
            **self.stamp(),
            "event": event,
            "member": firm.member,
            "agreement": self.agreement,
            "scope": None if gone else whole,
            "seq": last.consent.seq + 1 if last else 1,
            "prev": last.digest if last else None,
            "effective_from": time_text(self.now),
            "expires_at": None if gone else "2026-12-31T00:00:00Z",
            "notice": None if gone else Notice(digest=self.terms.prose.zh, lang="zh-CN", level="enhanced"),
            "method": "signed-in-node",
            "consent_kind": "separate",
            "seen": Seen(size=0, root=NOTHING),
            "ledger": self.ledger(firm.member),
        } | changes
        return self.say(Consent(**fields), signer or firm.node)  # type: ignore[arg-type]

    def ledger(self, member: str, cost: int = 0) -> LedgerHead:
        """A member's book after one more release."""
        known, last = self.state.ledgers.get(member), self.state.repeated.get(member)
        shown = [one.rho_total_nano for one in (known, last.ledger if last else None) if one]
        return LedgerHead(head=NOTHING, rho_total_nano=max(shown, default=0) + cost)

    def order(self, **changes: object) -> tuple[Finding, ...]:
        """Order a risk run; under an agreement of edition 2 it ends with its window."""
        stamp, window = self.stamp(), {"window_s": 3600, "expires_at": "2026-12-01T00:00:00Z"}
        if self.terms.edition >= 2:
            window = {"window_s": 259_200, "expires_at": time_text(self.now + timedelta(days=3))}
        fields: dict[str, object] = {
            **stamp,
            "agreement": self.agreement,
            "task": "risk",
            "dataset": "receivables",
            "schema_digest": NOTHING,
            "bundle": NOTHING,
            "model_start": START,
            "plan": plan(),
            "min_members": 3,
            "deadline_s": 60,
            **window,
        } | changes
        return self.say(RunOrder(**fields), self.office)  # type: ignore[arg-type]

    @property
    def run(self) -> RunRecord:
        """The run that was ordered last."""
        return self.state.runs_in_order()[-1]

    def open(self, **changes: object) -> tuple[Finding, ...]:
        """Open the next round with everyone who consents."""
        stamp = self.stamp()
        fields: dict[str, object] = {
            **stamp,
            "order": self.run.run,
            "round": self.run.next_round(),
            "members": consenting_members(self.state, self.run, stamp["issued_at"]),
            "model_in": self.run.model,
            "log_size": len(self.entries),
            "deadline_s": 60,
        } | changes
        return self.say(RoundOpen(**fields), self.office)  # type: ignore[arg-type]

    def close(self, *, without: tuple[str, ...] = (), **changes: object) -> tuple[Finding, ...]:
        """Record the open round; members of `without` are dropped as withdrawn."""
        waiting = self.run.open_round()
        assert waiting is not None
        listed = [member for member, _ in waiting.opened.members]
        cost = self.run.order.plan.rho_nano()
        fields: dict[str, object] = {
            **self.stamp(),
            "order": self.run.run,
            "open": waiting.open_index,
            "round": waiting.opened.round,
            "outcome": "recorded",
            "cutoff": len(self.entries),
            "contributors": tuple(m for m in listed if m not in without),
            "list_root": NOTHING,
            "list_document": NOTHING,
            "aggregate": NOTHING,
            "model_out": digest(b"model %d" % len(self.entries)),
            "step_state": NOTHING,
            "unmasking": NOTHING if self.terms.secure_sum == "required" else None,
            "dropped": tuple((m, "withdrawn") for m in listed if m in without),
            "spend": tuple((m, cost) for m in listed),
            "ledgers": tuple((m, self.ledger(m, cost)) for m in listed if m not in without),
        } | changes
        return self.say(Round(**fields), self.office)  # type: ignore[arg-type]

    def abort(self) -> tuple[Finding, ...]:
        """End the open round without a sum: nobody replied."""
        waiting = self.run.open_round()
        assert waiting is not None
        return self.close(
            outcome="aborted",
            contributors=(),
            ledgers=(),
            dropped=tuple((m, "no-reply") for m, _ in waiting.opened.members),
            model_out=waiting.opened.model_in,
            **dict.fromkeys(("list_root", "list_document", "aggregate", "step_state", "unmasking")),
        )

    def release(self, **changes: object) -> tuple[Finding, ...]:
        """Release the model of the last run."""
        fields: dict[str, object] = {
            **self.stamp(),
            "order": self.run.run,
            "task": "risk",
            "model": self.run.model,
            "rounds": len(self.run.rounds),
            "participants": participants(self.run),
            "min_members": 3,
        } | changes
        return self.say(Release(**fields), self.office)  # type: ignore[arg-type]

    def whole_run(self) -> None:
        """Consents, one order, all its rounds, a release."""
        for firm in self.firms:
            self.consent(firm)
        self.order()
        for _ in range(self.run.order.plan.releases):
            self.open()
            self.close()
        self.release()

    def note(self, size: int | None = None) -> Note:
        """The checkpoint of the first `size` entries, cosigned by every firm."""
        size = len(self.entries) if size is None else size
        note = sign_checkpoint(
            Checkpoint(ORIGIN, size, root([leaf_hash(e) for e in self.entries[:size]])), self.log_key
        )
        lines = [
            parse_line(
                cosign_note(note, f.witness, name=witness_name(ORIGIN, f.member), time=int(self.now.timestamp()))
            )
            for f in self.firms
        ]
        return Note(note.checkpoint, (*note.signatures, *lines))

    def files(self) -> dict[str, bytes]:
        """The log as it is served: path -> bytes."""
        hashes = [leaf_hash(e) for e in self.entries]
        files = {}
        for name in tiles.names(len(self.entries)):
            first = name.n * tiles.WIDTH
            files[name.path()] = (
                tiles.bundle(self.entries[first : first + name.width])
                if name.level is None
                else tile_hashes(hashes, name)
            )
        files["checkpoint"] = files[f"checkpoints/{len(self.entries)}"] = self.note().text().encode()
        policy = self.state.quorum_at(self.state.size).policy(self.log, "https://chamber.test")
        return files | {"policy": policy.encode()}

    def write(self, folder: Path) -> dict[str, object]:
        """Serve the log as a folder; returns the pins of its first member."""
        for path, data in self.files().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return self.pins()

    def pins(self) -> dict[str, object]:
        """What the first member would hand to an auditor."""
        checkpoint = self.note().checkpoint
        return {
            "origin": ORIGIN,
            "log_vkey": self.log.vkey(),
            "genesis": digest(self.entries[0]),
            "ca_pem": "",
            "cosigners": {n: k.vkey() for n, k in self.state.witnesses().items()},
            "size": checkpoint.size,
            "root": "sha256:" + checkpoint.root.hex(),
            "member": self.firms[0].member,
        }


def keyid(key: Ed25519PrivateKey) -> str:
    """The name of a private key's public half."""
    return key_id(key.public_key())
