"""Signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof): parse beside format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contracts.envelope import from_base64, load_public, to_base64, verifies
from contracts.errors import Invalid, Malformed
from contracts.log.merkle import verify_inclusion
from contracts.wording import N_

LOG_KEY, WITNESS_KEY = 0x01, 0x04
_NAME = re.compile(r"[^\s+]+")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A verifier key: `name`, algorithm (log or witness) and the Ed25519 public key."""

    name: str
    algorithm: int
    public: Ed25519PublicKey

    @property
    def hash(self) -> bytes:
        """The four bytes that a signature line carries."""
        data = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public.public_bytes_raw()
        return hashlib.sha256(data).digest()[:4]

    def vkey(self) -> str:
        """`name+hash+base64(algorithm || key)`."""
        return f"{self.name}+{self.hash.hex()}+{to_base64(bytes([self.algorithm]) + self.public.public_bytes_raw())}"


def parse_vkey(text: str) -> NoteKey:
    """The key of a vkey line; base64 may itself contain '+', so only the first two split."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
        raise Malformed(N_("{text} is not a verifier key"), text=text)
    raw = from_base64(parts[2])
    if len(raw) != 33 or raw[0] not in (LOG_KEY, WITNESS_KEY):
        raise Malformed(N_("{text} is not an Ed25519 verifier key"), text=text)
    key = NoteKey(parts[0], raw[0], load_public(to_base64(raw[1:])))
    if key.vkey() != text:
        raise Malformed(N_("the verifier key {text} does not match its own hash"), text=text)
    return key


def witness_name(origin: str, member: str) -> str:
    """The cosigner name of a member's witness key."""
    return f"{origin}/witness/{member.removeprefix('urn:uuid:')}"


def auditor_name(origin: str, keyid: str) -> str:
    """The cosigner name of an auditor, by the first 16 digits of its key's digest."""
    return f"{origin}/auditor/{keyid.removeprefix('sha256:')[:16]}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log signs: its `origin`, `size` and `root` (32 bytes). No extension lines."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The signed text, ending in a newline."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


def parse_body(body: str) -> Checkpoint:
    """The checkpoint of a note body, in its one spelling."""
    lines = body.split("\n")
    if len(lines) != 4 or not re.fullmatch(r"0|[1-9][0-9]{0,15}", lines[1]):
        raise Malformed(N_("this is not the text of a checkpoint"))
    checkpoint = Checkpoint(lines[0], int(lines[1]), from_base64(lines[2]))
    if len(checkpoint.root) != 32 or checkpoint.body() != body:
        raise Malformed(N_("this is not the text of a checkpoint"))
    return checkpoint


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: signer's name, key hash (4 bytes) and signature bytes."""

    name: str
    hash: bytes
    sig: bytes

    def line(self) -> str:
        """The line as it stands in the note."""
        return f"— {self.name} {to_base64(self.hash + self.sig)}\n"


