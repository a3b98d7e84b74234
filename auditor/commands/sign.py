"""`auditor sign`: the auditors' word on a change of the quorum or on the successor of a key that has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditor.commands.console import _, terminal
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import OK, write_line

signing = Commands()


@signing.command(
    help=_(
        "Cosign a statement: a change of the quorum, or a key that follows one that has ended.\n\n"
        "Example: auditor sign quorum.json --identity auditor/identity.key"
    )
)
def sign(
    statement: Annotated[Path, typer.Argument(help=_("statement to cosign"))],
    identity: Annotated[Path, typer.Option("--identity", help=_("key file of an admitted auditor"))],
    yes: Annotated[bool, typer.Option("--yes", help=_("do not ask"))] = False,
) -> int:
    """Says in words what is signed, then adds the signature to the file."""
    from auditor.evidence.identity import read_key
    from contracts.envelope import cosign
    from contracts.statements import to_cosign
    from shell.text_files import read_text

    key = read_key(identity)
    entry, said = to_cosign.read([read_text(statement).encode()])
    write_line(to_cosign.words(said, _))
    terminal.confirm(N_("Sign?"), yes)
    statement.write_text(to_cosign.write(cosign(entry, key)), encoding="ascii")
    terminal.ok(N_("signed; hand {path} to the office"), path=statement)
    return OK
