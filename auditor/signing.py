"""`auditor sign`: the auditors' word on a change of the quorum or on the successor of a key that has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditor.terminal import Lang, _, terminal
from contracts.terminal import OK
from contracts.wording import N_

signing = typer.Typer(rich_markup_mode=None)


@signing.command(
    help=_(
        "Sign a sheet: a change of the quorum, or a key that follows one that has ended.\n\n"
        "Example: auditor sign quorum.json --identity auditor/identity.key"
    )
)
def sign(
    sheet: Path,
    identity: Annotated[Path, typer.Option("--identity", help=_("key file of an admitted auditor"))],
    yes: Annotated[bool, typer.Option("--yes", help=_("do not ask"))] = False,
    lang: Lang = "",
) -> int:
    """Says in words what is signed, then adds the signature to the file."""
    from auditor.identity import read_key
    from auditor.opening import read_file
    from contracts import sheets
    from contracts.envelope import cosign

    key = read_key(identity)
    entry, said = sheets.read([read_file(sheet)])
    print(sheets.words(said, _))
    if not yes and not typer.confirm(_(N_("Sign?"))):
        return OK
    sheet.write_text(sheets.write(cosign(entry, key)), encoding="ascii")
    terminal.ok(N_("signed; hand {path} to the office"), path=sheet)
    return OK
