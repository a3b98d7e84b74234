"""The faults that an auditor must find, each made from the clean golden log: `make faults` prints what it finds.

A fault is a change by the editor to the log, or to the folder that the log is served from. `code` is the only code that
it may give. Those that need receipts are in tests/auditor/test_receipts.py.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import canonical, digest, open_entry, public_text, seal, strict_json
from contracts.log import tiles
from contracts.log.checkpoint import Checkpoint, Note, sign_checkpoint
from contracts.log.merkle import leaf_hash, root
from contracts.log.pins import Pins
from editor import Editor, Line, Mirror, agreement_of, new_terms, put
from golden import GOLDEN, name_of
from privacy.plan import ReleasePlan

WRONG = "sha256:" + "1" * 64
Edit = Callable[[Editor], object]
FolderEdit = Callable[[Mirror, Path, dict[str, Any]], object]


@dataclass(frozen=True)
class Fault:
    """One fault: its number in the list of faults (0: not listed there), code, invariant that
    it breaks, words, making."""

    number: int
    code: str
    rule: str
    words: str
    edit: Edit = lambda editor: None
    folder: FolderEdit = lambda mirror, folder, pins: None
    documents: bool = False
    by_rules: bool = True  # False: what entries say is wrong, but not by the rules that a replay knows

    @property
    def name(self) -> str:
        """File name of its golden log."""
        return f"{self.number:02d}-{self.code.lower().replace('_', '-')}-{self.words.split(':')[0].replace(' ', '-')}"

    def in_log(self) -> bool:
        """True if a replay of the entries alone shows it."""
        return self.edit is not Fault.edit and self.by_rules


def _flip(entry: bytes) -> bytes:
    """Another signature: one base64 digit in its middle, so that it still reads well."""
    at = entry.rindex(b'"sig":"') + 40
    return entry[:at] + (b"A" if entry[at : at + 1] != b"A" else b"B") + entry[at + 1 :]


def _bad_signature(editor: Editor) -> None:
    editor.find("incident").twist = _flip


def _unknown_key(editor: Editor) -> None:
    editor.keys["stranger"] = Ed25519PrivateKey.from_private_bytes(bytes(32))
    editor.find("incident").signers = ("stranger",)


def _ended_key(editor: Editor, state: str) -> None:
    editor.add("key-state", {"key": name_of(editor.keys["node2"]), "state": state}, "node2")
    _consent(editor, 2)


def _consent(editor: Editor, firm: int = 2, *signers: str, event: str = "grant", **changes: Any) -> Line:
    """One more consent of a firm, after all that it said before."""
    member = editor.find("consent", firm).said["member"]
    mine = [line for line in editor.lines if line.kind == "consent" and line.said["member"] == member]
    line = editor.copy(editor.find("consent", firm), *signers, event=event)
    prev = mine[-1].was[1] if mine[-1].was else None
    line.said |= {"seq": len(mine) + 1, "prev": prev, "effective_from": line.said["issued_at"]}
    line.said |= {"ledger": _ledger(editor, member), **changes}
    return line


def _ledger(editor: Editor, member: str) -> dict[str, Any]:
    """Where a member's own book stands after the last round."""
    return dict(editor.find("round", -1).said["ledgers"])[member]


def _key(editor: Editor, *signers: str, **changes: Any) -> Line:
    editor.keys.setdefault("new", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))
    said = {"member": "urn:uuid:00000000-0000-4000-8000-00000000000a", "role": "node", "register_document": None}
    said |= {"public": public_text(editor.keys["new"].public_key()), "replaces": None} | changes
    return editor.add("key", said, *signers)


def _swapped_key(editor: Editor) -> None:
    member, old = editor.find("consent", 1).said["member"], name_of(editor.keys["node1"])
    _key(editor, "office", "new", member=member, replaces=old)


def _witness_of_nobody(editor: Editor) -> None:
    _key(editor, "office", "new", role="witness")


def _same_key_twice(editor: Editor) -> None:
    _key(editor, "office", "node0", public=public_text(editor.keys["node0"].public_key()))


