"""`client-node consent`: show, sign, narrow, renew, withdraw."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client_node.commands.console import HOME, Home, Json, _, terminal
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import FOUND, OK, epsilon, write_line

if TYPE_CHECKING:
    from client_node.link.mirror import Mirror
    from client_node.link.uplink import Uplink
    from client_node.settings import Settings
    from contracts.statements.statements import Consent
    from contracts.terms.agreement import Terms

consent = Commands(help=_("Show, sign, narrow, renew or withdraw this member's consent."))
Yes = Annotated[bool, typer.Option("--yes", help=_("consent without being asked"))]
Delegation = Annotated[
    Path | None, typer.Option(help=_("document by which somebody other than the legal representative signs"))
]


@consent.command("sign", help=_("Read the active agreement and consent to it.\n\nExample: client-node consent sign"))
def sign(yes: Yes = False, delegation: Delegation = None, home: Home = HOME) -> int:
    """The member's signature, over everything that the agreement and this node's own limits allow."""
    from client_node.membership import consents

    settings, mirror, uplink, terms = _shown(home)
    terminal.confirm(N_("Consent and sign?"), yes)
    given_by = consents.spoken_for(settings, delegation)
    made = consents.grant(settings, mirror, terms, terminal.lang, given_by=given_by)
    return _send(settings, mirror, uplink, made)


@consent.command(
    "narrow",
    help=_(
        "Allow less than before: fewer tasks, a smaller budget, fewer rounds, an earlier end.\n\n"
        "Example: client-node consent narrow --epsilon-year 2 --task risk"
    ),
)
def narrow(
    task: Annotated[list[str], typer.Option("--task", help=_("task that stays allowed (repeat); all by default"))] = (),  # type: ignore[assignment]
    epsilon_run: Annotated[
        str, typer.Option(parser=epsilon, help=_("most epsilon of one run"), show_default=False)
    ] = "",
    epsilon_year: Annotated[
        str, typer.Option(parser=epsilon, help=_("most epsilon of one year"), show_default=False)
    ] = "",
    rounds: Annotated[int, typer.Option(help=_("most rounds of one run"), show_default=False)] = 0,
    until: Annotated[str, typer.Option(help=_("last moment, as 2026-12-31T00:00:00Z"), show_default=False)] = "",
    yes: Yes = False,
    delegation: Delegation = None,
    home: Home = HOME,
) -> int:
    """Only narrower; for anything wider: sign again."""
    from client_node.membership import consents

    settings, mirror, uplink, _terms = _shown(home)
    made = consents.narrowed(
        settings,
        mirror,
        terminal.lang,
        given_by=consents.spoken_for(settings, delegation),
        tasks=tuple(task),
        epsilon_run=epsilon_run,
        epsilon_year=epsilon_year,
        rounds=rounds,
        until=until,
    )
    _say(made, N_("Allowed from now on: tasks {tasks}; epsilon at most {run} a run and {year} a year; until {until}"))
    terminal.confirm(N_("Consent and sign?"), yes)
    return _send(settings, mirror, uplink, made)


@consent.command(
    "renew",
    help=_(
        "Prolong the consent, all else as it was.\n\nExample: client-node consent renew --until 2027-06-30T00:00:00Z"
    ),
)
def renew(
    until: Annotated[
        str, typer.Option(help=_("last moment; that of the agreement by default"), show_default=False)
    ] = "",
    yes: Yes = False,
    delegation: Delegation = None,
    home: Home = HOME,
) -> int:
    """What has expired needs a new signature: sign."""
    from client_node.membership import consents

    settings, mirror, uplink, terms = _shown(home)
    given_by = consents.spoken_for(settings, delegation)
    made = consents.renewed(settings, mirror, terminal.lang, given_by=given_by, until=until or terms.valid_to)
    terminal.confirm(N_("Consent and sign?"), yes)
    return _send(settings, mirror, uplink, made)


def _shown(home: Path) -> tuple[Settings, Mirror, Uplink, Terms]:
    """The node with the newest log, after the very text that is consented to was printed."""
    from client_node.home import connected, follow
    from client_node.membership import consents
    from contracts.terms.check import check
    from contracts.terms.prose import check_prose
    from contracts.terms.reading import FINGERPRINT, readable

    settings, mirror, _budget, uplink = connected(home)
    follow(mirror, uplink)
    terms = consents.active_terms(mirror)
    check_prose(terms)
    check(terms)
    write_line(readable(terms, terminal.lang))
    terminal.say(FINGERPRINT, origin=mirror.log.name, print=mirror.pins().fingerprint())
    return settings, mirror, uplink, terms


def _send(settings: Settings, mirror: Mirror, uplink: Uplink, made: Consent) -> int:
    from client_node.membership import consents

    index = consents.send(settings, mirror, uplink, made)
    consents.forget_withdrawal(settings)
    terminal.ok(N_("signed and in the log as entry {index}; the proof was verified and kept"), index=index)
    return OK


def _say(made: Consent, text: str) -> None:
    assert made.scope is not None
    terminal.say(
        text,
        tasks=", ".join(made.scope.tasks),
        run=made.scope.epsilon_run_max,
        year=made.scope.epsilon_year_max,
        until=made.expires_at,
    )


@consent.command(
    "show",
    help=_("Show the agreement and this member's consent.\n\nExample: client-node consent show --html agreement.html"),
)
def show(
    html: Annotated[Path | None, typer.Option(help=_("write the agreement as a page for the browser"))] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Works without the coordinator."""
    from client_node.home import local
    from client_node.membership import consents
    from contracts.leaving import leaving
    from contracts.terms.reading import FINGERPRINT, page, readable

    settings, mirror, _budget = local(home)
    terms = consents.active_terms(mirror)
    event = mirror.state.consent(settings.member, terms.digest())
    live = event is not None and not event.is_end() and not consents.is_withdrawn(settings)
    if as_json:
        said = [
            e.consent.model_dump(mode="json") | {"index": e.index} for e in mirror.state.consent_events(settings.member)
        ]
        shown = [asdict(one) for one in leaving(mirror.state, settings.member)]
        terminal.json({"agreement": terms.digest(), "live": live, "events": said[::-1], "leaving": shown})
        return OK
    if html:
        pins = mirror.pins()
        html.write_text(
            page(terms, terminal.lang, _, origin=pins.origin, fingerprint=pins.fingerprint()), encoding="utf-8"
        )
        terminal.ok(N_("page in {path}"), path=html)
    else:
        write_line(readable(terms, terminal.lang))
        terminal.say(FINGERPRINT, origin=mirror.log.name, print=mirror.pins().fingerprint())
    if not live or event is None or event.consent.scope is None:
        why, values = consents.without_consent(settings, mirror, terms)
        terminal.note(N_("this member has no consent to the active agreement"))
        terminal.note(why, **values)
        terminal.say(N_("read it and consent: client-node consent sign"))
        return OK
    terminal.ok(
        N_("consented, entry {index}, until {until}; epsilon at most {run} a run and {year} a year"),
        index=event.index,
        until=event.consent.expires_at,
        run=event.consent.scope.epsilon_run_max,
        year=event.consent.scope.epsilon_year_max,
    )
    return OK


