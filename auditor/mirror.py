"""Copy a log and its documents into a folder that can be checked without the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from auditor.evidence import Evidence, read_bundles, read_note, required
from contracts import tiles
from contracts.envelope import from_base64, open_entry, strict_json
from contracts.errors import TrustError
from contracts.rules.fold import replay
from contracts.rules.state import EMPTY, RunRecord
from contracts.statements import Contribution, parse


def mirror(evidence: Evidence, folder: Path, tick: Callable[[int], None] = lambda done: None) -> tuple[int, int]:
    """(files written, documents that were not given out). Existing files are replaced whole."""
    note = read_note(evidence, "checkpoint")
    size = note.checkpoint.size
    written, withheld = 0, 0
    state = EMPTY
    for _, entries in read_bundles(evidence, size, tick):
        state, _ = replay(entries, state)
    paths = [name.path() for name in tiles.names(size)]
    for path in [*paths, "policy"]:
        _write(folder / path, required(evidence, path))
    _write(folder / "checkpoint", note.text().encode())
    _write(folder / f"checkpoints/{size}", note.text().encode())
    for name in _named_documents(evidence, state.runs_in_order()):
        data = evidence.read(f"documents/{name}")
        withheld += data is None
        written += data is not None
        if data is not None:
            _write(folder / "documents" / name, data)
    return written + len(paths) + 3, withheld


def _named_documents(evidence: Evidence, runs: list[RunRecord]) -> Iterator[str]:
    """Hex names of every document that the log names, and of the contributions that the lists name."""
    for run in runs:
        yield run.order.model_start.removeprefix("sha256:")
        for record in run.rounds:
            closed = record.closed
            if closed is None or closed.outcome == "aborted":
                continue
            named = (closed.list_document, closed.aggregate, closed.step_state, closed.model_out)
            yield from (name.removeprefix("sha256:") for name in named if name)
            yield from _contributions(
                evidence.read(f"documents/{(closed.list_document or '').removeprefix('sha256:')}")
            )


def _contributions(listed: bytes | None) -> Iterator[str]:
    try:
        for text in strict_json(listed) if listed else ():
            line = parse(open_entry(from_base64(text)).payload)
            if isinstance(line, Contribution):
                yield line.payload.removeprefix("sha256:")
    except TrustError:
        return  # a broken list is mirrored as it is; `verify` names it


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
