"""`client-node receipts` and `client-node show`: files that prove themselves to whoever holds pins."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from shutil import copy
from typing import Annotated, Any

import typer

from client_node.commands.console import HOME, Home, Json, _, terminal
from contracts.errors import TrustError, Unavailable
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import OK, write_line

proofs = Commands()


@proofs.command(
    help=_(
        "List this member's receipts: consents, rounds and releases, each a file that proves itself, with what it "
        "allows or cost. The running node writes them; what is missing is written now.\n\nExample: client-node "
        "receipts --out ./for-the-auditor"
    )
)
def receipts(
    out: Annotated[Path | None, typer.Option(help=_("folder to copy them to"))] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Works with the coordinator switched off: then the ones that are there are listed."""
    from client_node.home import follow, local, uplink_of
    from client_node.membership.receipts import folder_of, write_all

    settings, mirror, budget = local(home)
    try:
        uplink = uplink_of(settings, budget)
        follow(mirror, uplink)
        write_all(settings, mirror, uplink)
    except Unavailable:
        terminal.note(N_("the coordinator is away; using what this node has"))
    held = sorted(folder_of(settings).glob("*.tlog-proof"))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        held = [Path(copy(path, out)) for path in held]
    promised = [(path, _promised(path), _together(path, settings, mirror)) for path in sorted(held, key=_place)]
    if as_json:
        terminal.json(
            [
                {"file": str(path), "promise": told, "in_round_with": [asdict(one) for one in among or ()]}
                for path, told, among in promised
            ]
        )
        return OK
    for (told, among), alike in groupby(promised, key=lambda one: one[1:]):
        write_line(*(f"  {path}" for path, *_told in alike), *(f"      {sentence}" for sentence in told), sep="\n")
        _say_together(among)
    terminal.say(N_("{n} receipts; anyone with pins checks one with: auditor verify-receipt FILE"), n=len(held))
    return OK


def _place(path: Path) -> tuple[str, int, str]:
    kind, _dash, index = path.stem.rpartition("-")
    return kind, len(index), index


def _together(path: Path, settings: Any, mirror: Any) -> list[Any] | None:
    """Who else is in the sum of a round, [] where the agreement shows nobody, None for a receipt of something else."""
    from client_node.membership.others import companies
    from contracts.log.receipts import entry_and_line, read_logged
    from contracts.statements.statements import Round

    try:
        said = entry_and_line(read_logged(path.read_text(encoding="utf-8", errors="replace"))).entry
    except TrustError:
        return None
    run = mirror.state.runs.get(said.order) if isinstance(said, Round) else None
    if run is None or not isinstance(said, Round):
        return None
    is_shown = mirror.state.agreements[run.order.agreement].terms.members_shown == "register"
    return companies(settings, None, mirror.state, said.contributors) if is_shown else []


def _say_together(among: list[Any] | None) -> None:
    from contracts.promise import VOUCHED

    if among:
        write_line("     ", _(N_("in rounds with: {who}")).format(who=", ".join(one.label() for one in among)))
    elif among is not None:
        write_line("     ", _(VOUCHED))


def _promised(path: Path) -> list[str]:
    """What a receipt allows or cost, in sentences; where to read it if the receipt does not show that."""
    from contracts.log.receipts import entry_and_line, read_logged
    from contracts.promise import of_receipt
    from privacy.accounting import epsilon

    try:
        receipt = read_logged(path.read_text(encoding="utf-8", errors="replace"))
        promises = of_receipt(receipt, entry_and_line(receipt), epsilon)
    except TrustError:
        return [_("this file is damaged; delete it, and it will be written anew")]
    if promises is None:
        return [_("written without its agreement and order; what it costs says: client-node status")]
    return [sentence for one in promises for sentence in one.sentences(_)]


@proofs.command(
    help=_(
        "Make a receipt for one line of a result, to hand over with the number.\n\n"
        "Example: client-node show RESULT.result.json LINE --out number.receipt.json"
    )
)
def show(
    result: Annotated[Path, typer.Argument(help=_("customer, series or month of a result"))],
    line: Annotated[str, typer.Argument(help=_("id of the line, as score or forecast prints it"))],
    out: Annotated[Path, typer.Option(help=_("file to write"))],
    level: Annotated[
        str, typer.Option(help=_("which of several lines of this id: series, family or member"), show_default=False)
    ] = "",
    home: Home = HOME,
) -> int:
    """Proves this number and tells nothing about the others. Works with the coordinator switched off."""
    from client_node.home import local, uplink_of
    from client_node.membership.receipts import show as make

    settings, mirror, budget = local(home)
    out.write_text(make(settings, mirror, result, line, uplink_of(settings, budget), level=level), encoding="utf-8")
    terminal.ok(N_("receipt: {path}"), path=out)
    return OK
