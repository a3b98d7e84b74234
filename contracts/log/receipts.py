"""Receipts: files that prove something alone, to anyone who holds the pins. Made here, checked here.

A *logged* receipt (C2SP tlog-proof, extra data: the entry itself) proves that a statement is in the log; for a
contribution it also proves the member's own line in the list of its round. A *served* receipt proves what stands
behind one number that somebody was shown: model, release, rounds, agreement, consents. Both rest on a checkpoint that
a majority of the pinned witnesses cosigned.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.envelope import OpenedEnvelope, canonical, from_base64, load_public, strict_json, to_base64
from contracts.errors import Invalid, Malformed, TrustError
from contracts.log.checkpoint import Note, parse_note, parse_vkey, verify_cosignature, verify_log_signature
from contracts.log.merkle import Tree, leaf_hash, root, verify_inclusion
from contracts.log.pins import Pins
from contracts.statements.off_log import Contribution, Receipt
from contracts.statements.signed import Statement, read_statement
from contracts.statements.statements import (
    AgreementPublished,
    Consent,
    Key,
    Predicate,
    Release,
    Round,
    RoundOpen,
    RunOrder,
)
from contracts.wording import N_

_LOGGED = "c2sp.org/tlog-proof@v1"
_SERVED = "mengbang-served/1"


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes at a place of a tree: `index` below `size`, and the audit path that leads to the root."""

    data: bytes
    index: int
    size: int
    path: tuple[bytes, ...]

    def check(self, expected_root: bytes) -> None:
        """Raise Invalid (RECEIPT_PROOF) unless the path leads to this root."""
        try:
            verify_inclusion(leaf_hash(self.data), self.index, self.size, self.path, expected_root)
        except Invalid as error:
            raise Invalid(
                N_("the proof of entry {index} does not lead to the root"), code="RECEIPT_PROOF", index=self.index
            ) from error

    def fields(self) -> dict[str, Any]:
        """As it stands in a receipt; the size is known from the root it is compared with."""
        return {"data": to_base64(self.data), "index": self.index, "path": [to_base64(h) for h in self.path]}


def places(entries: Sequence[bytes], indices: Iterable[int]) -> list[Place]:
    """The places of some of `entries` in the tree over all of them."""
    tree = Tree(map(leaf_hash, entries))
    return [Place(entries[at], at, tree.size, tuple(tree.inclusion_proof(at, tree.size))) for at in indices]


def _read_place(value: Any, size: int) -> Place:
    match value:
        case {"data": str(data), "index": int(index), "path": list(path), **more} if not more:
            if bool not in (type(index), type(size)):  # true is no number in JSON, though it is one in Python
                return Place(from_base64(data), index, size, tuple(from_base64(h) for h in path))
    raise _not_a_receipt()


def _read_sized(value: Any) -> Place:
    """A place in a tree of its own, which therefore says its size."""
    match value:
        case {"size": int(size), **place}:
            return _read_place(place, size)
    raise _not_a_receipt()


def _is_in_order(shown: Sequence[Place]) -> bool:
    """Each entry once, in the order of the log."""
    indices = [place.index for place in shown]
    return indices == sorted(set(indices))


def _not_a_receipt() -> Malformed:
    return Malformed(
        N_("this is not a receipt"), do=N_("a member's node writes them: client-node receipts"), code="RECEIPT_FORM"
    )


@dataclass(frozen=True, slots=True)
class Logged:
    """A statement's place in the log under a checkpoint, and for a round the member's line in its list.

    `beside` are the entries that say what it allows or cost: the agreement, and of a round its order and opening.
    """

    entry: Place
    note: Note
    line: Place | None = None
    beside: tuple[Place, ...] = ()

    def text(self) -> str:
        """The `.tlog-proof` file."""
        extra: dict[str, Any] = {"entry": to_base64(self.entry.data)}
        if self.line:
            extra["line"] = self.line.fields() | {"size": self.line.size}
        if self.beside:
            extra["beside"] = [one.fields() for one in self.beside]
        hashes = "".join(to_base64(h) + "\n" for h in self.entry.path)
        head = f"{_LOGGED}\nextra {to_base64(canonical(extra))}\nindex {self.entry.index}\n"
        return f"{head}{hashes}\n{self.note.text()}"


def read_logged(text: str) -> Logged:
    """The receipt in a `.tlog-proof` file, in its one spelling; Malformed otherwise."""
    head, _, note_text = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 3 or lines[0] != _LOGGED or not re.fullmatch(r"index (0|[1-9][0-9]{0,15})", lines[2]):
        raise _not_a_receipt()
    try:
        note = parse_note(note_text)
        extra = strict_json(from_base64(lines[1].removeprefix("extra ")))
        path = tuple(from_base64(line) for line in lines[3:])
        entry = Place(from_base64(extra["entry"]), int(lines[2][6:]), note.checkpoint.size, path)
        line, beside = extra.get("line"), extra.get("beside", [])
        receipt = Logged(
            entry,
            note,
            _read_sized(line) if line else None,
            tuple(_read_place(one, note.checkpoint.size) for one in beside),
        )
        spelled = receipt.text() == text
    except (TrustError, KeyError, TypeError, AttributeError) as error:
        raise _not_a_receipt() from error
    if not spelled or not _is_in_order(receipt.beside):
        raise _not_a_receipt()
    return receipt


