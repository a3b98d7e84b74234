"""What all command files of the coordinator share: its terminal, its options, its office."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import Unavailable
from contracts.wording import N_
from shell.terminal import Terminal

if TYPE_CHECKING:
    from coordinator.office import Office

terminal = Terminal("coordinator")
_ = terminal.translate

Home = Annotated[Path, typer.Option("--home", envvar="COORDINATOR_HOME", help=_("folder of this coordinator"))]
Lang = Annotated[str, typer.Option("--lang", help=_("zh or en"))]
Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
Yes = Annotated[bool, typer.Option("--yes", help=_("do not ask"))]
HOME = Path.home() / ".local" / "share" / "mengbang" / "coordinator"


def office_of(home: Path) -> Office:
    """The office whose folder is `home`."""
    from coordinator.settings import read_home
    from coordinator.web.server import open_office

    return open_office(read_home(home))


def document_of(office: Office, name: str) -> bytes:
    """A document by its digest; Unavailable if the database lacks it."""
    from coordinator.store import documents

    held = documents.read(office.database, name)
    if held is None:
        raise Unavailable(N_("document {name} is missing"), name=name)
    return bytes(held.data)
