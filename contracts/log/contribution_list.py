"""The list of a round's contributions, read in one way by everyone who is handed one: auditor, member and office."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.envelope import ENTRY_MAX_BYTES, from_base64, load_public, strict_json
from contracts.errors import Malformed
from contracts.log.merkle import leaf_hash, root
from contracts.statements.off_log import Contribution
from contracts.statements.signed import Statement, read_statement
from contracts.wording import N_

MOST_MEMBERS = 1000  # where how many a round combined is not at hand
LINE_MAX_BYTES = 4 * -(-ENTRY_MAX_BYTES // 3) + 3  # in base64, with its quotes and a comma


@dataclass(frozen=True, slots=True)
class Line:
    """One member's line: what it said, in its envelope."""

    statement: Statement
    said: Contribution


@dataclass(frozen=True, slots=True)
class ContributionList:
    """A list whose bytes read as one; what stands in its entries is read by `lines`."""

    entries: tuple[bytes, ...]

    def root(self) -> str:
        """The digest that the record of the round names."""
        return "sha256:" + root([leaf_hash(entry) for entry in self.entries]).hex()

    def lines(self) -> Iterator[Line]:
        """The contributions in order; Malformed at the first entry that is none."""
        for entry in self.entries:
            statement = read_statement(entry)
            if not isinstance(statement.said, Contribution):
                raise Malformed(N_("the contribution list holds another kind of statement"))
            yield Line(statement, statement.said)

    def signed_by(self, member: str, keys: Iterable[str]) -> Contribution | None:
        """What a member says here under one of its public `keys`; None if it signed nothing. Malformed as `lines`."""
        held = [load_public(key) for key in keys]
        own = (one for one in self.lines() if one.said.member == member)
        return next((one.said for one in own if any(map(one.statement.envelope.holds_for, held))), None)


def read_list(data: bytes, members: int) -> ContributionList:
    """The list of a round that combined so many `members`; Malformed if it is none. One that is longer than their lines
    can be is not even parsed."""
    if len(data) > 2 + members * LINE_MAX_BYTES:
        raise Malformed(
            N_("a contribution list of {n} bytes is too long for {members} members"), n=len(data), members=members
        )
    match strict_json(data):
        case list(texts):
            return ContributionList(tuple(from_base64(text) for text in texts))
    raise Malformed(N_("this is not a contribution list"))