def _weak_key(editor: Editor) -> None:
    _key(editor, "office", public=base64.b64encode((1).to_bytes(32, "little")).decode())


def _duplicate(editor: Editor) -> None:
    again = editor.find("incident")
    editor.lines.append(Line(again.kind, again.said, again.signers))


def _spelled_loosely(editor: Editor) -> None:
    editor.find("incident").spell = lambda data: data.replace(b'"about":null', b'"about": null')


def _field_twice(editor: Editor) -> None:
    editor.find("incident").spell = lambda data: data.replace(b'"about":null', b'"about":null,"about":null')


def _other_type(editor: Editor) -> None:
    editor.find("incident").twist = lambda e: e.replace(
        b"application/vnd.in-toto+json", b"application/json+in-toto.vnd"
    )


def _late_consent(editor: Editor) -> None:
    line = editor.find("consent", 2)
    withdrawn = editor.find("consent", -1)
    editor.lines = [x for x in editor.lines if x is not withdrawn]
    editor.move(line, editor.find("release"))
    line.said |= {"effective_from": line.said["issued_at"], "ledger": _ledger(editor, line.said["member"])}


def _expired_in_use(editor: Editor) -> None:
    editor.find("consent", 2).said["expires_at"] = editor.find("round-open", 1).said["issued_at"]


def _withdrawn_before_round(editor: Editor) -> None:
    editor.move(editor.find("consent", -1), editor.find("round", 0))


def _withdrawn_before_cut_off(editor: Editor) -> None:
    editor.move(editor.find("consent", -1), editor.find("round-open", 1))


def _cut_off(editor: Editor) -> None:
    editor.find("round", 1).said["cutoff"] = editor.find("round", 1).said["open"]


def _version(editor: Editor, *signers: str, **changes: Any) -> dict[str, Any]:
    """The next version of the agreement, at the end."""
    terms = editor.find("agreement").said["terms"]
    made = new_terms(terms, **({"version": 2, "supersedes": agreement_of(terms)} | changes))
    editor.add("agreement", {"terms": made}, *(signers or ("office", "agreement")))
    return made


def _ungated(editor: Editor) -> None:
    _order(editor, agreement=agreement_of(_version(editor, gate="required")))


def _narrowed(editor: Editor) -> None:
    """Before the first order a member narrows its consent to one round, and is asked for both on the old one."""
    old = editor.find("consent", 1)
    assert old.was
    line = editor.copy(old, event="amend", seq=2, prev=old.was[1])
    line.said["scope"]["rounds_max"] = 1
    editor.move(line, editor.find("consent", 2))
    line.said["effective_from"] = line.said["issued_at"]


def _wrong_prose(editor: Editor) -> None:
    _version(editor)["prose"]["en"] = WRONG


def _under_a_revoked_agreement(editor: Editor) -> None:
    change = {"agreement": editor.find("consent").said["agreement"], "prev_state": "active", "state": "revoked"}
    editor.add("agreement-state", change | {"reason": "authority"}, "office")
    _order(editor)


def _wrong_state(editor: Editor) -> None:
    change = {"agreement": editor.find("consent").said["agreement"], "prev_state": "suspended", "state": "active"}
    editor.add("agreement-state", change | {"reason": "resumed"}, "office")


def _order(editor: Editor, **changes: Any) -> Line:
    return editor.copy(editor.find("run-order"), **changes)


def _noise(editor: Editor) -> None:
    plan = editor.find("run-order").said["plan"]
    _order(editor, plan={**plan, "max_units": plan["max_units"] - 1})


