"""Statements in words: each kind's sentence, with members under names that the reader knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditor.evidence.member_register import Registered
from contracts.errors import TrustError
from contracts.rules.kinds import KINDS
from contracts.statements.signed import Statement
from contracts.statements.statements import Predicate
from contracts.wording import N_, filled

Names = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement in words: an English sentence with fields, to be translated and filled in."""

    what: str
    values: dict[str, object]

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The sentence in the reader's language."""
        return filled(translate(self.what), self.values)


def sentence(entry: Statement | TrustError, names: Names) -> Sentence:
    """What an entry says, in one sentence; also for one that cannot be read."""
    if isinstance(entry, TrustError):
        return Sentence(N_("cannot be read: {error}"), {"error": entry})
    return sentence_of(entry.said, names)


def sentence_of(said: Predicate, names: Names) -> Sentence:
    """What a statement says, in one sentence."""
    what, values = KINDS[type(said)].words(said)
    if values.get("member"):
        values["member"] = names(str(values["member"]))
    return Sentence(what, values)


def namer(register: dict[str, Registered]) -> Names:
    """Member id -> company name where the register is at hand, else a short id."""
    return lambda member: register[member].label() if member in register else member.removeprefix("urn:uuid:")[:8]
