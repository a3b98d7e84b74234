"""`coordinator matters`, `clock`, `incident`, `erase`, `end-key`: what the office owes to its members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.wording import N_
from coordinator.commands.console import HOME, Home, Json, Yes, _, office_of, terminal
from shell.terminal import FOUND, OK

CATEGORIES = {
    "refusal": N_("a node refused a run"),
    "key": N_("a key was lost or stolen"),
    "audit": N_("an auditor found something"),
    "availability": N_("something could not be reached"),
    "data": N_("a member's data were wrong"),
    "privacy": N_("somebody learned what they should not"),
    "other": N_("anything else"),
}
PHASES = {
    "open": N_("waits for an answer"),
    "answered": N_("this is the answer"),
    "closed": N_("nothing is left to do"),
}
GROUNDS = {
    "retention-ended": N_("its time is over"),
    "member-left": N_("its member has left"),
    "authority": N_("an authority demands it"),
}


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the coordinator's."""
    app.command("matters", help=_("What waits for the office's answer.\n\nExample: coordinator matters"))(matters)
    app.command(
        "clock",
        help=_(
            "Up to when this machine's clock is known to be right, and with --is-right: it was compared.\n\n"
            "Example: coordinator clock --is-right"
        ),
    )(clock)
    app.command(
        "incident",
        help=_(
            "Log an incident, or with --about the answer to what waits; the words stay off the log.\n\n"
            'Example: coordinator incident "the bundle was renewed" --about 41 --category refusal --state answered'
        ),
    )(incident)
    app.command(
        "erase",
        help=_(
            "Log that a document goes, then delete it; its digest stays in the log.\n\n"
            "Example: coordinator erase sha256:1f… --contributions"
        ),
    )(erase)
    app.command(
        "end-key",
        help=_("End a key of a member or an auditor.\n\nExample: coordinator end-key sha256:9c… --compromised"),
    )(end_key)


def clock(
    is_right: Annotated[
        bool, typer.Option("--is-right", help=_("the clock was compared with another, and may sign"))
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """After days without nodes and entries nothing but somebody's look says that it is right."""
    from contracts.fields import time_text
    from coordinator.store.clock import confirm, right_until

    office = office_of(home)
    if is_right:
        confirm(home)
    state = office.log.state()
    with office.database.read() as session:
        seen = {"now": time_text(datetime.now(UTC)), "right_until": time_text(right_until(session, home, state))}
    if as_json:
        terminal.json(seen)
    else:
        terminal.say(N_("this clock says {now}; known to be right up to {right_until}"), **seen)
    return OK


def matters(home: Home = HOME, as_json: Json = False) -> int:
    """Refusals that lie with the office, compromised keys, audits with findings, open incidents; and why runs wait."""
    from coordinator.learning.waiting import waits
    from coordinator.trust.duties import open_matters
    from coordinator.trust.members import names
    from coordinator.trust.reasons import matter_in_words

    office = office_of(home)
    runs = waits(office, names(office.database))
    waiting = [
        (*one, *matter_in_words(office, one[0], _)) for one in open_matters(office.log.state(), datetime.now(UTC))
    ]
    if as_json:
        terminal.json(
            [
                {"index": m.index, "since": m.since, "late": late, "what": what, "do": do}
                for m, late, what, do in waiting
            ]
            + [one.as_dict(_) | {"late": False} for one in runs]
        )
    for matter, late, what, do in () if as_json else waiting:
        (terminal.bad if late else terminal.note)(
            N_("entry {index}, since {since}: {what}\n  -> {do}"),
            index=matter.index,
            since=matter.since,
            what=what,
            do=do,
        )
    for one in () if as_json else runs:
        terminal.note(one.sentence(_))
    if not as_json and not waiting:
        terminal.ok(N_("nothing waits for an answer"))
    return FOUND if any(late for _matter, late, *_words in waiting) else OK


def incident(
    text: Annotated[str, typer.Argument(help=_("what happened, or the answer"))],
    about: Annotated[int, typer.Option(help=_("entry that this answers"), show_default=False)] = -1,
    category: Annotated[str, typer.Option(help=", ".join(CATEGORIES))] = "other",
    state: Annotated[str, typer.Option(help=", ".join(PHASES))] = "open",
    home: Home = HOME,
) -> int:
    """The words stand in a salted document."""
    from coordinator.trust.duties import note_incident

    terminal.choose("--category", category, CATEGORIES)
    terminal.choose("--state", state, PHASES)
    named = None if about < 0 else about
    index = note_incident(office_of(home), text, about=named, category=category, phase=state, now=datetime.now(UTC))
    terminal.ok(N_("in the log as entry {index}"), index=index)
    return OK


def erase(
    document: Annotated[str, typer.Argument(help=_("digest of the document"))],
    contributions: Annotated[bool, typer.Option("--contributions", help=_("what a list names, not the list"))] = False,
    ground: Annotated[str, typer.Option(help=", ".join(GROUNDS))] = "retention-ended",
    yes: Yes = False,
    home: Home = HOME,
) -> int:
    """The rules refuse what must still be kept."""
    from coordinator.trust.duties import erase as go

    terminal.choose("--ground", ground, GROUNDS)
    terminal.confirm(N_("Delete for good?"), yes)
    gone = go(office_of(home), document, contributions=contributions, ground=ground, now=datetime.now(UTC))
    terminal.ok(N_("{n} documents deleted; the log says so"), n=gone)
    return OK


def end_key(
    key: Annotated[str, typer.Argument(help=_("the key, as status and matters name it"))],
    compromised: Annotated[bool, typer.Option("--compromised", help=_("somebody else may hold it"))] = False,
    yes: Yes = False,
    home: Home = HOME,
) -> int:
    """A lost key can be followed only with the auditors' signatures."""
    from coordinator.trust.duties import end_key as end

    terminal.confirm(N_("End this key for good?"), yes)
    index = end(office_of(home), key, compromised=compromised, now=datetime.now(UTC))
    terminal.ok(N_("in the log as entry {index}"), index=index)
    return OK