def _over_budget(editor: Editor) -> None:
    plan = editor.find("run-order").said["plan"]
    louder = {**plan, "sigma_steps": plan["sigma_steps"] // 8}
    total = TypeAdapter(ReleasePlan).validate_json(json.dumps(louder)).total_rho_nano()
    _order(editor, plan={**louder, "rho_total_nano": total})


def _not_renewed(editor: Editor) -> None:
    editor.find("consent", 2).said["issued_at"] = "2025-12-31T08:00:00Z"


def _one_run_too_many(editor: Editor) -> None:
    """Everyone consents to one run a year, and a second one asks them all."""
    for firm in range(3):
        editor.find("consent", firm).said["scope"]["orders_max"] = 1
    order, incident, withdrawn = _order(editor), editor.find("incident"), editor.find("consent", -1)
    editor.move(order, editor.find("release"))
    named = editor.entry(next(n for n, line in enumerate(editor.lines) if line is order))
    assert incident.was
    editor.move(withdrawn, editor.copy(editor.find("round-open"), order=named, log_size=incident.was[0]))


def _unopened_round(editor: Editor) -> None:
    editor.copy(editor.find("round", 1), round=3)


def _wrong_number(editor: Editor) -> None:
    editor.find("round-open", 1).said["round"] = editor.find("round", 1).said["round"] = 3


def _ghost(editor: Editor) -> None:
    closed = editor.find("round", 1).said
    closed["dropped"] = [["urn:uuid:00000000-0000-4000-8000-00000000000a", "no-reply"]]


def _too_few(editor: Editor) -> None:
    editor.lines = [line for line in editor.lines if line.kind != "release"]
    closed = editor.find("round", 1).said
    closed["dropped"] = [[member, "no-reply"] for member in closed["contributors"][1:]]
    closed["contributors"], closed["ledgers"] = closed["contributors"][:1], closed["ledgers"][:1]


def _broken_chain(editor: Editor) -> None:
    editor.find("round-open", 1).said["model_in"] = WRONG


def _unnamed_sum(editor: Editor) -> None:
    editor.find("round", 1).said["aggregate"] = None


def _under_reported(editor: Editor) -> None:
    closed = editor.find("round", 1).said
    closed["spend"] = [[member, cost - 1] for member, cost in closed["spend"]]


def _smaller_ledger(editor: Editor) -> None:
    line = _consent(editor, 0)
    line.said["ledger"] = {"head": line.said["ledger"]["head"], "rho_total_nano": 0}


def _early_release(editor: Editor) -> None:
    editor.move(editor.find("release"), editor.find("round", 0))


def _release(**changes: Any) -> Edit:
    return lambda editor: editor.find("release").said.update(changes)


def _release_after_expiry(editor: Editor) -> None:
    end = editor.find("agreement").said["terms"]["valid_to"]
    release = editor.find("release")
    editor.lines = [line for line in editor.lines if line.kind != "incident"]
    withdrawn = editor.find("consent", -1)
    editor.lines = [line for line in editor.lines if line is not withdrawn]
    release.said["issued_at"] = end


def _old_words(editor: Editor) -> None:
    editor.find("incident").said["issued_at"] = editor.find("genesis").said["issued_at"]


def _erased_entry(editor: Editor) -> None:
    named = [{"document": editor.entry(5), "part": "document"}]
    editor.add("erasure", {"documents": named, "ground": "authority"}, "office")


def _erased_early(editor: Editor) -> None:
    named = [{"document": editor.find("round", 0).said["list_document"], "part": "contributions"}]
    editor.add("erasure", {"documents": named, "ground": "retention-ended"}, "office")


def _weaker_policy(editor: Editor) -> None:
    rules = {"prev": "members n//2+1, auditors 1", "quorum": "members n, auditors 1"}
    editor.add("policy", rules, "office")


def _answer_to_nothing(editor: Editor) -> None:
    editor.copy(editor.find("incident"), about=WRONG)


def _compared_twice(editor: Editor) -> None:
    consent, order = editor.find("consent"), editor.find("release").said["order"]
    shown = {"seen": consent.said["seen"], "ledger": _ledger(editor, consent.said["member"])}
    said = {"member": consent.said["member"], "order": order, "verdict": "better", **shown}
    first = editor.add("comparison", said, *consent.signers)
    editor.copy(first, verdict="worse")


def _seen_to_come(editor: Editor) -> None:
    line = _consent(editor, 0)
    line.said["seen"] = {"size": 10**6, "root": WRONG}


def _foreign_lines(editor: Editor, change: Callable[[list[bytes], Editor], list[bytes]]) -> None:
    """Another contribution list for round 2, named by the round with its right root."""
    closed = editor.find("round", 1).said
    path = GOLDEN / "documents" / closed["list_document"].removeprefix("sha256:")
    lines = change([base64.b64decode(text) for text in strict_json(path.read_bytes())], editor)
    data = canonical([base64.b64encode(line).decode() for line in lines])
    closed["list_document"], closed["list_root"] = digest(data), "sha256:" + root([leaf_hash(x) for x in lines]).hex()
    editor.documents = {digest(data): data}  # type: ignore[attr-defined]


def _replayed(lines: list[bytes], editor: Editor) -> list[bytes]:
    first = editor.find("round", 0).said["list_document"].removeprefix("sha256:")
    earlier = [base64.b64decode(text) for text in strict_json((GOLDEN / "documents" / first).read_bytes())]
    return [earlier[0], *lines[1:]]


def _forged(lines: list[bytes], editor: Editor) -> list[bytes]:
    return [seal(open_entry(lines[0]).payload, [editor.keys["office"]]), *lines[1:]]


def _said_otherwise(**changes: Any) -> Callable[[list[bytes], Editor], list[bytes]]:
    """The first contribution with other words, signed by its member."""

    def change(lines: list[bytes], editor: Editor) -> list[bytes]:
        opened = open_entry(lines[0])
        statement = json.loads(opened.payload)
        statement["predicate"] |= changes
        return [seal(canonical(statement), [editor.keys["node0"]]), *lines[1:]]

    return change


def _left_out(lines: list[bytes], editor: Editor) -> list[bytes]:
    return lines[1:]


def _forged_sum(editor: Editor) -> None:
    closed = editor.find("round", 1).said
    closed["aggregate"] = editor.find("round", 0).said["aggregate"]


def _tile(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    path = next(folder.rglob("tile/0/*.p/*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def _lost(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    """The sum of round 1, from a copy that an admitted auditor was given whole."""
    closed = next(said for said in map(_said, mirror.entries) if "aggregate" in said)
    (folder / "documents" / closed["aggregate"].removeprefix("sha256:")).unlink()


def _said(entry: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(open_entry(entry).payload)["predicate"]
    return said


def _truncated(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    pins |= mirror.pins(len(mirror.entries) + 5, bytes(32))


def _forked(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    pins |= mirror.pins(9, bytes(32))


def _one_cosignature(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    put(folder / "checkpoint", mirror.note(cosigned_by=(0,)).text().encode())


def _same_cosigner_twice(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    put(folder / "checkpoint", mirror.note(cosigned_by=(0, 0)).text().encode())


def _asked_unseen(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    """The checkpoint on which the first round relied, as one witness saw it."""
    first = next(n for n, entry in enumerate(mirror.entries) if b":round-open:" in open_entry(entry).payload) + 1
    put(folder / "checkpoints" / str(first), mirror.note(first, cosigned_by=(0,)).text().encode())


def _two_roots(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    size = len(mirror.entries)
    other: Note = sign_checkpoint(Checkpoint(mirror.origin, size, bytes(32)), mirror.keys["log"])
    put(folder / "checkpoints" / str(size), other.text().encode())


def _never_answered(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    """The newest checkpoint is cosigned 40 days after the incident."""
    mirror.at += 40 * 86_400
    put(folder / "checkpoint", mirror.note().text().encode())


def _report_elsewhere(editor: Editor) -> None:
    """An auditor's report about another log; its key is none of the witnesses that must cosign."""
    _key(editor, "office", "new", member=None, role="auditor")
    said = {"size": 5, "root": WRONG, "verdict": "clean", "codes": [], "report": WRONG}
    editor.add("audit-report", said, "new")
    editor.add("key-state", {"key": name_of(editor.keys["new"]), "state": "retired"}, "new")


def _foreign_genesis(mirror: Mirror, folder: Path, pins: dict[str, Any]) -> None:
    pins["genesis"] = WRONG


def _other_ledger(editor: Editor) -> None:
    editor.find("round", 1).said["ledgers"][0][1]["head"] = WRONG


def _refused_elsewhere(editor: Editor) -> None:
    member, run = editor.find("consent", 2).said["member"], editor.find("release").said["order"]
    said = {"member": member, "order": run, "reason": "budget", "open": None}
    editor.add("refusal", {**said, "seen": {"size": 5, "root": WRONG}, "ledger": _ledger(editor, member)}, "node2")


def _less_in_words(editor: Editor) -> None:
    line = _consent(editor, 2)
    line.said["scope"] |= {"epsilon_run_max": "0.5"}


def _less_in_the_agreement(editor: Editor) -> None:
    privacy = editor.find("agreement").said["terms"]["privacy"]
    _version(editor, privacy={**privacy, "epsilon_year_max": "2"})


def _lists(change: Callable[[list[bytes], Editor], list[bytes]]) -> Edit:
    return lambda editor: _foreign_lines(editor, change)


FAULTS = [
    Fault(1, "TREE_MISMATCH", "I4", "a hash tile is altered", folder=_tile),
    Fault(2, "TRUNCATED", "I27", "the log is shorter than a member has seen it", folder=_truncated),
    Fault(3, "EQUIVOCATION", "I26", "a member has seen another root", folder=_forked),
    Fault(3, "EQUIVOCATION", "I26", "words claim to have seen entries to come", _seen_to_come),
    Fault(3, "EQUIVOCATION", "I26", "a refusal on another log", _refused_elsewhere, by_rules=False),
    Fault(
        3,
        "EQUIVOCATION",
        "I17",
        "a contribution on another log",
        _lists(_said_otherwise(seen={"size": 5, "root": WRONG})),
        documents=True,
        by_rules=False,
    ),
    Fault(3, "EQUIVOCATION", "I26", "an audit report on another log", _report_elsewhere, by_rules=False),
    Fault(0, "GENESIS", "I6", "the log begins with another entry", folder=_foreign_genesis),
    Fault(4, "QUORUM", "I5", "one of three witnesses has cosigned", folder=_one_cosignature),
    Fault(4, "QUORUM", "I5", "one witness has cosigned twice", folder=_same_cosigner_twice),
    Fault(4, "QUORUM", "I5", "a round asks before a quorum has seen it", folder=_asked_unseen),
    Fault(6, "BAD_SIGNATURE", "I2", "a signature is altered", _bad_signature),
    Fault(7, "UNKNOWN_KEY", "I2", "signed by a stranger", _unknown_key),
    Fault(7, "REVOKED_KEY", "I2", "a retired key is used", lambda e: _ended_key(e, "retired")),
    Fault(7, "REVOKED_KEY", "I2", "a compromised key is used", lambda e: _ended_key(e, "compromised")),
    Fault(7, "KEY_ROTATION", "I25", "the office swaps a member's key", _swapped_key),
    Fault(8, "WEAK_KEY", "I3", "a key of small order", _weak_key),
    Fault(9, "DUPLICATE_ENTRY", "I8", "an entry stands twice", _duplicate),
    Fault(9, "UPDATE_REPLAY", "I17", "a contribution of another round", _lists(_replayed), documents=True),
    Fault(10, "NOT_CANONICAL", "I1", "a space in the payload", _spelled_loosely),
    Fault(10, "NOT_CANONICAL", "I1", "a field that stands twice", _field_twice),
    Fault(10, "TYPE_CONFUSION", "I1", "another payload type", _other_type),
    Fault(11, "CONSENT_NOT_BY_PRINCIPAL", "I2", "consent signed by the office", lambda e: _consent(e, 2, "office")),
    Fault(11, "CONSENT_NOT_BY_PRINCIPAL", "I2", "consent signed by another member", lambda e: _consent(e, 2, "node0")),
    Fault(
        12,
        "BACKDATED_CONSENT",
        "I7",
        "takes effect before",
        lambda e: _consent(e, effective_from="2026-01-02T00:00:00Z"),
    ),
    Fault(12, "NO_CONSENT", "I14", "consent inserted after the rounds", _late_consent),
    Fault(13, "CONSENT_CHAIN", "I11", "an event is left out", lambda e: _consent(e, seq=9)),
    Fault(14, "SCOPE", "I12", "consent beyond the agreement", lambda e: _consent(e, expires_at="2030-01-01T00:00:00Z")),
    Fault(14, "SCOPE", "I14", "asked for more than a narrowed consent", _narrowed),
    Fault(14, "SCOPE", "I19", "a consent whose rho is more than its epsilon", _less_in_words, by_rules=False),
    Fault(15, "CONSENT_EXPIRED", "I14", "an expired consent is used", _expired_in_use),
    Fault(
        15,
        "CONSENT_EXPIRED",
        "I11",
        "prolonged without a grant",
        lambda e: _consent(e, 0, event="amend", expires_at="2027-06-30T00:00:00Z"),
    ),
    Fault(16, "TRAINED_AFTER_WITHDRAWAL", "I14 I23", "asked after withdrawing", _withdrawn_before_round),
    Fault(16, "TRAINED_AFTER_WITHDRAWAL", "I23", "used though withdrawn before the cut off", _withdrawn_before_cut_off),
    Fault(16, "CUTOFF", "I14", "the cut off lies in the past", _cut_off),
    Fault(17, "AGREEMENT_SIGNATURE", "I2", "not signed by the agreement key", lambda e: _version(e, "office")),
    Fault(17, "AGREEMENT_CHAIN", "I10", "a version is left out", lambda e: _version(e, version=3)),
    Fault(17, "AGREEMENT_TERMS", "I9", "a round of one member", lambda e: _version(e, min_members=1)),
    Fault(
        17,
        "AGREEMENT_TERMS",
        "I19",
        "an agreement whose rho is more than its epsilon",
        _less_in_the_agreement,
        by_rules=False,
    ),
    Fault(17, "AGREEMENT_INACTIVE", "I9", "ordered under a revoked agreement", _under_a_revoked_agreement),
    Fault(17, "AGREEMENT_STATE", "I10", "resumed though not suspended", _wrong_state),
    Fault(18, "PROSE_MISMATCH", "I9", "the text does not follow from the fields", _wrong_prose),
    Fault(19, "PROFILE", "I1", "an unknown field", lambda e: e.find("incident").said.update(mood="calm")),
    Fault(20, "ROUND_SEQUENCE", "I13", "a round that was not opened", _unopened_round),
    Fault(20, "ROUND_SEQUENCE", "I13", "a gap in the numbers", _wrong_number),
    Fault(21, "PARTICIPANT", "I15", "a ghost in the round", _ghost),
    Fault(21, "PARTICIPANT", "I3", "two members with one key", _same_key_twice),
    Fault(21, "PARTICIPANT", "I3", "a witness of nobody", _witness_of_nobody),
    Fault(21, "MIN_PARTICIPANTS", "I15", "one member alone is combined", _too_few),
    Fault(22, "CODE_HASH", "I16", "other code than agreed", lambda e: _order(e, bundle=WRONG)),
    Fault(
        22,
        "CODE_HASH",
        "I17",
        "a contribution by other code",
        _lists(_said_otherwise(bundle=WRONG)),
        documents=True,
        by_rules=False,
    ),
    Fault(22, "SCHEMA_HASH", "I16", "other columns than agreed", lambda e: _order(e, schema_digest=WRONG)),
    Fault(22, "MODEL_CHAIN", "I16", "another start model than agreed", lambda e: _order(e, model_start=WRONG)),
    Fault(22, "MODEL_CHAIN", "I16", "a round that starts elsewhere", _broken_chain),
    Fault(0, "GATE", "I21", "a run without the gate that is agreed", _ungated),
    Fault(23, "UPDATE_SIGNATURE", "I17", "a forged contribution", _lists(_forged), documents=True),
    Fault(23, "UPDATE_MISSING", "I17", "a contribution is left out", _lists(_left_out), documents=True),
    Fault(24, "AGGREGATE", "I18", "the sum is not named", _unnamed_sum),
    Fault(24, "AGGREGATE", "I18", "a forged sum", _forged_sum, documents=True),
    Fault(25, "NOISE", "I19", "noise for fewer units than agreed", _noise),
    Fault(26, "OVER_BUDGET", "I20", "a run beyond the budget", _over_budget),
    Fault(26, "NOT_RENEWED", "I20", "a budget of last year's consent", _not_renewed),
    Fault(26, "ASKED_TOO_OFTEN", "I20", "one run too many", _one_run_too_many),
    Fault(26, "BUDGET_REPORT", "I19", "a round is charged too little", _under_reported),
    Fault(26, "BUDGET_REPORT", "I19", "another ledger than was signed", _other_ledger, documents=True, by_rules=False),
    Fault(26, "BUDGET_RESET", "I19", "a ledger that begins anew", _smaller_ledger),
    Fault(27, "RELEASE_ROUNDS", "I21", "released before the last round", _early_release),
    Fault(27, "RELEASE_MODEL", "I21", "another model is released", _release(model=WRONG)),
    Fault(27, "RELEASE_FLOOR", "I21", "more members than there were", _release(participants=5)),
    Fault(27, "RELEASE_BENEFICIARY", "I21", "released to everybody", _release(beneficiaries="public")),
    Fault(27, "RELEASE_EXPIRED", "I21", "released after the last day", _release_after_expiry),
    Fault(29, "TIME_OUT_OF_WINDOW", "I7", "older than what stands before", _old_words),
    Fault(30, "SELF_EQUIVOCATION", "I4", "two roots for one size", folder=_two_roots),
    Fault(31, "ERASURE", "I24", "an entry is called erased", _erased_entry),
    Fault(31, "ERASURE", "I24", "contributions are erased too early", _erased_early),
    Fault(31, "ERASURE", "I24", "a document is gone and nobody says so", folder=_lost, documents=True),
    Fault(32, "POLICY", "I29", "the office changes the quorum alone", _weaker_policy),
    Fault(0, "FOLLOW_UP", "I28", "an answer to nothing", _answer_to_nothing),
    Fault(0, "FOLLOW_UP", "I28", "an incident that nobody answers", folder=_never_answered),
    Fault(0, "COMPARISON", "I31", "a member compares one model twice", _compared_twice),
]


def found(faults: list[Fault], folder: Path) -> set[str]:
    """Codes that the auditor finds in a folder with these faults together."""
    editor = Editor()
    for fault in faults:
        fault.edit(editor)
    mirror = Mirror(editor.build(), editor.keys)
    pins = mirror.write(folder, documents=any(f.documents for f in faults))
    for name, data in getattr(editor, "documents", {}).items():
        put(folder / "documents" / name.removeprefix("sha256:"), data)
    for fault in faults:
        fault.folder(mirror, folder, pins)
    return {finding.code for finding in verify(Folder(folder), Pins.model_validate(pins)).findings()}


def write() -> None:
    """One bundle for each fault that the entries show, and what each must give."""
    for old in GOLDEN.glob("[0-9]*.bundle"):
        old.unlink()
    for fault in (f for f in FAULTS if f.in_log()):
        editor = Editor()
        fault.edit(editor)
        (GOLDEN / f"{fault.name}.bundle").write_bytes(tiles.bundle(editor.build()))
    listed = {fault.name: fault.code for fault in FAULTS if fault.in_log()}
    (GOLDEN / "codes.json").write_text(json.dumps({"clean": None, **listed}, indent=1) + "\n", encoding="ascii")


def main() -> int:
    """Print the table; 1 if a fault gives anything but its own code."""
    wrong = 0
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            codes = found([fault], Path(folder))
        wrong += codes != {fault.code}
        mark = "ok " if codes == {fault.code} else "BAD"
        print(f"{mark} {fault.number:>2}  {', '.join(sorted(codes)) or 'nothing':<26} {fault.rule:<7} {fault.words}")
    with tempfile.TemporaryDirectory() as folder:
        clean = found([], Path(folder))
    print(f"{'ok ' if not clean else 'BAD'}  -  {', '.join(sorted(clean)) or 'nothing':<26}         the clean log")
    print(
        " 5, 28: receipts, see tests/auditor/test_receipts.py; 33: no profile with a second signature exists "
        "(NOT_CHECKED)"
    )
    return 1 if wrong or clean else 0


if __name__ == "__main__":
    raise SystemExit(main())
