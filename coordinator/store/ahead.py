"""Members who hold more of the log than its own database: the sign that an older database was restored.

What they say is no proof. But where those who hold more leave no quorum, nothing that is appended could be cosigned,
and each entry would be a second history: so nothing is appended until the lost entries are back.
"""

from __future__ import annotations

from sqlmodel import Session, col, select

from contracts.errors import Refused
from contracts.log.checkpoint import witness_name
from contracts.rules.state import TrustState
from contracts.wording import N_
from coordinator.store.database import Database
from coordinator.store.tables import MemberAhead
from shell.log_lines import log_event


def note(database: Database, member: str, *, held: int, size: int) -> None:
    """A member's node says how many entries it holds, of a log of `size`."""
    with database.read() as session:
        known = session.get(MemberAhead, member)
    if (known.size if known else 0) == (held if held > size else 0):
        return
    with database.write() as session:
        if held > size:
            session.merge(MemberAhead(member=member, size=held))
            log_event.warning(
                "a member holds more entries than this log: was an older database restored?",
                member=member,
                held=held,
                size=size,
                do="coordinator recover --from MIRROR",
            )
        elif known:
            session.delete(known)


def ahead(session: Session, size: int) -> dict[str, int]:
    """Member -> entries that its node says it holds, of those who hold more than `size`."""
    return {one.member: one.size for one in session.exec(select(MemberAhead).where(col(MemberAhead.size) > size))}


def check_none_is_lost(session: Session, state: TrustState) -> None:
    """Refused (RESTORED) where the members who hold no more than this log are too few to cosign."""
    held = ahead(session, state.size)
    if not held or state.genesis is None:
        return
    quorum = state.quorum_at(state.size)
    away = {witness_name(state.genesis.origin, member) for member in held}
    if len(quorum.members.keys() - away) < quorum.of_members:
        raise Refused(
            N_("{n} members hold more entries than this log, up to {held} of {size}"),
            why=N_("an older database was restored; whatever is appended now would be a second history"),
            do=N_(
                "stop coordinator serve; then coordinator recover --from MIRROR, a copy of the log that a member writes"
            ),
            code="RESTORED",
            n=len(held),
            held=max(held.values()),
            size=state.size,
        )
