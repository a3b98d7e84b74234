"""What all command files of the coordinator share: its terminal, its options, its office."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.wording import N_
from shell.places import default_home
from shell.terminal import Terminal

if TYPE_CHECKING:
    from coordinator.office import Office
    from coordinator.settings import Settings

terminal = Terminal("coordinator")
_ = terminal.translate

Home = Annotated[Path, typer.Option("--home", envvar="COORDINATOR_HOME", help=_("folder of this coordinator"))]
Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
Yes = Annotated[bool, typer.Option("--yes", help=_("do not ask"))]
HOME = default_home("coordinator")


def office_of(home: Path) -> Office:
    """The office whose folder is `home`."""
    from coordinator.office import open_office
    from coordinator.settings import read_home

    return open_office(read_home(home))


def warn_of_certificate(settings: Settings) -> None:
    """Say so from 60 days before its end on: afterwards no node can connect."""
    from coordinator.trust.renewal import ends
    from shell.certificates import warning

    told = warning(ends(settings), datetime.now(UTC))
    if told:
        terminal.bad(told[0], **told[1])
        terminal.say(N_("  -> coordinator certificate renew"))
