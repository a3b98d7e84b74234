"""Changes a log and signs it again, so that it holds one fault and no other. Imports no rule.

An edited entry gets a new digest and perhaps a new place; everything after it that names its digest or index is
made to name the new one, and every entry is signed again by the keys that signed it before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import canonical, digest, open_entry, seal
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
from contracts.terms.agreement import Terms
from contracts.terms.prose import with_prose
from golden import GOLDEN, name_of, read_entries, read_keys
from hash_tiles import tile_hashes

_INDEX_FIELDS = {"round-open": ("log_size",), "round": ("open", "cutoff"), "audit-report": ("size",)}


@dataclass
class Line:
    """One statement on its way to being signed again; `twist` changes the finished bytes."""

    kind: str
    said: dict[str, Any]
    signers: tuple[str, ...]
    was: tuple[int, str] | None = None
    twist: Callable[[bytes], bytes] = bytes
    spell: Callable[[bytes], bytes] = bytes


class Editor:
    """The clean golden log, open for changes."""

    def __init__(self):
        self.keys = read_keys()
        names = {name_of(key): name for name, key in self.keys.items()}
        self.lines: list[Line] = []
        self._old_agreement = ""
        for index, entry in enumerate(read_entries()):
            opened = open_entry(entry)
            statement = json.loads(opened.payload)
            kind = statement["predicateType"].split(":")[3]
            signers = tuple(names[s.keyid] for s in opened.signatures)
            self.lines.append(Line(kind, statement["predicate"], signers, (index, digest(entry))))
        self._ids = 0

    def find(self, kind: str, nth: int = 0) -> Line:
        """The nth statement of a kind; from the end if negative."""
        return [line for line in self.lines if line.kind == kind][nth]

    def stamp(self) -> dict[str, str]:
        """A new id, and a time one minute after the last entry."""
        self._ids += 1
        last = max(line.said["issued_at"] for line in self.lines)
        minute = int(last[14:16]) + 1
        made = f"{last[:11]}{int(last[11:13]) + minute // 60:02d}:{minute % 60:02d}{last[16:]}"
        return {"record_id": f"urn:uuid:00000000-0000-4000-8000-{self._ids:012d}", "issued_at": made}

    def add(self, kind: str, said: dict[str, Any], *signers: str, before: Line | None = None) -> Line:
        """A new statement, at the end or before another one."""
        line = Line(kind, {**self.stamp(), **said}, signers)
        at = len(self.lines) if before is None else next(n for n, x in enumerate(self.lines) if x is before)
        self.lines.insert(at, line)
        return line

    def copy(self, line: Line, *signers: str, **changes: Any) -> Line:
        """A statement like another one, said now."""
        said = {**json.loads(json.dumps(line.said)), **changes}
        return self.add(line.kind, {**said, **self.stamp(), **changes}, *(signers or line.signers))

    def move(self, line: Line, after: Line) -> None:
        """Put a statement to another place, with the time of that place."""
        self.lines = [x for x in self.lines if x is not line]
        at = next(n for n, x in enumerate(self.lines) if x is after)
        line.said |= {"issued_at": after.said["issued_at"]}
        self.lines.insert(at + 1, line)

    def entry(self, n: int) -> str:
        """Digest of the nth entry as it will be."""
        return digest(self.build()[n])

    def build(self) -> list[bytes]:
        """All entries, signed again."""
        digests: dict[str, str] = {}
        places = {line.was[0]: n for n, line in enumerate(self.lines) if line.was}
        size = len(places)
        places |= {old: len(self.lines) for old in (size, size + 1)}
        made = []
        for line in self.lines:
            said = _replaced(line.said, digests)
            for field in _INDEX_FIELDS.get(line.kind, ()):
                said[field] = places.get(said[field], said[field])
            if line.kind == "round-open":
                said["members"] = [[member, places.get(at, at)] for member, at in said["members"]]
            statement = line.spell(_statement(line.kind, said))
            entry = line.twist(seal(statement, [self.keys[name] for name in line.signers]))
            if line.was:
                digests[line.was[1]] = digest(entry)
            made.append(entry)
        return made


def _replaced(said: Any, digests: dict[str, str]) -> Any:
    if isinstance(said, dict):
        return {name: _replaced(value, digests) for name, value in said.items()}
    if isinstance(said, list):
        return [_replaced(value, digests) for value in said]
    return digests.get(said, said) if isinstance(said, str) else said


_SUBJECTS = {
    "genesis": ("ca", "ca"),
    "key-state": ("key", "key"),
    "agreement-state": ("agreement", "agreement"),
    "consent": ("agreement", "agreement"),
    "run-order": ("model", "model_start"),
    "round-open": ("model", "model_in"),
    "round": ("model", "model_out"),
    "release": ("model", "model"),
    "refusal": ("order", "order"),
    "audit-report": ("report", "report"),
    "incident": ("document", "document"),
    "contribution": ("contribution", "payload"),
    "comparison": ("order", "order"),
}


def _statement(kind: str, said: dict[str, Any]) -> bytes:
    """The in-toto statement of a predicate, spelled here once more and not by the code under test."""
    import base64

    if kind == "key":
        about = ("key", digest(base64.b64decode(said["public"])))
    elif kind == "agreement":
        about = ("agreement", digest(canonical(said["terms"])))
    elif kind == "policy":
        about = ("quorum", digest(said["quorum"].encode()))
    elif kind == "erasure":
        about = ("documents", digest(canonical(said["documents"])))
    else:
        name, field = _SUBJECTS[kind]
        about = (name, said[field])
    return canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": about[0], "digest": {"sha256": about[1].removeprefix("sha256:")}}],
            "predicateType": f"urn:mengbang:attest:{kind}:v1",
            "predicate": said,
        }
    )


def new_terms(terms: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Terms with changes, and the prose that follows from them."""
    return with_prose(Terms.model_validate_json(json.dumps({**terms, **changes}))).model_dump(mode="json")


