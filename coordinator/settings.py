"""The coordinator's home folder: what the chamber is called, its keys and its certificates."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from shell.places import check_empty
from shell.text_files import UNREADABLE, read_table
from shell.unix import keep_private

if TYPE_CHECKING:
    from sqlalchemy import URL

KEYS = ("log", "office", "agreement")
DATABASE, OTHERS_DATABASE = "MENGBANG_DATABASE_URL", "DATABASE_URL"
ABOUT, FILE = "coordinator.json", "coordinator.db"
BACKENDS = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once by `cli.py` and passed down."""

    home: Path
    name: str
    code_digest: str
    domain: str
    url: str
    log_key: Ed25519PrivateKey
    office_key: Ed25519PrivateKey
    agreement_key: Ed25519PrivateKey
    database_at: str = field(default="", repr=False)

    @property
    def origin(self) -> str:
        """Name of the log and of its key."""
        return f"chamber.{self.domain}/consent-log"

    @property
    def database_url(self) -> URL:
        """Where the log and everything else is stored: what the home remembers or MENGBANG_DATABASE_URL says, else the
        SQLite file in the home. Malformed if it names no SQLite file and no PostgreSQL database."""
        from sqlalchemy import URL

        return _read_url(self.database_at) if self.database_at else URL.create("sqlite", database=str(self.home / FILE))


def _read_url(text: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in BACKENDS or not url.database:
        raise Malformed(
            N_("{name} names no database that a coordinator can use"),
            why=N_("SQLite and PostgreSQL are known"),
            do=N_("write postgresql://USER@HOST/NAME or sqlite:////FOLDER/FILE, or leave it out"),
            code="DATABASE",
            name=DATABASE,
        )
    return url


def write_private(path: Path, data: bytes) -> None:
    """Create a file that only its owner can read; never replaces one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Keep a private key; never replaces one."""
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def check_free(home: Path) -> None:
    """Unavailable if something lies where a new home shall be."""
    if (home / ABOUT).exists():
        raise Unavailable(
            N_("{home} holds a coordinator already"),
            why=N_("its keys sign a log that members have pinned"),
            do=N_("choose another folder with --home"),
            home=home,
        )
    check_empty(home)


def create_home(home: Path, *, name: str, code_digest: str, domain: str, url: str) -> Settings:
    """A new home with fresh keys, which remembers its database; Unavailable if its place is taken."""
    check_free(home)
    (home / "keys").mkdir(parents=True)
    for role in KEYS:
        write_key(home / "keys" / f"{role}.pem", Ed25519PrivateKey.generate())
    about = {"name": name, "code_digest": code_digest, "domain": domain, "url": url, "database": _database_at({})}
    write_private(home / ABOUT, json.dumps(about, ensure_ascii=False, indent=2).encode())
    return read_home(home)


def read_home(home: Path) -> Settings:
    """The settings of an existing home; refuses private keys that others can read."""
    keep_private(home)
    if not (home / ABOUT).exists():
        raise Unavailable(
            N_("{home} holds no coordinator"),
            why=N_("its first command has not been run"),
            do=N_("coordinator init --name NAME --domain DOMAIN"),
            home=home,
        )
    about = _read_about(home / ABOUT)
    log, office, agreement = (read_key(home / "keys" / f"{role}.pem") for role in KEYS)
    return Settings(
        home,
        about["name"],
        about["code_digest"],
        about["domain"],
        about["url"],
        log,
        office,
        agreement,
        _database_at(about),
    )


def _read_about(path: Path) -> dict[str, str]:
    restore = N_("mend the file by hand, or restore it from a copy")
    about = read_table(path, do=restore)
    for name in ("name", "code_digest", "domain", "url"):
        if not isinstance(about.get(name), str):
            raise Malformed(UNREADABLE, why=N_("its field {field} is no text"), do=restore, path=path, field=name)
    return about


def _database_at(about: dict[str, str]) -> str:
    """MENGBANG_DATABASE_URL, else what the home remembers. DATABASE_URL may be another program's: it is never read."""
    if DATABASE not in os.environ and os.environ.get(OTHERS_DATABASE):
        raise Unavailable(
            N_("{others} is set, and {name} is not"),
            why=N_("{others} may be meant for another program; a coordinator does not read it"),
            do=N_("unset {others}, or set {name} to the database of this coordinator"),
            code="DATABASE",
            others=OTHERS_DATABASE,
            name=DATABASE,
        )
    return os.environ.get(DATABASE) or about.get("database", "")


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key at `path`; refuses one that others can read."""
    if os.name != "nt" and path.stat().st_mode & 0o077:
        raise Unavailable(N_("the key {path} can be read by others"), do=N_("chmod 600 {path}"), path=path)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(N_("{path} is not a key of this coordinator"), path=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(N_("{path} is not a key of this coordinator"), path=path)
    return key