def parse_line(line: str) -> NoteSignature:
    """A signature line with its newline, in its one spelling."""
    match = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)\n", line)
    if not match:
        raise Malformed(N_("this is not the signature line of a note"))
    raw = from_base64(match[2])
    if len(raw) < 5:
        raise Malformed(N_("this is not the signature line of a note"))
    return NoteSignature(match[1], raw[:4], raw[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint and its signature lines; nothing is verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def text(self) -> str:
        """The note as served."""
        return self.checkpoint.body() + "\n" + "".join(s.line() for s in self.signatures)


def parse_note(text: str) -> Note:
    """A signed checkpoint; Malformed unless spelled as `Note.text` spells it."""
    body, blank, rest = text.partition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise Malformed(N_("this is not a signed checkpoint"))
    lines = rest.removesuffix("\n").split("\n")
    note = Note(parse_body(body + "\n"), tuple(parse_line(line + "\n") for line in lines))
    if note.text() != text:
        raise Malformed(N_("this is not a signed checkpoint"))
    return note


def sign_checkpoint(checkpoint: Checkpoint, log_key: Ed25519PrivateKey) -> Note:
    """The checkpoint under the log's own key, whose name is the origin."""
    key = NoteKey(checkpoint.origin, LOG_KEY, log_key.public_key())
    return Note(checkpoint, (NoteSignature(key.name, key.hash, log_key.sign(checkpoint.body().encode())),))


def verify_log_signature(note: Note, log: NoteKey) -> None:
    """Raise Invalid unless the log's own signature is on the note and holds."""
    lines = [s for s in note.signatures if (s.name, s.hash) == (log.name, log.hash)]
    if note.checkpoint.origin != log.name or len(lines) != 1:
        raise Invalid(N_("the checkpoint is not signed by the log {name}"), code="BAD_SIGNATURE", name=log.name)
    _verify(log, lines[0].sig, note.checkpoint.body().encode())


def _verify(key: NoteKey, sig: bytes, message: bytes) -> None:
    if not verifies(key.public, sig, message):
        raise Invalid(N_("the checkpoint signature of {name} does not hold"), code="BAD_SIGNATURE", name=key.name)


def cosign_note(note: Note, witness: Ed25519PrivateKey, *, name: str, time: int) -> str:
    """A witness's signature line over the checkpoint and Unix `time` (cosignature/v1)."""
    key = NoteKey(name, WITNESS_KEY, witness.public_key())
    sig = witness.sign(_cosigned(note.checkpoint, time))
    return NoteSignature(name, key.hash, time.to_bytes(8, "big") + sig).line()


def _cosigned(checkpoint: Checkpoint, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{checkpoint.body()}".encode()


def verify_cosignature(checkpoint: Checkpoint, signature: NoteSignature, witness: NoteKey) -> int:
    """Unix time of a witness's cosignature; raises Invalid if it does not hold."""
    if (signature.name, signature.hash) != (witness.name, witness.hash) or len(signature.sig) != 72:
        raise Invalid(N_("this cosignature is not by {name}"), name=witness.name, code="QUORUM")
    time = int.from_bytes(signature.sig[:8], "big")
    _verify(witness, signature.sig[8:], _cosigned(checkpoint, time))
    return time


def cosigners(note: Note, log: NoteKey, witnesses: Mapping[str, NoteKey]) -> dict[str, int]:
    """Witness name -> time of its cosignature. Every line must be the log's or a known witness's, once."""
    verify_log_signature(note, log)
    found: dict[str, int] = {}
    for signature in note.signatures:
        if (signature.name, signature.hash) == (log.name, log.hash):
            continue
        witness = witnesses.get(signature.name)
        if witness is None or signature.name in found:
            raise Invalid(
                N_("the checkpoint carries a signature line of an unknown key or twice: {name}"),
                code="QUORUM",
                name=signature.name,
            )
        found[signature.name] = verify_cosignature(note.checkpoint, signature, witness)
    return found


def format_submission(old: int, proof: Sequence[bytes], note: Note) -> str:
    """The body of add-checkpoint (C2SP tlog-witness): old size, consistency proof, checkpoint."""
    return f"old {old}\n" + "".join(to_base64(h) + "\n" for h in proof) + "\n" + note.text()


def parse_submission(text: str) -> tuple[int, list[bytes], Note]:
    """(old size, consistency proof, checkpoint) of an add-checkpoint body in its one spelling; Malformed otherwise."""
    head, _, rest = text.partition("\n\n")
    first, *lines = head.split("\n")
    if not re.fullmatch(r"old (0|[1-9][0-9]{0,15})", first) or len(lines) > 63:
        raise Malformed(N_("this is not a submission to a witness"))
    old, proof, note = int(first.removeprefix("old ")), [from_base64(line) for line in lines], parse_note(rest)
    if any(len(h) != 32 for h in proof) or format_submission(old, proof, note) != text:
        raise Malformed(N_("this is not a submission to a witness"))
    return old, proof, note


def format_proof(index: int, proof: Sequence[bytes], note: Note) -> str:
    """A receipt (c2sp.org/tlog-proof@v1): index, audit path, checkpoint."""
    hashes = "".join(to_base64(h) + "\n" for h in proof)
    return f"c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{note.text()}"


def verify_proof(text: str, leaf: bytes, log: NoteKey) -> tuple[int, Note]:
    """(index, checkpoint) of a receipt for the entry with hash `leaf`; Malformed or Invalid otherwise."""
    head, blank, note_text = text.partition("\n\n")
    first, *rest = head.split("\n")
    if (
        not blank
        or first != "c2sp.org/tlog-proof@v1"
        or not rest
        or not re.fullmatch(r"index (0|[1-9][0-9]{0,15})", rest[0])
    ):
        raise Malformed(N_("this is not a receipt of the log"))
    index, note = int(rest[0].removeprefix("index ")), parse_note(note_text)
    proof = [from_base64(line) for line in rest[1:]]
    if format_proof(index, proof, note) != text:
        raise Malformed(N_("this is not a receipt of the log"))
    verify_log_signature(note, log)
    verify_inclusion(leaf, index, note.checkpoint.size, proof, note.checkpoint.root)
    return index, note
