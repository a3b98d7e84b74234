"""The fold's state in a home's own file, so that a program need not fold the whole log at every start.

A snapshot is never taken from outside. A MAC under a secret of this home, which also covers the code of the rules, is
checked before the pickle is opened; and its state counts only where its root is the root of the entries that are here.
Whatever does not fit is as good as absent: the log is folded from its first entry.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

import pydantic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.log.merkle import Tree, leaf_hash
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState

EVERY = 1000  # entries that a start may fold before it leaves a newer snapshot
_MAC = 32
Entries = Callable[[int, int | None], Iterable[bytes]]


class Snapshot:
    """One file; `key` is any private key that never leaves this home."""

    def __init__(self, path: Path, key: Ed25519PrivateKey):
        self._path = path
        self._secret = HKDF(SHA256(), 32, salt=None, info=b"mengbang snapshot").derive(key.private_bytes_raw())

    def resume(self, entries: Entries) -> tuple[TrustState, Tree]:
        """State and tree of all that `entries(start, end)` gives; only what no fitting snapshot covers is folded."""
        state, tree = self._begin(entries)
        began = state.size
        for entry in entries(began, None):
            state, _ = apply(state, entry, state.size)
            tree.extend([leaf_hash(entry)])
        if state.size - began >= EVERY:
            self._write(state, tree.root())
        return state, tree

    def _begin(self, entries: Entries) -> tuple[TrustState, Tree]:
        kept = self._read()
        if kept is not None:
            state, root = kept
            tree = Tree(map(leaf_hash, entries(0, state.size)))
            if (tree.size, tree.root().hex()) == (state.size, root):
                return state, tree
        return EMPTY, Tree()

    def _read(self) -> tuple[TrustState, str] | None:
        try:
            held = self._path.read_bytes()
        except OSError:
            return None
        mac, data = held[:_MAC], held[_MAC:]
        if not hmac.compare_digest(mac, self._mac(data)):
            return None
        with suppress(ValueError):
            return _written().validate_json(data)
        return None

    def _write(self, state: TrustState, root: bytes) -> None:
        # a full disk, or a chain of consents deeper than JSON goes, costs time at the next start and nothing else
        with suppress(OSError, ValueError):
            data = _written().dump_json((state, root.hex()))
            part = self._path.with_name(self._path.name + ".part")
            part.write_bytes(self._mac(data) + data)
            part.replace(self._path)

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, _code() + data, "sha256")


@cache
def _written() -> pydantic.TypeAdapter[tuple[TrustState, str]]:
    """How a state and its root stand in the file: JSON, by the types of their fields."""
    return pydantic.TypeAdapter(tuple[TrustState, str])


@cache
def _code() -> bytes:
    """Digest of all that decides what a state holds: the statements, their rules, and what keeps their objects."""
    code = hashlib.sha256(f"{sys.version} {pydantic.VERSION}".encode())
    for path in sorted(Path(str(files("contracts"))).rglob("*.py")):
        code.update(path.read_bytes())
    return code.digest()
