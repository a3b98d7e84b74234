"""A finding: one broken rule, at one entry, in one plain sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import TrustError
from contracts.wording import filled


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` and `rule` are for programs, `what` is an English sentence with fields from `values`."""

    code: str
    index: int
    rule: str
    what: str
    values: dict[str, Any] = field(default_factory=dict)

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The sentence in the reader's language."""
        return filled(translate(self.what), self.values)


def from_error(error: TrustError, index: int, rule: str) -> Finding:
    """A failure to read or verify an entry, as a finding."""
    return Finding(error.code, index, rule, error.what, error.values)
