"""Documents: content that the log names by digest. Contributions and names are for auditors and their author only."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session

from contracts.envelope import digest
from contracts.errors import Unavailable
from contracts.wording import N_
from coordinator.store.database import Database
from coordinator.store.tables import Document


def keep(session: Session, kind: str, data: bytes, author: str = "") -> str:
    """Store a document; its digest. The same bytes twice are one document."""
    name = digest(data)
    session.merge(Document(digest=name, kind=kind, author=author, data=data))
    return name


def read(database: Database, name: str) -> Document | None:
    """A document by digest."""
    with database.read() as session:
        return session.get(Document, name)


def document_of(database: Database, name: str) -> bytes:
    """The bytes of a document by its digest; Unavailable if the database lacks it."""
    held = read(database, name)
    if held is None:
        raise Unavailable(N_("document {name} is missing"), name=name)
    return bytes(held.data)


def may_read(document: Document, role: str, member: str | None, shown: Collection[str] = ()) -> bool:
    """Whether a key in this role may have a document: one contribution lets its reader estimate a member's totals. Of
    the register a node may have its own member's, and those of members that are `shown` to it."""
    if document.kind in ("contribution", "unmasking"):
        return role == "auditor" or (member is not None and document.author == member)
    if document.kind == "register":
        return role == "auditor" or document.author == member or (role == "node" and document.author in shown)
    return True
