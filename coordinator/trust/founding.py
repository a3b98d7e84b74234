"""A chamber's first day: keys, certificates, database and the log's first entry, all of them or nothing."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from contracts.envelope import digest, public_text, seal
from contracts.fields import check_text, new_id, time_text
from contracts.log.checkpoint import LOG_KEY, NoteKey
from contracts.statements.closed_list import payload
from contracts.statements.statements import Genesis, QuorumRule
from coordinator.office import open_office
from coordinator.settings import ABOUT, Settings, check_free, create_home
from coordinator.trust.certificates import ca_digest, make_certificates
from coordinator.trust.host import address, host_name, host_of
from shell.places import new_home

QUORUM: QuorumRule = "members n//2+1, auditors 1"


def found(home: Path, *, name: str, domain: str, url: str = "", code: str = "") -> None:
    """Make the home of a new chamber. Malformed if a name is none, Unavailable if the place or the database is taken:
    then nothing was made."""
    host = host_name(domain)
    at = address(url or f"https://{f'[{host}]' if ':' in host else host}")
    for text in (name, at):
        check_text(text)
    check_free(home)
    with new_home(home, last=ABOUT) as made:
        salted = digest(secrets.token_bytes(16) + code.encode())
        settings = create_home(made, name=name, code_digest=salted, domain=host, url=at)
        make_certificates(made / "tls", settings.office_key, name=name, hosts=(host, host_of(at)))
        _begin_log(settings)


def _begin_log(settings: Settings) -> None:
    """Append the genesis, signed by every key that it names."""
    genesis = Genesis(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        origin=settings.origin,
        log_vkey=NoteKey(settings.origin, LOG_KEY, settings.log_key.public_key()).vkey(),
        office=public_text(settings.office_key.public_key()),
        agreement=public_text(settings.agreement_key.public_key()),
        ca=ca_digest(settings.home / "tls"),
        quorum=QUORUM,
    )
    office = open_office(settings, is_new=True)
    try:
        office.log.append(seal(payload(genesis), [settings.log_key, settings.office_key, settings.agreement_key]))
        office.log.publish()
    finally:
        office.database.close()
