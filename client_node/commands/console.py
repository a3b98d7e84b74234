"""What all command files of a node share: its terminal, its options, its copy of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shell.terminal import Terminal

if TYPE_CHECKING:
    from client_node.ledger.ledger import Budget
    from client_node.link.mirror import Mirror
    from client_node.link.uplink import Uplink
    from client_node.settings import Settings

terminal = Terminal("client_node")
_ = terminal.translate

Home = Annotated[Path, typer.Option("--home", envvar="CLIENT_NODE_HOME", help=_("folder of this node"))]
Lang = Annotated[str, typer.Option("--lang", help=_("zh or en"))]
Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
HOME = Path.home() / ".local" / "share" / "mengbang" / "client-node"


def local(home: Path) -> tuple[Settings, Mirror, Budget]:
    """The node as it lies on this disk, without a connection."""
    from client_node.ledger.ledger import Budget
    from client_node.link.mirror import Mirror
    from client_node.settings import read_home

    settings = read_home(home)
    return settings, Mirror(settings, settings.invite), Budget(home / "ledger.db")


def uplink_of(settings: Settings, budget: Budget) -> Uplink:
    """The connection to the coordinator, through the one gate."""
    from client_node.link.egress import Egress
    from client_node.link.uplink import Uplink

    return Uplink(settings, Egress(budget), settings.invite)


def connected(home: Path) -> tuple[Settings, Mirror, Budget, Uplink]:
    """The node and its connection."""
    settings, mirror, budget = local(home)
    return settings, mirror, budget, uplink_of(settings, budget)


def follow(mirror: Mirror, uplink: Uplink) -> None:
    """Bring this node's copy of the log up to date."""
    while mirror.follow(uplink, 0) is not None:
        pass


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the error stream, where a person looks at it; gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        work = bar.add_task(what, total=None)
        yield lambda done, every: bar.update(work, completed=done, total=every)