@consent.command(
    "withdraw",
    help=_(
        "Withdraw. Counts on this node at once, also when the chamber cannot be reached. Where members are "
        "summed in groups, "
        "first shows what the difference of the sums before and after would tell.\n\n"
        "Example: client-node consent withdraw"
    ),
)
def withdraw(
    yes: Annotated[bool, typer.Option("--yes", help=_("withdraw without being asked"))] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Protecting data fails open; but what a leave shows of this member is said before it is shown."""
    from client_node.home import connected
    from client_node.membership import consents
    from contracts.leaving import leaving

    settings, mirror, _budget, uplink = connected(home)
    shown = leaving(mirror.state, settings.member)
    asks = not yes and any(one.plus_minus is not None for one in shown)
    if as_json:
        reached = None if asks else consents.withdraw(settings, mirror, uplink)
        terminal.json({"withdrawn": not asks, "in_log": bool(reached), "leaving": [asdict(one) for one in shown]})
        return FOUND if asks else OK
    for one in shown:
        terminal.note(one.sentence(_))
    terminal.confirm(N_("Withdraw?"), not asks)
    reached = consents.withdraw(settings, mirror, uplink)
    terminal.ok(N_("withdrawn: this node contributes nothing from now on"))
    if not reached:
        terminal.note(N_("the chamber does not know yet; the node tells it as soon as it is reached"))
    return OK