def agreement_of(terms: dict[str, Any]) -> str:
    """Digest of terms."""
    return digest(canonical(terms))


class Mirror:
    """Writes entries as a mirror folder that the golden log's key has signed, and the pins to judge it by."""

    def __init__(self, entries: Sequence[bytes], keys: dict[str, Ed25519PrivateKey]):
        self.entries, self.keys = list(entries), keys
        genesis = json.loads(open_entry(self.entries[0]).payload)["predicate"]
        self.origin = genesis["origin"]
        said = [json.loads(open_entry(e).payload)["predicate"] for e in self.entries[1:7]]
        self.firms = [key["member"] for key in said if key["role"] == "witness"]
        self.log = NoteKey(self.origin, LOG_KEY, keys["log"].public_key())
        self.at = 1_767_610_000 + 86_400

    def note(self, size: int | None = None, cosigned_by: Sequence[int] = (0, 1, 2)) -> Note:
        """The checkpoint of the first `size` entries."""
        size = len(self.entries) if size is None else size
        hashes = [leaf_hash(entry) for entry in self.entries[:size]]
        note = sign_checkpoint(Checkpoint(self.origin, size, root(hashes)), self.keys["log"])
        lines = [
            cosign_note(note, self.keys[f"witness{n}"], name=witness_name(self.origin, self.firms[n]), time=self.at)
            for n in cosigned_by
        ]
        return Note(note.checkpoint, (*note.signatures, *map(parse_line, lines)))

    def write(self, folder: Path, *, documents: bool = False) -> dict[str, Any]:
        """Tiles, bundles, checkpoint, perhaps documents; returns pins that have seen nothing but genesis."""
        hashes = [leaf_hash(entry) for entry in self.entries]
        for name in tiles.names(len(self.entries)):
            first = name.n * tiles.WIDTH
            held = self.entries[first : first + name.width]
            put(folder / name.path(), tiles.bundle(held) if name.level is None else tile_hashes(hashes, name))
        put(folder / "checkpoint", self.note().text().encode())
        for document in (GOLDEN / "documents").iterdir() if documents else ():
            put(folder / "documents" / document.name, document.read_bytes())
        return self.pins()

    def pins(self, size: int = 1, top: bytes | None = None) -> dict[str, Any]:
        """What a member would hand over that had seen the first `size` entries, or another `top` root of them."""
        seen = top or root([leaf_hash(entry) for entry in self.entries[:size]])
        return {
            "origin": self.origin,
            "log_vkey": self.log.vkey(),
            "genesis": digest(self.entries[0]),
            "ca_pem": "",
            "cosigners": {},
            "size": size,
            "root": "sha256:" + seen.hex(),
            "member": self.firms[0],
        }


def put(path: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
