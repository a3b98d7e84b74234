"""Certificates as people meet them: how long one lasts, when to say so, and what a connection
that fails for one means."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from contracts.errors import TrustError, Unavailable
from contracts.fields import time_text
from contracts.wording import N_

WARN_DAYS = (60, 30, 7)
_NOT_YET_VALID, _ENDED = 9, 10  # X509_V_ERR of OpenSSL, found only where the chain leads to a trusted authority
_MINUTE = "%Y-%m-%d %H:%M UTC"


def days_left(ends: datetime, now: datetime) -> int:
    """Whole days until then, below zero once it has ended."""
    return (ends - now).days


def stage(ends: datetime, now: datetime) -> int | None:
    """The least of WARN_DAYS that is reached, 0 once it has ended; None while there is time."""
    if ends <= now:
        return 0
    return min((days for days in WARN_DAYS if days_left(ends, now) < days), default=None)


def warning(ends: datetime, now: datetime) -> tuple[str, dict[str, object]] | None:
    """A sentence and its values, from 60 days before the end on."""
    reached = stage(ends, now)
    if reached is None:
        return None
    what = (
        N_("the chamber's certificate ends on {at}, in {days} days")
        if reached
        else N_("the chamber's certificate ended on {at}")
    )
    return what, {"at": time_text(ends), "days": days_left(ends, now)}


def ended_or_early(url: str, error: BaseException) -> TrustError | None:
    """What to say of a certificate of the right authority that does not hold at this hour;
    None of any other failure."""
    code = next((one.verify_code for one in _causes(error) if isinstance(one, ssl.SSLCertVerificationError)), None)
    values = {"url": url, "now": datetime.now(UTC).strftime(_MINUTE)}
    if code == _NOT_YET_VALID:
        return Unavailable(
            N_("the certificate of {url} is not yet valid: this clock says {now}"),
            why=N_("the clock of this machine is behind, or that of the chamber was ahead"),
            do=N_("set the clock of this machine; what runs goes on by itself then"),
            code="CERTIFICATE_TIME",
            **values,
        )
    if code == _ENDED:
        return Unavailable(
            N_("the certificate of {url} has ended: this clock says {now}"),
            why=N_("the chamber has not renewed it in time, or the clock of this machine is ahead"),
            do=N_("compare the clock; if it is right, ask the chamber to run: coordinator certificate renew"),
            code="CERTIFICATE_TIME",
            **values,
        )
    return None


def is_of_tls(error: BaseException) -> bool:
    """Whether a connection failed because of what the other end showed."""
    return any(isinstance(one, ssl.SSLError) for one in _causes(error)) or "CERTIFICATE_VERIFY_FAILED" in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