def check_note(note: Note, pins: Pins) -> tuple[int, list[str]]:
    """How many pinned witnesses cosigned, and the names of cosigners that the pins do not know (admitted later?).

    Invalid unless the log signed and the pinned ones are more than half of all pinned.
    """
    try:
        verify_log_signature(note, pins.log())
    except TrustError as error:
        raise Invalid(
            N_("the receipt's checkpoint is not signed by the pinned log"), code="RECEIPT_SIGNATURE"
        ) from error
    if note.checkpoint.size == pins.size and note.checkpoint.root != pins.root_bytes():
        raise Invalid(N_("the receipt and the pins show two histories of one size"), code="EQUIVOCATION")
    keys = {name: parse_vkey(vkey) for name, vkey in pins.cosigners.items()}
    found, unknown = set(), []
    for signature in (one for one in note.signatures if one.name != pins.origin):
        key = keys.get(signature.name)
        if key is None or signature.hash != key.hash:
            unknown.append(signature.name)
        else:
            try:
                verify_cosignature(note.checkpoint, signature, key)
            except TrustError as error:
                raise Invalid(
                    N_("the cosignature of {name} does not hold"), code="RECEIPT_SIGNATURE", name=key.name
                ) from error
            found.add(key.name)
    if len(found) <= len(keys) // 2:
        raise Invalid(
            N_("{n} of {of} pinned witnesses cosigned the receipt's checkpoint: too few to rely on"),
            code="RECEIPT_QUORUM",
            n=len(found),
            of=len(keys),
        )
    return len(found), unknown


@dataclass(frozen=True, slots=True)
class EntryAndLine:
    """What a logged receipt says: the statement of its entry, and of a round the member's own line."""

    entry: Predicate
    line: Contribution | None = None


def entry_and_line(receipt: Logged) -> EntryAndLine:
    """The statements in a receipt, whatever it proves; Invalid if there is a line that is
    no contribution to a round."""
    entry = read_statement(receipt.entry.data).said
    if receipt.line is None:
        return EntryAndLine(entry)
    line = read_statement(receipt.line.data).said
    if not isinstance(entry, Round) or entry.list_root is None or not isinstance(line, Contribution):
        raise Invalid(N_("the receipt's line belongs to no recorded round"), code="RECEIPT_LINE")
    return EntryAndLine(entry, line)


def check_logged(receipt: Logged, pins: Pins) -> EntryAndLine:
    """The statements that the receipt proves to be in the log, and in the list of a round."""
    check_note(receipt.note, pins)
    for one in (receipt.entry, *receipt.beside):
        one.check(receipt.note.checkpoint.root)
    said = entry_and_line(receipt)
    if receipt.line and said.line and isinstance(said.entry, Round):
        receipt.line.check(bytes.fromhex(str(said.entry.list_root).removeprefix("sha256:")))
        if (said.line.order, said.line.round, said.line.open) != (said.entry.order, said.entry.round, said.entry.open):
            raise Invalid(N_("the receipt's line was made for another round"), code="RECEIPT_LINE")
    return said


@dataclass(frozen=True, slots=True)
class ResultInclusion:
    """The one line of a result that somebody is shown: its text, its salt, its place among all lines."""

    place: Place

    @property
    def text(self) -> str:
        """The line without its salt."""
        return self.place.data[16:].decode("utf-8")


@dataclass(frozen=True, slots=True)
class ServedResult:
    """A signed statement about a result, and the log entries that it stands on, under one checkpoint."""

    statement: bytes
    note: Note
    chain: tuple[Place, ...]
    shown: ResultInclusion

    def text(self) -> str:
        """The receipt file, canonical JSON."""
        value = {
            "format": _SERVED,
            "statement": to_base64(self.statement),
            "checkpoint": self.note.text(),
            "chain": [one.fields() for one in self.chain],
            "shown": self.shown.place.fields() | {"size": self.shown.place.size},
        }
        return canonical(value).decode("utf-8")


