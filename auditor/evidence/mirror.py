"""Copy a log and its documents into a folder that can be checked without the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from auditor.evidence.reader import Evidence, document_path, kept_size, read_bundles, read_note, required, required_tile
from contracts.errors import Malformed, TrustError
from contracts.log import tiles
from contracts.log.contribution_list import read_list
from contracts.rules.fold import replay
from contracts.rules.state import EMPTY, TrustState


def mirror(
    evidence: Evidence, folder: Path, tick: Callable[[int, int], None] = lambda done, size: None
) -> tuple[int, int, int]:
    """(entries, documents named, documents that were not given out). Existing files are replaced whole."""
    note = read_note(evidence, "checkpoint")
    size, state = note.checkpoint.size, EMPTY
    for name, entries in read_bundles(evidence, size, lambda done: tick(done, size)):
        state, _ = replay(entries, state)
        _write(folder / name.path(), tiles.bundle(entries))
    for name in tiles.names(size):
        if name.level is not None:
            _write(folder / name.path(), required_tile(evidence, name))
    _write(folder / "policy", required(evidence, "policy"))
    _write(folder / "checkpoint", note.text().encode())
    listed = [kept for path in evidence.paths() if (kept := kept_size(path)) is not None]
    _waiting(evidence, folder, size, max(listed, default=0))
    for kept in listed:
        if (data := evidence.read(f"checkpoints/{kept}")) is not None:
            _write(folder / f"checkpoints/{kept}", data)
    held = [data is not None for data in _documents(evidence, state, folder)]
    return size, len(held), held.count(False)


def _waiting(evidence: Evidence, folder: Path, size: int, signed: int) -> None:
    """Copy the bundles of entries that are signed and wait for cosignatures."""
    with suppress(TrustError):  # they are not shown: what is signed is copied all the same, for `verify` to say so
        for name, entries in read_bundles(evidence, signed, start=size) if signed > size else ():
            _write(folder / name.path(), tiles.bundle(entries))


def _documents(evidence: Evidence, state: TrustState, folder: Path) -> Iterator[bytes | None]:
    """Every document that the log names, and the contributions that the lists among them name, as each was copied."""
    closed = (record.closed for run in state.runs.values() for record in run.rounds)
    members = {one.list_document: len(one.contributors) for one in closed if one}
    for name, _ in sorted(state.documents.items(), key=lambda one: (one[1].index, one[0])):
        data = _copied(evidence, name, folder)
        yield data
        for payload in _contributions(data, members[name]) if data and name in members else ():
            yield _copied(evidence, payload, folder)


def _copied(evidence: Evidence, name: str, folder: Path) -> bytes | None:
    try:
        data = evidence.read(document_path(name))
    except Malformed:  # larger than any document
        return None
    if data is not None:
        _write(folder / document_path(name), data)
    return data


def _contributions(listed: bytes, members: int) -> Iterator[str]:
    try:
        for line in read_list(listed, members).lines():
            yield line.said.payload
    except TrustError:
        return  # a broken list is mirrored as it is; `verify` names it


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
