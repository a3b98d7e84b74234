"""The auditor's terminal, and the options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shell.terminal import Terminal

terminal = Terminal("auditor")
_ = terminal.translate

Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
PinsFile = Annotated[Path | None, typer.Option("--pins", help=_("pins.json of a member"))]
Identity = Annotated[Path | None, typer.Option("--identity", help=_("key file of an admitted auditor"))]
