"""An evidence pack: a whole log with its documents and receipts in one file. It never holds the pins it is judged by.

The file is a plain tar (POSIX ustar) in one spelling: sorted names, fixed owner, mode and time. The same evidence
gives the same bytes, and any program that opens tar files opens it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from auditor.evidence.reader import Evidence, Folder, ServedEvidence, limit_of, required
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

BLOCK = 512
KINDS = ("checkpoint", "policy", "checkpoints/", "tile/", "documents/", "receipts/")


def is_evidence(path: str) -> bool:
    """Belongs into a pack; pins and anything else do not."""
    return path in KINDS or path.startswith(tuple(kind for kind in KINDS if kind.endswith("/")))


def write_pack(
    source: Folder, receipts: list[Path], out: Path, tick: Callable[[int, int], None] = lambda done, size: None
) -> tuple[int, list[str]]:
    """(files packed, paths of the folder that were left out). `receipts` are added under their own file names."""
    required(source, "checkpoint")
    present = source.paths()
    members: dict[str, Path | None] = {path: None for path in present if is_evidence(path)}
    members |= {f"receipts/{file.name}": file for file in receipts}
    part = out.with_name(out.name + ".part")
    with part.open("wb") as file:
        for done, path in enumerate(sorted(members), 1):
            added = members[path]
            file.writelines(_blocks(path, added.read_bytes() if added else required(source, path)))
            tick(done, len(members))
        file.write(bytes(2 * BLOCK))
    part.replace(out)
    return len(members), [path for path in present if not is_evidence(path)]


def _blocks(path: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    return _header(path, len(data)), data, bytes(-len(data) % BLOCK)


def _header(path: str, size: int) -> bytes:
    """The one spelling of a member's header."""
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = size, 0o644, 0
    try:
        return member.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except (UnicodeError, ValueError) as error:
        raise Malformed(
            N_("{path} cannot stand in a pack"),
            why=N_("its name is too long, or holds other than ASCII characters"),
            do=N_("give the file another name"),
            code="PACK",
            path=path,
        ) from error


class Pack:
    """Reads a pack as evidence; Malformed if it is not one, or if it holds what does not belong into one."""

    def __init__(self, path: Path):
        self._path = path
        with path.open("rb") as file:
            self._places = dict(self._scan(file))

    def _scan(self, file: BinaryIO) -> Iterator[tuple[str, tuple[int, int]]]:
        last = ""
        while (header := file.read(BLOCK)) != bytes(BLOCK):
            try:
                member = tarfile.TarInfo.frombuf(header, "ascii", "strict")
                spelled = header == _header(member.name, member.size)
            except (tarfile.HeaderError, UnicodeError, ValueError, Malformed):
                spelled = False
            if (
                not spelled
                or member.name <= last
                or not is_evidence(member.name)
                or member.size > limit_of(member.name)
            ):
                raise self._damaged(file.tell())
            yield member.name, (file.tell(), member.size)
            last = member.name
            file.seek(member.size, io.SEEK_CUR)
            if any(file.read(-member.size % BLOCK)):
                raise self._damaged(file.tell())
        if file.read(BLOCK + 1) != bytes(BLOCK):
            raise self._damaged(file.tell())

    def _damaged(self, at: int) -> Malformed:
        return Malformed(
            N_("{path} is not a whole evidence pack (near byte {at})"),
            why=N_("it was altered, cut off, or made by another program"),
            do=N_("make it again with: auditor pack DIR FILE"),
            code="PACK",
            path=self._path,
            at=at,
        )

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        if path not in self._places:
            return None
        start, size = self._places[path]
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def paths(self) -> list[str]:
        """See Evidence."""
        return list(self._places)


def pack_digest(path: Path) -> str:
    """SHA-256 of a pack, as reports name it."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


def digest_as_pack(evidence: Evidence) -> str | None:
    """The digest that the pack of this evidence has, whether it was packed or lies in a folder;
    None if none can be made."""
    if isinstance(evidence, ServedEvidence):
        return None
    hasher = hashlib.sha256()
    try:
        for path in sorted(path for path in evidence.paths() if is_evidence(path)):
            for block in _blocks(path, evidence.read(path) or b""):
                hasher.update(block)
    except Malformed:
        return None
    hasher.update(bytes(2 * BLOCK))
    return f"sha256:{hasher.hexdigest()}"


def open_evidence(path: Path) -> Evidence:
    """A mirror folder or a pack."""
    if path.is_file():
        return Pack(path)
    if not path.exists():
        raise Unavailable(
            N_("there is no folder or pack {path}"),
            why=N_("the evidence to check must lie in it"),
            do=N_("make one with: auditor mirror URL DIR"),
            path=path,
        )
    return Folder(path)
