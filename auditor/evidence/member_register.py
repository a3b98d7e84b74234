"""The member register: name and company code of each member, from salted documents that the log names by digest."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.evidence.reader import Evidence, document_path
from contracts.envelope import digest, strict_json
from contracts.errors import TrustError
from contracts.rules.state import TrustState
from contracts.wording import visible

REGISTER_LIMIT = 2**16


@dataclass(frozen=True, slots=True)
class Registered:
    """Who stands behind a member id. `name` and `code` are empty where the document is not at hand."""

    member: str
    name: str
    code: str

    def label(self) -> str:
        """The name, or the short id of a member whose document is not at hand."""
        return visible(self.name) or self.member.removeprefix("urn:uuid:")[:8]


def read_register(state: TrustState, evidence: Evidence) -> dict[str, Registered]:
    """Member id -> entry, by the node key that brought the document; a document with another digest is not read."""
    found: dict[str, Registered] = {}
    documents = {held.index: name for name, held in state.documents.items() if held.kind == "register"}
    nodes = [key for key in state.keys.values() if key.role == "node" and key.member]
    for key in sorted(nodes, key=lambda key: key.index):
        name, code = _read(evidence, documents.get(key.index))
        member = str(key.member)
        held = found.get(member)
        found[member] = Registered(member, name or (held.name if held else ""), code or (held.code if held else ""))
    return found


def _read(evidence: Evidence, document: str | None) -> tuple[str, str]:
    try:
        data = evidence.read(document_path(document)) if document else None
        if data is None or len(data) > REGISTER_LIMIT or digest(data) != document:
            return "", ""
        held = strict_json(data)
        return str(held["name"]), str(held["code"])
    except (TrustError, KeyError, TypeError):
        return "", ""
