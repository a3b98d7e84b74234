"""The list of a round's contributions: one signed line for each member in its sum."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.envelope import from_base64, load_public, open_entry, strict_json
from contracts.errors import Malformed
from contracts.statements.closed_list import parse
from contracts.statements.off_log import Contribution
from contracts.wording import N_


def lines_of(data: bytes) -> list[bytes]:
    """The signed lines of a list document, in order."""
    listed = strict_json(data)
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise Malformed(N_("this is not a list of contributions"))
    return [from_base64(text) for text in listed]


def signed_line(data: bytes, member: str, keys: Iterable[str]) -> Contribution | None:
    """What a member says in a list document, under one of its `keys`; None if it signed nothing there."""
    held = [load_public(key) for key in keys]
    for line in lines_of(data):
        opened = open_entry(line)
        said = parse(opened.payload)
        if isinstance(said, Contribution) and said.member == member and any(map(opened.holds_for, held)):
            return said
    return None
