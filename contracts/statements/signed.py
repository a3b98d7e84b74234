"""A signed statement, read once: from the bytes of a log entry, or of a line of a list, to its
words and who signed them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from contracts.envelope import OpenedEnvelope, digest, open_entry
from contracts.errors import Malformed
from contracts.statements.closed_list import parse
from contracts.statements.statements import Predicate
from contracts.wording import N_

Said = TypeVar("Said", bound=Predicate)


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said, in its envelope; `digest` names the bytes. Whether a signature holds is asked of the envelope."""

    digest: str
    envelope: OpenedEnvelope
    said: Predicate

    def of(self, kind: type[Said]) -> Said:
        """What was said, where it has to be of this kind; Malformed if it is of another."""
        if not isinstance(self.said, kind):
            raise Malformed(N_("expected a statement of kind {kind}"), kind=kind.kind)
        return self.said


def read_statement(data: bytes) -> Statement:
    """The statement in `data`; Malformed unless envelope and statement are each in their one spelling."""
    envelope = open_entry(data)
    return Statement(digest(data), envelope, parse(envelope.payload))
