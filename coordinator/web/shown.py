"""What each port shows to who connects: the chamber's certificate to nodes, another to browsers;
renewals need no restart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext

from contracts.errors import Unavailable
from contracts.wording import N_
from coordinator.office import Office
from coordinator.trust import renewal
from shell.certificate_warnings import Warned
from shell.log_lines import log_event


@dataclass(frozen=True, slots=True)
class PeoplesDoor:
    """A second port, with a certificate that browsers trust. Nodes trust the chamber's own and no other,
    so they cannot share one."""

    port: int
    certificate: Path
    key: Path

    def context(self) -> SSLContext:
        """What is shown at this port; Unavailable if the files are no certificate and its key."""
        what = N_("{path} cannot be shown to browsers")
        do = N_("name a certificate chain and its key, both PEM: --tls CERTIFICATE KEY")
        return context_of(self.certificate, self.key, what, do)


def context_of(certificate: Path, key: Path, what: str, do: str) -> SSLContext:
    """What shows this certificate; Unavailable in these words if the files are no certificate and its key."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(what, why=N_("{error}"), do=do, path=certificate, error=error) from error
    return made


class Shown:
    """One certificate, as new as its files."""

    def __init__(self, context: SSLContext, certificate: Path, key: Path):
        self._context, self._certificate, self._key = context, certificate, key
        self._seen = self._stamp()

    def _stamp(self) -> tuple[float, ...]:
        return tuple(path.stat().st_mtime for path in (self._certificate, self._key) if path.exists())

    def look(self) -> None:
        """Show what lies there now; what cannot be shown is said once, and the one of before is kept. In the thread
        that accepts connections."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._context.load_cert_chain(self._certificate, self._key)
            log_event.info("another certificate is shown", path=str(self._certificate))
        except (OSError, ssl.SSLError) as error:
            log_event.error("a certificate cannot be shown", path=str(self._certificate), what=str(error))


class Turns:
    """Whose turn it is among the chamber's own certificates, and when to warn of the end of the newest."""

    def __init__(self, office: Office):
        self._office, self._warned = office, Warned("coordinator certificate renew")

    def look(self) -> None:
        """Put what is renewed into place, and warn of the end."""
        now, settings = datetime.now(UTC), self._office.settings
        renewal.turn(settings, self._office.log.state(), now)
        self._warned.look(renewal.ends(settings), now)
