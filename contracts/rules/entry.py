"""One entry of the log as a rule sees it, typed by the statement that it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.rules.findings import Finding
from contracts.statements.statements import Predicate

Said_co = TypeVar("Said_co", bound=Predicate, covariant=True)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Said_co]):
    """An entry that could be read: its place, digest, statement and the keys whose signature holds."""

    index: int
    digest: str
    predicate: Said_co
    signers: frozenset[str]

    def breaks(self, code: str, rule: str, what: str, **values: object) -> Finding:
        """The finding that this entry breaks a rule."""
        return Finding(code, self.index, rule, what, values)
