"""Reading a log for people: every statement in a sentence, and what was true when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from auditor.evidence.member_register import Registered
from auditor.evidence.reader import Evidence, read_bundles, read_note, required
from contracts.envelope import open_entry
from contracts.errors import TrustError
from contracts.log import tiles
from contracts.rules.fold import apply
from contracts.rules.kinds import KINDS
from contracts.rules.state import EMPTY, TrustState
from contracts.statements.closed_list import parse
from contracts.wording import N_

Names = Callable[[str], str]


def replayed(
    evidence: Evidence, tick: Callable[[int, int], None] = lambda done, size: None
) -> tuple[TrustState, list[int]]:
    """The state that the whole log leads to, and the indices of entries that break a rule."""
    size, state, broken = read_note(evidence, "checkpoint").checkpoint.size, EMPTY, []
    for _name, entries in read_bundles(evidence, size, lambda done: tick(done, size)):
        for entry in entries:
            state, findings = apply(state, entry, state.size)
            if findings:
                broken.append(state.size - 1)
    return state, broken


def entries_from(evidence: Evidence, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(index, entry) of the entries start..size-1."""
    for name in tiles.bundle_names(size):
        if (name.n + 1) * tiles.WIDTH > start:
            entries = tiles.parse_bundle(required(evidence, name.path()), name.width)
            for index, entry in enumerate(entries, name.n * tiles.WIDTH):
                if index >= start:
                    yield index, entry


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement in words: an English sentence with fields, to be translated and filled in."""

    what: str
    values: dict[str, object]

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The sentence in the reader's language."""
        return translate(self.what).format_map(self.values)


def sentence(entry: bytes, names: Names) -> Sentence:
    """What an entry says, in one sentence; also for one that cannot be read."""
    try:
        predicate = parse(open_entry(entry).payload)
    except TrustError as error:
        return Sentence(N_("cannot be read: {error}"), {"error": error})
    what, values = KINDS[type(predicate)].words(predicate)
    if values.get("member"):
        values["member"] = names(str(values["member"]))
    return Sentence(what, values)


def namer(register: dict[str, Registered]) -> Names:
    """Member id -> company name where the register is at hand, else a short id."""
    return lambda member: register[member].label() if member in register else member.removeprefix("urn:uuid:")[:8]