def read_served(text: str) -> ServedResult:
    """The served receipt in a file; Malformed unless spelled in its one way."""
    try:
        value = strict_json(text.encode("utf-8"))
        note, shown = parse_note(value["checkpoint"]), ResultInclusion(_read_sized(value["shown"]))
        served = ServedResult(
            from_base64(value["statement"]),
            note,
            tuple(_read_place(one, note.checkpoint.size) for one in value["chain"]),
            shown,
        )
        spelled = value["format"] == _SERVED and served.text() == text and _is_in_order(served.chain)
        spelled = spelled and bool(shown.text)  # it reads as UTF-8
    except (TrustError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise _not_a_receipt() from error
    if not spelled:
        raise _not_a_receipt()
    return served


def salted_lines(lines: Sequence[str], salt: bytes) -> list[bytes]:
    """Leaves of the output commitment: each line behind a salt of its own, so that one can
    be shown without the rest."""
    return [
        hmac.digest(salt, b"line %d" % number, hashlib.sha256)[:16] + line.encode("utf-8")
        for number, line in enumerate(lines)
    ]


def output_commitment(lines: Sequence[str], salt: bytes) -> str:
    """RFC 6962 root over the salted lines, as it stands in the signed statement."""
    return "sha256:" + root([leaf_hash(leaf) for leaf in salted_lines(lines, salt)]).hex()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a served receipt proves: who answers for the number, with which model, learned from whom.

    `release` and `order` are None for a result of the member's own models alone; then nobody else's consent stands
    behind it, and there were no rounds.
    """

    said: Receipt
    envelope: OpenedEnvelope
    agreement: AgreementPublished
    release: Release | None
    consents: dict[int, Consent]
    order: RunOrder | None = None
    rounds: tuple[tuple[RoundOpen, Round | None], ...] = ()


def check_served(served: ServedResult, pins: Pins) -> Standing:
    """Follow the chain from the shown number to the consents; Invalid (RECEIPT_...) at the first link that breaks."""
    check_note(served.note, pins)
    for one in served.chain:
        one.check(served.note.checkpoint.root)
    statement = read_statement(served.statement)
    said, envelope = statement.said, statement.envelope
    if not isinstance(said, Receipt):
        raise Invalid(N_("the receipt's statement is of another kind"), code="RECEIPT_FORM")
    chain = {one.index: read_statement(one.data) for one in served.chain}
    entries = [statement.said for statement in chain.values()]
    keys = [p.public for p in entries if isinstance(p, Key) and (p.member, p.role) == (said.member, "node")]
    if not any(envelope.holds_for(load_public(key)) for key in keys):
        raise Invalid(N_("the receipt is not signed by the node key of its member"), code="RECEIPT_SIGNATURE")
    try:
        served.shown.place.check(bytes.fromhex(said.output_commit.removeprefix("sha256:")))
    except Invalid as error:
        raise Invalid(
            N_("the number shown is not the one that the member signed"), code="RECEIPT_COMMITMENT"
        ) from error
    return _standing(said, envelope, chain)


def _standing(said: Receipt, envelope: OpenedEnvelope, chain: dict[int, Statement]) -> Standing:
    entries = {at: chain[at].said for at in sorted(chain)}
    agreements = (p for p in entries.values() if isinstance(p, AgreementPublished))
    agreement = next((p for p in agreements if p.terms.digest() == said.agreement), None)
    if agreement is None:
        raise Invalid(N_("the receipt does not show its agreement"), code="RECEIPT_AGREEMENT")
    if said.order is None and said.model is None:
        return Standing(said, envelope, agreement, None, {})
    order = next((s.said for s in chain.values() if isinstance(s.said, RunOrder) and s.digest == said.order), None)
    seen = (p for at, p in entries.items() if at < said.seen.size)
    release = next((p for p in seen if isinstance(p, Release) and p.order == said.order), None)
    if order is None or release is None:
        raise Invalid(
            N_("the receipt shows no release of the run that it names, or one that its member had not seen"),
            code="RECEIPT_RELEASE",
        )
    if release.model != said.model or release.task != order.task:
        raise Invalid(N_("the receipt's model is not the one that was released"), code="RECEIPT_MODEL")
    if order.agreement != said.agreement:
        raise Invalid(N_("the receipt does not show its agreement"), code="RECEIPT_AGREEMENT")
    consents = _consents(said, order, release, entries)
    return Standing(said, envelope, agreement, release, consents, order, _rounds(said, entries))


def _rounds(said: Receipt, entries: dict[int, Predicate]) -> tuple[tuple[RoundOpen, Round | None], ...]:
    """Every opening of the run with its end, in order."""
    mine = [(at, p) for at, p in entries.items() if isinstance(p, RoundOpen | Round) and p.order == said.order]
    ended = {p.open: p for _, p in mine if isinstance(p, Round)}
    return tuple((p, ended.get(at)) for at, p in mine if isinstance(p, RoundOpen))


def _consents(said: Receipt, order: RunOrder, release: Release, entries: dict[int, Predicate]) -> dict[int, Consent]:
    """Every consent that a round of the run names; the rounds lead from the start model to the released one."""
    model, consents, ended = order.model_start, {}, 0
    for entry in entries.values():
        if isinstance(entry, RoundOpen) and entry.order == said.order:
            if entry.model_in != model:
                raise Invalid(N_("the receipt's rounds do not follow one another"), code="RECEIPT_MODEL")
            for member, at in entry.members:
                consent = entries.get(at)
                if not isinstance(consent, Consent) or (consent.member, consent.agreement) != (member, said.agreement):
                    raise Invalid(
                        N_("the receipt does not show the consent that entry {index} is said to be"),
                        code="RECEIPT_CONSENT",
                        index=at,
                    )
                consents[at] = consent
        if isinstance(entry, Round) and entry.order == said.order:
            model, ended = entry.model_out, ended + 1
    if model != release.model or ended != release.rounds:
        raise Invalid(N_("the receipt's rounds do not lead to the released model"), code="RECEIPT_MODEL")
    return consents
