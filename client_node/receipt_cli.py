"""`client-node receipts` and `client-node show`: files that prove themselves to whoever holds pins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client_node.console import HOME, Home, Json, Lang, _, connected, follow, local, terminal, uplink_of
from contracts.terminal import OK
from contracts.wording import N_

proofs = typer.Typer(rich_markup_mode=None)


@proofs.command(
    help=_(
        "Write this member's receipts: consents, rounds and releases, each a file that proves itself.\n\n"
        "Example: client-node receipts"
    )
)
def receipts(home: Home = HOME, as_json: Json = False, lang: Lang = "") -> int:
    """Only what is missing is written."""
    from client_node.receipts import folder_of, write_all

    settings, mirror, _budget, uplink = connected(home)
    follow(mirror, uplink)
    written = write_all(settings, mirror, uplink)
    held = sorted(folder_of(settings).glob("*.tlog-proof"))
    if as_json:
        terminal.json([str(path) for path in held])
        return OK
    for path in written:
        terminal.ok(N_("receipt: {path}"), path=path)
    terminal.say(N_("{n} receipts; anyone with pins checks one with: auditor verify-receipt FILE"), n=len(held))
    return OK


@proofs.command(
    help=_(
        "Make a receipt for one line of a result, to hand over with the number.\n\n"
        "Example: client-node show RESULT.result.json LINE --out number.receipt.json"
    )
)
def show(
    result: Path,
    line: Annotated[str, typer.Argument(help=_("id of the line, as score or forecast prints it"))],
    out: Annotated[Path, typer.Option(help=_("file to write"))],
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """Proves this number and tells nothing about the others. Works with the coordinator switched off."""
    from client_node.receipts import show as make

    settings, mirror, budget = local(home)
    out.write_text(make(settings, mirror, result, line, uplink_of(settings, budget)), encoding="utf-8")
    terminal.ok(N_("receipt: {path}"), path=out)
    return OK
