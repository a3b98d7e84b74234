"""Pins: a member's own view of who the log is, which an auditor judges the evidence by."""

from __future__ import annotations

from contracts.fields import Digest, Index, MemberId, Strict
from contracts.log.checkpoint import NoteKey, parse_vkey
from contracts.log.fingerprints import of_log


class Pins(Strict):
    """Origin and key of the log, its first entry, the CA, the witnesses, and the newest state seen.

    Written by a member's node, never by the coordinator.
    """

    origin: str
    log_vkey: str
    genesis: Digest
    ca_pem: str
    cosigners: dict[str, str]
    size: Index
    root: Digest
    member: MemberId

    def log(self) -> NoteKey:
        """The log's verifier key."""
        return parse_vkey(self.log_vkey)

    def root_bytes(self) -> bytes:
        """The pinned root, 32 bytes."""
        return bytes.fromhex(self.root.removeprefix("sha256:"))

    def fingerprint(self) -> str:
        """What two people compare aloud: which log this is."""
        return of_log(self.origin, self.log_vkey, self.genesis)
