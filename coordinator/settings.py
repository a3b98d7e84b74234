"""The coordinator's home folder: what the chamber is called, its keys and its certificates."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from contracts.errors import Unavailable
from contracts.wording import N_
from shell.unix import keep_private

KEYS = ("log", "office", "agreement")


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
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "coordinator.db"

    @property
    def database_url(self) -> str:
        """Where the log and everything else is stored: DATABASE_URL of the environment, else the SQLite file."""
        return self.database_at or f"sqlite:///{self.database}"


def write_private(path: Path, data: bytes) -> None:
    """Create a file that only its owner can read; never replaces one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Keep a private key; never replaces one."""
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def create_home(home: Path, *, name: str, code_digest: str, domain: str, url: str) -> Settings:
    """A new home with fresh keys; Unavailable if there is one already."""
    if (home / "coordinator.json").exists():
        raise Unavailable(
            N_("{home} holds a coordinator already"),
            why=N_("its keys sign a log that members have pinned"),
            do=N_("choose another folder with --home"),
            home=home,
        )
    (home / "keys").mkdir(parents=True, exist_ok=True)
    for role in KEYS:
        write_key(home / "keys" / f"{role}.pem", Ed25519PrivateKey.generate())
    about = {"name": name, "code_digest": code_digest, "domain": domain, "url": url}
    (home / "coordinator.json").write_text(json.dumps(about, ensure_ascii=False, indent=2), encoding="utf-8")
    return read_home(home)


def read_home(home: Path) -> Settings:
    """The settings of an existing home; refuses private keys that others can read."""
    keep_private(home)
    try:
        about = json.loads((home / "coordinator.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Unavailable(
            N_("{home} holds no coordinator"),
            why=N_("its first command has not been run"),
            do=N_("coordinator init --name NAME --domain DOMAIN"),
            home=home,
        ) from error
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
        os.environ.get("DATABASE_URL", ""),
    )


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
