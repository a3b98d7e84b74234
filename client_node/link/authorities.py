"""Whom a node trusts to be the chamber: the CA of its invite, and those that the cosigned log has named since.

An entry that names a new CA counts once a quorum has cosigned a checkpoint that covers it: a coordinator that was
broken into, or whoever has its log key alone, cannot lead one node away from what all others see. The replaced CA
counts for 60 days more. What counts is kept in a file beside the invite.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from contracts.envelope import digest, from_base64
from contracts.errors import Invalid, Malformed, TrustError
from contracts.fields import time_text
from contracts.rules.members import overlap_ends
from contracts.rules.state import NamedAuthority
from contracts.wording import N_

KEPT, ENDS = "authorities.json", "certificate.ends"


def check_pinned(invite: Mapping[str, Any]) -> None:
    """Malformed if the invite holds no single CA certificate, Invalid if it is not the one of the fingerprint."""
    try:
        [certificate] = x509.load_pem_x509_certificates(invite["ca_pem"].encode())
        found = _digest(certificate)
    except (ValueError, KeyError) as error:
        raise Malformed(N_("the invite holds no CA certificate"), do=N_("ask the chamber for a new one")) from error
    if found != invite["ca_fingerprint"]:
        raise Invalid(
            N_("the CA certificate in the invite does not match its fingerprint"),
            why=N_("expected {expected}, found {found}"),
            do=N_("do not join; ask the chamber over another channel"),
            code="CA_FINGERPRINT",
            expected=invite["ca_fingerprint"],
            found=found,
        )


def trusted(home: Path, invite: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """Digest -> certificate (PEM) of every CA that counts now, the newest last."""
    check_pinned(invite)
    counting = {str(invite["ca_fingerprint"]): str(invite["ca_pem"])}
    for one in kept(home, str(invite["genesis"])):
        pem = _pem(one)
        if pem is None:  # the office named what is no CA: nothing takes the place of the one before
            continue
        if overlap_ends(one.named_at) <= time_text(now):
            counting.pop(one.replaces, None)
        counting.pop(one.digest, None)
        counting[one.digest] = pem
    return counting


def kept(home: Path, genesis: str) -> list[NamedAuthority]:
    """The authorities of the log with this first entry that count for this node, in order."""
    path = home / KEPT
    if not path.exists():
        return []
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return [NamedAuthority(**one) for one in held["authorities"]] if held["genesis"] == genesis else []
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(
            N_("{path} cannot be read"),
            why=N_("{error}"),
            do=N_("delete it; the node writes it anew from the log that it follows"),
            path=path,
            error=error,
        ) from error


def keep(home: Path, genesis: str, authorities: Iterable[NamedAuthority]) -> None:
    """From now on these count."""
    held = {"genesis": genesis, "authorities": [asdict(one) for one in authorities]}
    _write(home / KEPT, json.dumps(held, indent=1))


def note_end(home: Path, ends: datetime | None) -> None:
    """Remember when the certificate ends that the coordinator shows."""
    if ends is not None and certificate_ends(home) != ends:
        with suppress(OSError):  # nothing but a warning hangs on it
            _write(home / ENDS, time_text(ends))


def certificate_ends(home: Path) -> datetime | None:
    """When the certificate ends that was shown last, as far as anybody knows."""
    try:
        return datetime.fromisoformat((home / ENDS).read_text(encoding="ascii")).astimezone(UTC)
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _digest(certificate: x509.Certificate) -> str:
    return digest(certificate.public_bytes(Encoding.DER))


def _pem(named: NamedAuthority) -> str | None:
    try:
        der = from_base64(named.certificate)
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.BasicConstraints)
    except (TrustError, ValueError, x509.ExtensionNotFound):
        return None
    return ssl.DER_cert_to_PEM_cert(der) if found.value.ca else None
