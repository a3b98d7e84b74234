"""What two people compare aloud: eight groups of four hex digits, the same on both sides
and before anything is sent."""

from __future__ import annotations

import re

from contracts.envelope import canonical, digest, key_id, load_public


def grouped(name: str) -> str:
    """The first 128 bits of a digest in eight groups."""
    return " ".join(re.findall("....", name.removeprefix("sha256:")[:32].upper()))


def of_log(origin: str, log_vkey: str, genesis: str) -> str:
    """Which log this is, as pins and agreements name it."""
    return grouped(digest(canonical([origin, log_vkey, genesis])))


def of_chamber(origin: str, log_vkey: str, genesis: str, *, ca: str) -> str:
    """Whom an invite leads to: the log, and the CA (its digest) of the only place that a node will talk to."""
    return grouped(digest(canonical([origin, log_vkey, genesis, ca])))


def of_key(public: str) -> str:
    """A key, by its public text."""
    return grouped(key_id(load_public(public)))


def is_same(typed: str, fingerprint: str) -> bool:
    """Whether somebody typed this fingerprint, however it is spaced."""
    return re.sub(r"[\s:-]", "", typed).upper() == fingerprint.replace(" ", "")
