"""A refusal belongs on the log. What the coordinator does not take is kept here, sent
again, and shown to the member."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from client_node.ledger.ledger import read_ledger
from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink
from client_node.membership import consents
from client_node.settings import Settings
from contracts.errors import TrustError
from contracts.fields import new_id, time_text
from contracts.statements.signed import read_statement
from contracts.statements.statements import Refusal

_under_way: set[Path] = set()  # of this process: the thread that works and the one that follows the log both send
_lock = threading.Lock()


class Unheard(BaseModel):
    """A refusal whose inclusion nobody has proven to this node yet."""

    model_config = ConfigDict(frozen=True, strict=True)

    order: str
    reason: str
    open: int | None
    since: str


def say(settings: Settings, mirror: Mirror, uplink: Uplink, *, order: str, reason: str, open: int | None) -> None:
    """Put a refusal on the log; one that does not come to stand there is kept and sent again. What stands there or is
    kept already is not said a second time, as a node would that was killed before it knew."""
    said = Unheard(order=order, reason=reason, open=open, since=time_text(datetime.now(UTC)))
    if _stands(settings, mirror, said) or any((one.order, one.open) == (order, open) for _, one in _kept(settings)):
        return
    path = _folder(settings) / f"{new_id().rpartition(':')[2]}.json"
    path.write_text(said.model_dump_json(), encoding="ascii")
    _send(settings, mirror, uplink, said, path)


def send_kept(settings: Settings, mirror: Mirror, uplink: Uplink) -> None:
    """Try again; a coordinator that still does not take one changes nothing else."""
    for path, said in _kept(settings):
        if _stands(settings, mirror, said):
            path.unlink(missing_ok=True)  # it stands there: the answer was lost, not the refusal
            continue
        if said.reason == "not-started" and not _is_open(mirror, said):
            path.unlink(missing_ok=True)  # the round went on without this node, and the log takes no such word any more
            continue
        with suppress(TrustError):
            _send(settings, mirror, uplink, said, path)


def _stands(settings: Settings, mirror: Mirror, said: Unheard) -> bool:
    """Whether this copy of the log shows it, for its run or, among what came after its opening, for its round."""
    if said.open is None:
        run = mirror.state.runs.get(said.order)
        return run is not None and settings.member in run.refused
    return any(_says(entry, settings.member, said) for entry in mirror.entries(said.open + 1))


def _says(entry: bytes, member: str, said: Unheard) -> bool:
    try:
        read = read_statement(entry).said
    except TrustError:
        return False
    return isinstance(read, Refusal) and (read.member, read.order, read.open) == (member, said.order, said.open)


def _is_open(mirror: Mirror, said: Unheard) -> bool:
    run = mirror.state.runs.get(said.order)
    waiting = run.open_round() if run else None
    return waiting is not None and waiting.open_index == said.open


def kept(settings: Settings) -> list[Unheard]:
    """What the log does not show yet, oldest first."""
    return sorted((said for _, said in _kept(settings)), key=lambda said: said.since)


def _send(settings: Settings, mirror: Mirror, uplink: Uplink, said: Unheard, path: Path) -> None:
    with _alone(path) as is_mine:
        if is_mine:
            _send_now(settings, mirror, uplink, said)
            path.unlink()


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether this thread is to send it: not while another does, nor once it was sent. One refusal is said once."""
    with _lock:
        is_mine = path not in _under_way and path.exists()
        if is_mine:
            _under_way.add(path)
    try:
        yield is_mine
    finally:
        if is_mine:
            _under_way.discard(path)


def _send_now(settings: Settings, mirror: Mirror, uplink: Uplink, said: Unheard) -> None:
    refusal = Refusal(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=settings.member,
        order=said.order,
        reason=said.reason,  # type: ignore[arg-type]  # of the closed list, which pydantic checks
        open=said.open,
        seen=mirror.seen(),
        ledger=read_ledger(settings).head(),
    )
    consents.send(settings, mirror, uplink, refusal)


def _folder(settings: Settings) -> Path:
    folder = settings.home / "refusals"
    folder.mkdir(exist_ok=True)
    return folder


def _kept(settings: Settings) -> list[tuple[Path, Unheard]]:
    found = []
    for path in _folder(settings).glob("*.json"):
        with suppress(ValidationError):  # torn by a crash while it was written: nothing was said then either
            found.append((path, Unheard.model_validate_json(path.read_bytes())))
    return found
