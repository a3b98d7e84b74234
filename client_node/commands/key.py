"""`client-node key` and `client-node policy`: this node's keys after admission, and a word on the chamber's quorum."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client_node.commands.console import HOME, Home, Json, _, terminal
from contracts.errors import Malformed, Refused
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import OK, write_line
from shell.text_files import read_text

if TYPE_CHECKING:
    from client_node.ledger.ledger import Budget
    from client_node.link.mirror import Mirror
    from client_node.settings import Settings

keys = Commands(help=_("Show, replace or end this node's keys."))
Yes = Annotated[bool, typer.Option("--yes", help=_("do not ask"))]


class NodeKeyRole(StrEnum):
    """What a key of a node is for."""

    node = "node"
    witness = "witness"


@keys.command("show", help=_("This member's keys on the log.\n\nExample: client-node key show"))
def show(home: Home = HOME, as_json: Json = False) -> int:
    """From this node's own copy of the log."""
    from client_node.home import local
    from contracts.log.fingerprints import grouped

    settings, mirror, _budget = local(home)
    state = mirror.state
    held = sorted(
        ((k, r) for k, r in state.keys.items() if r.member == settings.member), key=lambda pair: pair[1].index
    )
    if as_json:
        terminal.json(
            [{"key": k, "fingerprint": grouped(k), "role": r.role, "index": r.index, "ended": r.ended} for k, r in held]
        )
        return OK
    for name, key in held:
        if key.ended is None:
            terminal.ok(
                N_("{role} key {key}, entry {index}; fingerprint {print}"),
                role=key.role,
                key=name,
                index=key.index,
                print=grouped(name),
            )
        else:
            terminal.note(N_("{role} key {key} ended with entry {ended}"), role=key.role, key=name, ended=key.ended)
    return OK


@keys.command(
    "rotate",
    help=_(
        "Make a new key, let it take the place of the one in use, and use it. Ends the old key.\n\n"
        "Example: client-node key rotate witness"
    ),
)
def rotate(
    role: Annotated[NodeKeyRole, typer.Argument(help=_("node or witness"))], yes: Yes = False, home: Home = HOME
) -> int:
    """The running node must be stopped first; an interrupted rotation goes on with the same command."""
    from client_node.home import local, uplink_of
    from client_node.membership import keys as own
    from client_node.settings import claim
    from contracts.log.fingerprints import grouped

    with claim(home):
        terminal.confirm(N_("Replace this node's {role} key?"), yes, role=role.value)
        settings, mirror, budget = local(home)
        _follow(settings, mirror, budget)
        own.rotate(settings, mirror, uplink_of(settings, budget), role.value, lambda: _follow(settings, mirror, budget))
    held = mirror.state.live_key(settings.member, role.value)
    shown = grouped(held[0]) if held else "-"
    terminal.ok(N_("the new {role} key counts and is in use; fingerprint {print}"), role=role.value, print=shown)
    terminal.say(N_("Hand new pins to auditors: client-node pins"))
    return OK


def _follow(settings: Settings, mirror: Mirror, budget: Budget) -> None:
    """Follow the log. Once the next node key has taken its place, only that key may still ask."""
    from client_node.home import follow, uplink_of
    from client_node.settings import read_key

    try:
        follow(mirror, uplink_of(settings, budget))
    except Refused as error:
        path = settings.home / "keys" / "node.next.pem"
        if error.code != "UNKNOWN_KEY" or not path.exists():
            raise
        follow(mirror, uplink_of(replace(settings, node_key=read_key(path)), budget))


@keys.command(
    "request",
    help=_(
        "Write the statement by which a new key follows one that has ended: a majority of the auditors signs it, "
        "then the office.\n\n"
        "Example: client-node key request node --out node-key.json"
    ),
)
def request(
    role: Annotated[NodeKeyRole, typer.Argument(help=_("node or witness"))],
    out: Annotated[Path, typer.Option(help=_("file to hand round"))],
    home: Home = HOME,
) -> int:
    """Works without the coordinator, which would not listen to a key that has ended."""
    from client_node.home import local
    from client_node.membership import keys as own
    from contracts.statements import to_cosign

    settings, mirror, _budget = local(home)
    entry = own.successor(settings, mirror, role.value, has_ended=True)
    out.write_text(to_cosign.write(entry), encoding="ascii")
    write_line(to_cosign.words(to_cosign.read([out.read_bytes()])[1], _))
    terminal.ok(N_("statement to cosign in {path}"), path=out)
    terminal.say(N_("Next: auditors run auditor sign {path}, the office runs coordinator record {path}"), path=out)
    return OK


@keys.command(
    "end", help=_("End this node's key, by its own signature.\n\nExample: client-node key end witness --compromised")
)
def end(
    role: Annotated[NodeKeyRole, typer.Argument(help=_("node or witness"))],
    compromised: Annotated[bool, typer.Option("--compromised", help=_("somebody else may hold it"))] = False,
    yes: Yes = False,
    home: Home = HOME,
) -> int:
    """Counts from its entry on."""
    from client_node.home import connected, follow
    from client_node.membership import keys as own

    settings, mirror, _budget, uplink = connected(home)
    follow(mirror, uplink)
    terminal.confirm(N_("End this key for good?"), yes)
    index = own.end(settings, mirror, uplink, role.value, compromised=compromised)
    terminal.ok(N_("in the log as entry {index}"), index=index)
    terminal.say(N_("Next: client-node key request {role}; auditors must sign for its successor"), role=role.value)
    return OK


def sign_statement(
    statement: Annotated[Path, typer.Argument(help=_("statement to cosign"))], yes: Yes = False, home: Home = HOME
) -> int:
    """A member's word on the quorum. Keys are the office's and the auditors' matter."""
    from client_node.home import local
    from contracts.envelope import cosign
    from contracts.statements import to_cosign
    from contracts.statements.statements import Policy

    settings, _mirror, _budget = local(home)
    entry, said = to_cosign.read([read_text(statement).encode()])
    if not isinstance(said, Policy):
        raise Malformed(N_("members sign changes of the quorum only"), do=N_("hand the statement to the office"))
    write_line(to_cosign.words(said, _))
    terminal.confirm(N_("Sign?"), yes)
    statement.write_text(to_cosign.write(cosign(entry, settings.node_key)), encoding="ascii")
    terminal.ok(N_("signed; hand {path} back to the office"), path=statement)
    return OK
