"""The log as a folder of plain files (C2SP tlog-tiles): any web server serves it, any copy of it is a full mirror."""

from __future__ import annotations

import shutil
import threading
from itertools import chain
from pathlib import Path

from contracts.errors import TrustError
from contracts.log import tiles
from contracts.log.checkpoint import Note
from coordinator.store.log import Log
from shell.log_folder import check_grows
from shell.log_lines import log_event
from shell.unix import publish

PERIOD_S = 1.0


def write_static(log: Log, folder: Path, url: str, since: int = 0) -> tuple[int, int]:
    """(files written, log size). Writes what is absent or has changed; a tile that is there is never touched again.

    `since` is a size up to which all was written before: only what reaches beyond it is looked at.

    The checkpoint comes last, so that whoever reads it finds all its tiles. Partial tiles give way to the full one.
    Entries that are signed and wait for cosignatures stand there too, since members may have seen them.
    """
    note, signed = log.witnessed(0) or log.note(), log.published_size()
    if note is None or signed is None:
        return 0, 0
    check_grows(folder, log.tree())
    size, written = note.checkpoint.size, 0
    for name in chain(tiles.names(size), tiles.bundle_names(signed, size // tiles.WIDTH)):
        if (name.n + 1) * tiles.WIDTH ** ((name.level or 0) + 1) <= since:
            continue
        if not (folder / name.path()).exists():
            written += _put(folder / name.path(), log.tile(name.path()))
        if name.width == tiles.WIDTH and tiles.reach(name) <= size:  # no served checkpoint ends in it
            shutil.rmtree(folder / f"{name.path()}.p", ignore_errors=True)
    for kept in log.sizes():
        held = log.note(kept) if since <= kept <= signed else None
        written += held is not None and _put_note(folder / "checkpoints" / str(kept), held)
    state = log.state()
    written += _put(folder / "policy", state.quorum_at(size).policy(log.key, url).encode())
    return written + _put_note(folder / "checkpoint", note), size


def keep_static(log: Log, folder: Path, url: str, stop: threading.Event) -> None:
    """Keep the folder as new as the log, looking once a second."""
    since, seen = 0, None
    while not stop.wait(PERIOD_S):
        try:
            newest = (log.witnessed(0) or log.note(), log.note())
            if newest != seen:
                _, since = write_static(log, folder, url, since)
                seen = newest
        except (TrustError, OSError) as error:
            log_event.error("static", what=str(error))
        except Exception:
            log_event.exception("static")


def _put_note(path: Path, note: Note) -> bool:
    return _put(path, note.text().encode())


def _put(path: Path, data: bytes) -> bool:
    """Write whole or not at all; False if the very bytes were there."""
    if path.exists() and path.read_bytes() == data:
        return False
    fresh = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    publish(part, fresh)
    part.replace(path)
    return True
