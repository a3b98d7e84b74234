"""What all command files of a node share: its terminal, its options, a bar of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from shell.places import default_home
from shell.terminal import Terminal

terminal = Terminal("client_node")
_ = terminal.translate

Home = Annotated[Path, typer.Option("--home", envvar="CLIENT_NODE_HOME", help=_("folder of this node"))]
Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
HOME = default_home("client-node")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the error stream, where a person looks at it; gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal or terminal.is_quiet) as bar:
        work = bar.add_task(what, total=None)
        yield lambda done, every: bar.update(work, completed=done, total=every)
