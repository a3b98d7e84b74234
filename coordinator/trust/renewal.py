"""Renewal of what nodes are shown: by the CA of before while its key is at hand and it lasts, else by a new CA.

A new CA is an entry of the log, from which nodes learn it; for 60 days both count. Until then the certificate of the
older one is shown, with a bridge for whoever trusts the newer alone (invites made since), and the new one lies ready in
`tls/next.pem`. Everything is made in `tls/renewal` and comes to its place once the log names it, so a command that was
killed goes on or begins anew.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from contracts.envelope import seal, to_base64
from contracts.errors import Refused
from contracts.fields import moment, new_id, time_text
from contracts.rules.members import OVERLAP_DAYS, overlap_ends
from contracts.rules.state import TrustState
from contracts.statements.closed_list import payload
from contracts.statements.statements import Authority
from contracts.wording import N_
from coordinator.office import Office
from coordinator.settings import Settings, write_private
from coordinator.trust.certificates import (
    bridge,
    ca_digest,
    new_issuer,
    opened,
    pem,
    read_certificate,
    sealed,
    server_certificate,
)
from coordinator.trust.host import host_of

STAGED, NEXT = "renewal", "next.pem"
LEAST = timedelta(days=365)  # that a CA must last to sign once more
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal gave: when the newest certificate ends, since when it is shown, and the entry of a new CA."""

    ends: datetime
    shown_from: datetime
    entry: int | None


def needs_new_authority(settings: Settings, state: TrustState, now: datetime) -> bool:
    """The key of the CA is not at hand, as in homes of before, or it ends too soon; or the log names a newer CA than
    this home holds, which is an older one that was restored."""
    issuer = opened(settings.home / "tls", settings.office_key)
    is_newest = ca_digest(settings.home / "tls") == state.authority()
    return issuer is None or not is_newest or issuer.certificate.not_valid_after_utc - now < LEAST


def renew(office: Office, now: datetime) -> Renewed:
    """Renew what is shown to nodes; goes on with a renewal that was cut off. Refused while an earlier one waits to be
    shown, and where this clock is behind the log."""
    settings, folder = office.settings, office.settings.home / "tls"
    before = office.log.state().authority()
    _check_clock(office.log.state(), now)
    if not settle(settings, office.log.state()):
        turn(settings, office.log.state(), now)
        _check_waits_for_nothing(settings, office.log.state())
        _stage(settings, office.log.state(), now)
        if (folder / STAGED / "ca.pem").exists():
            _name(office, folder / STAGED, now)
        _put_in_place(folder)
    state = office.log.state()
    at = turns_at(settings, state)
    is_new = at is not None or state.authority() != before
    return Renewed(ends(settings), at or now, state.authorities[-1].index if is_new else None)


def ends(settings: Settings) -> datetime:
    """When the newest certificate ends, shown already or ready to be."""
    folder = settings.home / "tls"
    path = folder / NEXT if (folder / NEXT).exists() else folder / "server.pem"
    return read_certificate(path).not_valid_after_utc


def turns_at(settings: Settings, state: TrustState) -> datetime | None:
    """When the certificate that lies ready is shown: at the end of the overlap, or before that of the one shown now."""
    folder = settings.home / "tls"
    if not (folder / NEXT).exists() or not state.authorities:
        return None
    overlap = moment(overlap_ends(state.authorities[-1].named_at))
    return min(overlap, read_certificate(folder / "server.pem").not_valid_after_utc - DAY)


def turn(settings: Settings, state: TrustState, now: datetime) -> None:
    """Finish a renewal that was cut off, and show what lies ready once it is its turn."""
    settle(settings, state)
    at = turns_at(settings, state)
    if at is not None and at <= now:
        os.replace(settings.home / "tls" / NEXT, settings.home / "tls" / "server.pem")


def settle(settings: Settings, state: TrustState) -> bool:
    """Put in place what a renewal made that was cut off after the log had named its CA. Anything else is made anew."""
    folder = settings.home / "tls"
    staged = folder / STAGED
    newest = (
        staged if (staged / "ca.pem").exists() else folder
    )  # without one, it signs as before or is in place already
    if not staged.exists() or ca_digest(newest) != state.authority():
        return False
    _put_in_place(folder)
    return True


def _check_clock(state: TrustState, now: datetime) -> None:
    """What is renewed by a clock that is behind ends too early, and what one that was ahead began is not yet valid."""
    if time_text(now) < state.not_before:
        raise Refused(
            N_("the log speaks of a time that this clock has not reached: {at}"),
            why=N_("a certificate of the wrong day would be taken by no node"),
            do=N_("set the clock of this machine, then try again"),
            code="CLOCK",
            at=state.not_before,
        )


def _check_waits_for_nothing(settings: Settings, state: TrustState) -> None:
    at = turns_at(settings, state)
    if at is not None:
        raise Refused(
            N_("the certificate was renewed already"),
            why=N_("the new one is shown from {at} on, when all nodes have had {days} days to learn its CA"),
            do=N_("nothing needs to be done; coordinator serve shows it at that time"),
            code="RENEWED",
            at=time_text(at),
            days=OVERLAP_DAYS,
        )


def _stage(settings: Settings, state: TrustState, now: datetime) -> None:
    """Make everything in a folder of its own, which is there as a whole or not at all."""
    folder = settings.home / "tls"
    part = folder / f"{STAGED}.part"
    for old in (part, folder / STAGED):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir()
    for name, data in _made(settings, state, now).items():
        write_private(part / name, data)
    part.rename(folder / STAGED)


def _made(settings: Settings, state: TrustState, now: datetime) -> dict[str, bytes]:
    """The files of a renewal. The key of the server stays: its certificate alone is replaced, by one file at once."""
    folder, hosts = settings.home / "tls", (settings.domain, host_of(settings.url))
    shown = read_certificate(folder / "server.pem")
    public = shown.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    issuer = opened(folder, settings.office_key)
    if issuer is not None and not needs_new_authority(settings, state, now):
        return {"server.pem": pem(server_certificate(issuer, public, hosts, now))}
    issuer = new_issuer(settings.name, hosts[0], now)
    fresh = pem(server_certificate(issuer, public, hosts, now))
    files = {"ca.pem": pem(issuer.certificate), "ca.key": sealed(issuer.key, settings.office_key)}
    if shown.not_valid_after_utc - now < DAY:
        return {**files, "server.pem": fresh}
    until = now + timedelta(days=OVERLAP_DAYS) + DAY
    way = bridge(issuer, read_certificate(folder / "ca.pem"), now, until)
    return {**files, "server.pem": pem(shown, way), NEXT: fresh}


def _name(office: Office, staged: Path, now: datetime) -> None:
    certificate: x509.Certificate = read_certificate(staged / "ca.pem")
    der, state = certificate.public_bytes(Encoding.DER), office.log.state()
    said = Authority(
        record_id=new_id(), issued_at=time_text(now), certificate=to_base64(der), replaces=state.authority()
    )
    office.log.append(seal(payload(said), [office.settings.office_key]))
    office.log.publish()


def _put_in_place(folder: Path) -> None:
    """File by file; another process may do the same."""
    with suppress(FileNotFoundError):
        for path in sorted((folder / STAGED).iterdir()):
            os.replace(path, folder / path.name)
        (folder / STAGED).rmdir()
