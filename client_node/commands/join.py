"""`client-node join`: compare, ask for admission, read the agreement, consent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from client_node.commands.consent import sign
from client_node.commands.console import HOME, Home, _, terminal
from client_node.commands.data import before_joining
from contracts.errors import Refused
from contracts.fields import time_text
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import OK

app = Commands()


@app.command(
    help=_("Join with an invite file, read the agreement, consent.\n\nExample: client-node join 示例机械.invite")
)
def join(
    invite: Annotated[
        Path | None,
        typer.Argument(help=_("invite file of the chamber; by default the one joined with"), show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help=_("join and consent without being asked"))] = False,
    fingerprint: Annotated[
        str,
        typer.Option(
            "--fingerprint", help=_("the chamber's, as it told you: anything else is refused"), show_default=False
        ),
    ] = "",
    home: Home = HOME,
) -> int:
    """Compared, then asked: the office approves a signed request, and the log is verified from its first entry."""
    import time

    from client_node.membership.joining import ask_admission, check_home, read_invite
    from client_node.settings import read_home

    settings = read_home(home)
    held = read_invite(invite) if invite else settings.invite | {"secret": ""}
    check_home(settings, held)
    before_joining(home)
    _compare_fingerprints(settings, held, fingerprint, yes)
    state = ask_admission(settings, held)
    while state == "pending":
        terminal.note(N_("waiting for the chamber's approval (Ctrl-C and join again later is fine)"))
        time.sleep(5)
        state = ask_admission(settings, held)
    terminal.ok(N_("admitted as {member}"), member=held["member"])
    return _sign_first(home, yes)


def _sign_first(home: Path, yes: bool) -> int:
    """Ask for the consent to the active agreement, unless this member has said its word about it before."""
    from client_node.home import connected, follow
    from client_node.membership.consents import active_terms, is_withdrawn, without_consent
    from contracts.rules.state import is_live

    settings, mirror, _budget, uplink = connected(home)
    follow(mirror, uplink)
    try:
        terms = active_terms(mirror)
    except Refused as error:
        if error.code != "AGREEMENT_INACTIVE":
            raise
        terminal.note(N_("no agreement yet; when there is one: client-node consent sign"))
        return OK
    said = mirror.state.consent(settings.member, terms.digest())
    if said is None and not is_withdrawn(settings):
        return sign(yes=yes, home=home)
    if said is not None and is_live(said, time_text(datetime.now(UTC))) and not is_withdrawn(settings):
        terminal.ok(N_("this member has consented to the agreement; nothing was signed again"))
        return OK
    why, values = without_consent(settings, mirror, terms)
    terminal.note(N_("no consent: {why}; to consent anew: client-node consent sign"), why=_(why).format_map(values))
    return OK


def _compare_fingerprints(settings: Any, invite: dict[str, Any], typed: str, yes: bool) -> None:
    """Once, before the first request: whoever made this invite learns the member's name, code and keys from it."""
    from client_node.membership.joining import check_fingerprint, fingerprint_of, has_used
    from contracts.envelope import key_id
    from contracts.log.fingerprints import grouped

    terminal.say(N_("Invite of {chamber} at {url}"), **invite)
    terminal.say(N_("  fingerprint of the chamber: {print}"), print=fingerprint_of(invite))
    own = grouped(key_id(settings.node_key.public_key()))
    terminal.say(N_("  fingerprint of this node's key, which the chamber sees when it approves: {print}"), print=own)
    if typed:
        check_fingerprint(invite, typed)
    elif not has_used(settings, invite):
        terminal.confirm(
            N_("Ask the chamber by telephone, at a number that you know. Does it read out the same fingerprint?"), yes
        )
