"""Copy a log and its documents into a folder that can be checked without the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from auditor.evidence.reader import Evidence, read_bundles, read_note, required
from contracts.envelope import from_base64, open_entry, strict_json
from contracts.errors import TrustError
from contracts.log import tiles
from contracts.rules.fold import replay
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.closed_list import parse
from contracts.statements.off_log import Contribution


def mirror(
    evidence: Evidence, folder: Path, tick: Callable[[int, int], None] = lambda done, size: None
) -> tuple[int, int, int]:
    """(entries, documents named, documents that were not given out). Existing files are replaced whole."""
    note = read_note(evidence, "checkpoint")
    size, state = note.checkpoint.size, EMPTY
    for name, entries in read_bundles(evidence, size, lambda done: tick(done, size)):
        state, _ = replay(entries, state)
        _write(folder / name.path(), tiles.bundle(entries))
    paths = [name.path() for name in tiles.names(size) if name.level is not None]
    for path in [*paths, "policy"]:
        _write(folder / path, required(evidence, path))
    _write(folder / "checkpoint", note.text().encode())
    kept = [path for path in evidence.paths() if path.startswith("checkpoints/") and int(path[12:]) <= size]
    documents = [f"documents/{name.removeprefix('sha256:')}" for name in _named_documents(evidence, state)]
    absent = 0
    for path in [*kept, *documents]:
        data = evidence.read(path)
        absent += data is None and path in documents
        if data is not None:
            _write(folder / path, data)
    return size, len(documents), absent


def _named_documents(evidence: Evidence, state: TrustState) -> Iterator[str]:
    """Digests of every document that the log names, and of the contributions that the lists among them name."""
    for name, held in sorted(state.documents.items(), key=lambda one: (one[1].index, one[0])):
        yield name
        if held.kind == "list":
            yield from _contributions(evidence.read(f"documents/{name.removeprefix('sha256:')}"))


def _contributions(listed: bytes | None) -> Iterator[str]:
    try:
        for text in strict_json(listed) if listed else ():
            line = parse(open_entry(from_base64(text)).payload)
            if isinstance(line, Contribution):
                yield line.payload
    except TrustError:
        return  # a broken list is mirrored as it is; `verify` names it


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
