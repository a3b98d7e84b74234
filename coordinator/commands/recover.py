"""`coordinator recover`: bring back what a restored database lacks, from copies of the log that members hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.wording import N_
from coordinator.commands.console import HOME, Home, Yes, _, office_of, terminal
from shell.terminal import FOUND, OK

if TYPE_CHECKING:
    from coordinator.trust.recovery import Recovered

KINDS = {
    "register": N_("register documents (who stands behind a member)"),
    "model": N_("models"),
    "list": N_("lists of contributions"),
    "aggregate": N_("sums of rounds"),
    "step-state": N_("states of training steps"),
    "unmasking": N_("documents by which a secure sum is done again"),
    "incident": N_("texts of incidents"),
    "delegation": N_("delegations"),
    "report": N_("reports of auditors"),
}


def add_commands(app: typer.Typer) -> None:
    """Put the command into the coordinator's."""
    app.command(
        "recover",
        help=_(
            "Bring back entries that a restored database lacks, from copies of the log: folders that client-node "
            "export, "
            "coordinator export or auditor mirror wrote.\n\n"
            "Example: coordinator recover --from member-1/log --from member-2/log"
        ),
    )(recover)


def recover(
    mirrors: Annotated[list[Path], typer.Option("--from", help=_("folder with a copy of the log; may be repeated"))],
    yes: Yes = False,
    home: Home = HOME,
) -> int:
    """Before anything else is appended. Exit code 1 if something is not back, or a member holds still more."""
    from contracts.errors import Refused
    from coordinator.trust import recovery
    from shell.log_folder import LogFolder

    office = office_of(home)
    if not office.database.lead():
        raise Refused(
            N_("a coordinator serves this log now"),
            why=N_("what it appends meanwhile would be a second history"),
            do=N_("stop coordinator serve, then recover, then serve again"),
            code="SERVING",
        )
    lost = recovery.find_lost(office, [LogFolder(path) for path in mirrors])
    terminal.say(
        N_(
            "this log has {here} entries; the copies hold {n} more, signed by it and cosigned to the end by {cosigners}"
        ),
        here=lost.start,
        n=len(lost.entries),
        cosigners=lost.cosigners(),
    )
    terminal.confirm(
        N_(
            "Take them back? Ask every member first: a copy that comes later and holds more must be taken before "
            "anything is appended."
        ),
        yes,
    )
    made = recovery.recover(office, lost)
    office.log.publish()
    terminal.ok(N_("the log has {size} entries again and goes on from there"), size=office.log.state().size)
    return _tell(made)


def _tell(made: Recovered) -> int:
    """What is back and what is not, in sentences."""
    terminal.ok(N_("{n} documents are back"), n=made.documents)
    for kind, n in sorted(made.missing.items()):
        terminal.bad(N_("not back, {n}: {what}"), n=n, what=_(KINDS.get(kind, kind)))
    for member in made.nameless:
        terminal.bad(
            N_("{member} has no name here: its register document is in no copy; its node brings it: client-node join"),
            member=member,
        )
    for member, held in made.ahead.items():
        terminal.bad(
            N_("{member} holds {held} entries, still more: take its copy too, before serving"), member=member, held=held
        )
    if not made.has_office_key:
        terminal.bad(
            N_(
                "the office key of this home has ended: bring the newer one from a later backup, or let auditors "
                "sign its successor"
            )
        )
    if not made.has_authority:
        terminal.bad(N_("the log names a newer CA than this home holds: coordinator certificate renew begins another"))
    terminal.note(
        N_(
            "not back in any case: invites that were not used yet, messages of rounds (an open round ends "
            "without a sum), the calendar since the backup"
        )
    )
    terminal.say(
        N_(
            "Next: coordinator serve; tell the members (coordinator incident TEXT --category availability); "
            "those whose node ended start it again"
        )
    )
    complete = not made.missing and not made.nameless and not made.ahead
    return OK if complete and made.has_office_key and made.has_authority else FOUND
