"""A node's home folder: the member's own limits, its keys, and the invite that says whom to trust."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from privacy.plan import PlanError, decimal
from shell.text_files import read_table, read_text
from shell.unix import keep_private

CONFIG = "config.toml"
INVITE = {
    "schema",
    "chamber",
    "origin",
    "url",
    "ca_pem",
    "ca_fingerprint",
    "member",
    "name",
    "code",
    "secret",
    "expires_at",
    "genesis",
    "log_vkey",
}


@dataclass(frozen=True)  # without slots: the invite is kept once it was read
class Settings:
    """Read once by `cli.py` and passed down."""

    home: Path
    data: Path
    epsilon_run_max: str
    epsilon_year_max: str
    epsilon_ceiling: str
    delta: str
    node_key: Ed25519PrivateKey
    witness_key: Ed25519PrivateKey
    known: frozenset[str] = frozenset()  # company codes or node keys of members that this one knows
    known_min: int = 0  # of whom so many must be in a round

    @cached_property
    def invite(self) -> dict[str, Any]:
        """The invite this node joined with; Unavailable before `join`."""
        path = self.home / "invite.json"
        if not path.exists():
            raise Unavailable(N_("this node has not joined a chamber"), do=N_("client-node join INVITE"))
        words = N_("{path} is not the invite that this node joined with"), N_("restore it from a copy of this home")
        held = read_table(path, *words)
        if "member" not in held or not all(isinstance(text, str) for text in held.values()):
            raise Malformed(words[0], do=words[1], path=path)
        return held

    @property
    def member(self) -> str:
        """This member's id on the log."""
        return str(self.invite["member"])


def read_home(home: Path) -> Settings:
    """Settings of an existing node; refuses private keys that others can read."""
    keep_private(home)
    if not (home / CONFIG).exists():
        raise Unavailable(N_("{home} holds no node"), do=N_("client-node init --data FOLDER"), home=home)
    try:
        config = tomllib.loads(read_text(home / CONFIG, do=N_("mend the file by hand")))
        data, limits = Path(config["data"]["folder"]), config["limits"]
        caps = [limits[f"epsilon_{name}"] for name in ("run_max", "year_max")] + [limits.get("epsilon_ceiling", "8")]
        run, year, ceiling = (str(decimal(str(text), "epsilon")) for text in caps)
        delta = str(limits.get("delta", "1e-6"))
        if not re.fullmatch(r"1e-([5-9]|1[0-2])", delta):
            raise PlanError(f"delta must be 1e-5 ... 1e-12, got {delta!r}")
        known, known_min = _trusted(config.get("trust", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no TOML, or of another form
        raise Malformed(
            N_("{path} cannot be read: {error}"), do=N_("mend the file by hand"), path=home / CONFIG, error=error
        ) from error
    node, witness = (read_key(home / "keys" / f"{name}.pem") for name in ("node", "witness"))
    return Settings(home, data, run, year, ceiling, delta, node, witness, known, known_min)


def is_invite(held: dict[str, Any]) -> bool:
    """Are these the fields of an invite, each a text?"""
    return (
        held.keys() == INVITE
        and all(isinstance(text, str) for text in held.values())
        and held["schema"] == "mengbang-invite/1"
    )


def _trusted(held: dict[str, Any]) -> tuple[frozenset[str], int]:
    """(company codes or node keys of members that this one knows, how many of them it wants in a round)."""
    known, least = held.get("known", []), held.get("known_min", 0)
    if not isinstance(known, list) or not all(isinstance(code, str) for code in known) or type(least) is not int:
        raise PlanError("[trust] names company codes or keys in known, and a whole number in known_min")
    if not 0 <= least <= len(set(known)):
        raise PlanError(f"known_min is at most the number of members in known, got {least}")
    return frozenset(known), least


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Keep a private key, on disk and readable by its owner only; never replaces one."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key at `path`; refuses one that others can read."""
    if path.stat().st_mode & 0o077 and os.name != "nt":
        raise Unavailable(N_("the key {path} can be read by others"), do=N_("chmod 600 {path}"), path=path)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Malformed(N_("{path} is not a key of this node"), path=path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Malformed(N_("{path} is not a key of this node"), path=path)
    return key


def claim(home: Path) -> IO[str]:
    """Hold the home for one long-lived process; Unavailable if another holds it, or it is
    none. Released when closed."""
    read_home(home)
    lock = (home / "run.lock").open("w", encoding="ascii")
    try:
        _lock(lock)
    except OSError as error:
        raise Unavailable(
            N_("another client-node runs on {home}"),
            why=N_("two would spend one budget"),
            do=N_("end the other one first"),
            home=home,
        ) from error
    return lock


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
