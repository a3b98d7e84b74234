"""Who else is in a round: names and company codes from the members' register, where the agreement shows them.

A register document counts only with the digest that stands in the log. Where an agreement shows nobody, that the others
are real companies is what the chamber vouches for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from client_node.link.mirror import document
from client_node.link.uplink import Uplink
from client_node.settings import Settings
from contracts.envelope import strict_json
from contracts.errors import TrustError
from contracts.rules.members import in_rounds_with, register_document
from contracts.rules.state import TrustState
from contracts.wording import visible
from shell.log_lines import log_event


@dataclass(frozen=True, slots=True)
class Company:
    """Who stands behind a member id; name and code are empty where the register does not show them. `key` is its node
    key, by which a member is known that has told it itself; a code is the chamber's word."""

    member: str
    name: str
    code: str
    key: str
    known: bool

    def label(self) -> str:
        """As people read it."""
        return (
            f"{visible(self.name)} ({visible(self.code)})" if self.name else self.member.removeprefix("urn:uuid:")[:8]
        )


def companies(settings: Settings, uplink: Uplink | None, state: TrustState, members: Iterable[str]) -> list[Company]:
    """The other ones among `members`, sorted; from this disk, or from the coordinator if there is an `uplink`."""
    found = []
    for member in sorted(set(members) - {settings.member}):
        named = register_document(state, member)
        name, code = _read(settings, uplink, named) if named and (named, "document") not in state.erased else ("", "")
        live = state.live_key(member, "node")
        key = live[0] if live else ""
        found.append(Company(member, name, code, key, not settings.known.isdisjoint({code, key} - {""})))
    return found


def shown(settings: Settings, uplink: Uplink | None, state: TrustState) -> list[Company]:
    """Everyone whom this member was in a round with, under agreements that show members."""
    return companies(settings, uplink, state, in_rounds_with(state, settings.member))


def _read(settings: Settings, uplink: Uplink | None, named: str) -> tuple[str, str]:
    try:
        held = strict_json(document(settings, uplink, named))
    except TrustError as error:
        log_event.info("register not shown", document=named, what=str(error))
        return "", ""
    match held:
        case {"name": str(name), "code": str(code)}:
            return name, code
    return "", ""
