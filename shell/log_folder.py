"""A log as a folder of plain files, read and written: what `coordinator export`, `auditor mirror`
and `client-node export` make.

Nothing that is read here was judged: signatures, tree and rules are for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from contracts.envelope import digest
from contracts.errors import Refused, TrustError, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import Note, NoteKey, parse_note, verify_log_signature
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.tiles import TileName
from contracts.wording import N_


class LogFolder:
    """The files of a log below one folder."""

    def __init__(self, root: Path):
        if not root.is_dir():
            raise Unavailable(
                N_("there is no folder {path}"),
                do=N_("name a copy of the log, as client-node export or coordinator export writes it"),
                path=root,
            )
        self.root = root

    def entries(self, start: int, end: int) -> list[bytes]:
        """Entries start..end-1; Unavailable if the copy does not hold them all."""
        found: list[bytes] = []
        for name in tiles.bundle_names(end, start // tiles.WIDTH):
            held = self._widest(name)
            found += tiles.parse_bundle((self.root / held.path()).read_bytes(), held.width)[: name.width]
        return found[start % tiles.WIDTH :]

    def _widest(self, wanted: TileName) -> TileName:
        """A bundle that is here and begins with the wanted one: as the log grew, a wider one
        may have taken its place."""
        listed = (TileName(None, wanted.n, width) for width in range(wanted.width, tiles.WIDTH + 1))
        found = next((name for name in listed if (self.root / name.path()).is_file()), None)
        if found is None:
            raise Unavailable(
                N_("{path} is not in this copy of the log"),
                why=N_("the copy is not whole"),
                do=N_("make it again, or use another copy"),
                path=self.root / wanted.path(),
            )
        return found

    def notes(self, log: NoteKey) -> list[Note]:
        """Every checkpoint here that the log has signed, the largest first; what is none is passed over."""
        found = []
        for path in (self.root / "checkpoint", *(self.root / "checkpoints").glob("*")):
            try:
                note = parse_note(path.read_text(encoding="utf-8"))
                verify_log_signature(note, log)
            except (OSError, UnicodeDecodeError, TrustError):
                continue
            found.append(note)
        return sorted(found, key=lambda note: -note.checkpoint.size)

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """(digest, bytes) of each document whose bytes have the digest that its name says."""
        for path in sorted((self.root / "documents").glob("*")):
            data = path.read_bytes() if path.is_file() else b""
            if digest(data) == f"sha256:{path.name}":
                yield digest(data), data


def write_folder(root: Path, entries: list[bytes], notes: Iterable[Note], documents: Mapping[str, bytes]) -> None:
    """Write a log with its checkpoints, of which the largest is the newest, and documents by their digests. Refused
    where the folder holds another log, or more of this one."""
    tree = Tree(map(leaf_hash, entries))
    check_grows(root, tree)
    listed = sorted(notes, key=lambda note: note.checkpoint.size)
    for name in tiles.names(len(entries)):
        first = name.n * tiles.WIDTH
        if name.level is None:
            _put(root / name.path(), tiles.bundle(entries[first : first + name.width]))
        else:
            _put(root / name.path(), tree.row(name.level, first, first + name.width))
    for called, data in documents.items():
        _put(root / "documents" / called.removeprefix("sha256:"), data)
    for note in listed:
        _put(root / "checkpoints" / str(note.checkpoint.size), note.text().encode())
    for note in listed[-1:]:
        _put(root / "checkpoint", note.text().encode())


def check_grows(root: Path, tree: Tree) -> None:
    """Refused where the folder holds another log, or more of this one."""
    if not (root / "checkpoint").exists():
        return
    held = parse_note((root / "checkpoint").read_text(encoding="utf-8")).checkpoint
    if held.size > tree.size or tree.root(held.size) != held.root:
        raise Refused(
            N_("{path} holds a copy of another log, or more entries than this one"),
            why=N_("it may be the only copy of what was lost elsewhere"),
            do=N_("name an empty folder"),
            code="COPY",
            path=root,
        )


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
