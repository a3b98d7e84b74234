"""A whole log read once: what it leads to, and the entries that somebody asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from auditor.evidence.reader import Evidence, read_bundles
from contracts.errors import TrustError
from contracts.rules.fold import apply_read, read
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.signed import Statement


@dataclass(slots=True)
class Replayed:
    """What a whole log leads to, which entries break a rule, and those asked for: bytes, and what was read of them."""

    state: TrustState = EMPTY
    broken: set[int] = field(default_factory=set)
    entries: dict[int, tuple[bytes, Statement | TrustError]] = field(default_factory=dict)


def replayed(
    evidence: Evidence, size: int, asked: range = range(0), look: Callable[[list[bytes]], object] = lambda bundle: None
) -> Replayed:
    """Fold the first `size` entries, each read once; `look` is shown every bundle on the way."""
    found = Replayed()
    for _name, bundle in read_bundles(evidence, size):
        look(bundle)
        for index, entry in enumerate(bundle, found.state.size):
            statement = read(entry)
            found.state, findings = apply_read(found.state, statement, index)
            if findings:
                found.broken.add(index)
            if index in asked:
                found.entries[index] = entry, statement
    return found
