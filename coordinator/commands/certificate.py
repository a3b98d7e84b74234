"""`coordinator certificate`: what nodes are shown, how long it lasts, and its renewal."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.wording import N_
from coordinator.commands.console import HOME, Home, Json, Yes, _, office_of, terminal, warn_of_certificate
from shell.commandline import Commands
from shell.terminal import FOUND, OK

certificate = Commands(help=_("The certificate that nodes are shown, and its renewal."))


@certificate.command(
    "show", help=_("When the certificate ends, and which CA invites name.\n\nExample: coordinator certificate show")
)
def show(home: Home = HOME, as_json: Json = False) -> int:
    """Exit code 1 once it has ended."""
    from contracts.fields import time_text
    from contracts.log.fingerprints import grouped
    from coordinator.trust import renewal
    from coordinator.trust.certificates import ca_digest
    from shell.certificates import stage

    office, now = office_of(home), datetime.now(UTC)
    ends, turns_at = renewal.ends(office.settings), renewal.turns_at(office.settings, office.log.state())
    seen = {
        "ends": time_text(ends),
        "ca": grouped(ca_digest(office.settings.home / "tls")),
        "shown_from": turns_at and time_text(turns_at),
        "needs_new_ca": renewal.needs_new_authority(office.settings, office.log.state(), now),
    }
    if as_json:
        terminal.json(seen)
    else:
        terminal.say(N_("the newest certificate ends on {ends}; invites name the CA {ca}"), **seen)
        if turns_at:
            terminal.note(N_("it is shown from {shown_from} on; until then nodes learn its CA from the log"), **seen)
        state = office.log.state()
        if state.authorities and ca_digest(office.settings.home / "tls") != state.authority():
            terminal.bad(
                N_("the log names a newer CA than this home holds: coordinator certificate renew begins another")
            )
        warn_of_certificate(office.settings)
    return FOUND if stage(ends, now) == 0 else OK


@certificate.command(
    "renew",
    help=_(
        "Renew the certificate. Where the CA's key is not at hand, or the CA ends soon, a new CA begins: an entry of "
        "the log says so, and nodes learn it in 60 days.\n\nExample: coordinator certificate renew"
    ),
)
def renew(yes: Yes = False, home: Home = HOME) -> int:
    """A running coordinator shows it without a restart; an interrupted renewal goes on with the same command."""
    from contracts.fields import time_text
    from coordinator.trust import renewal

    office, now = office_of(home), datetime.now(UTC)
    if renewal.needs_new_authority(office.settings, office.log.state(), now):
        question = N_("Begin a new CA of this chamber? This clock says {now}: a time ahead cannot be taken back.")
        terminal.confirm(question, yes, now=time_text(now))
    made = renewal.renew(office, now)
    if made.entry is not None:
        terminal.ok(N_("a new CA is named by entry {index}; nodes that run follow by themselves"), index=made.entry)
    terminal.ok(
        N_("the new certificate ends on {ends} and is shown from {at} on"),
        ends=time_text(made.ends),
        at=time_text(made.shown_from),
    )
    return OK
