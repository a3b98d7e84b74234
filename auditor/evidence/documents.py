"""Off-log documents among the evidence, and what it means when one is absent: erased by a
statement, not given, or lost."""

from __future__ import annotations

from array import array
from contextlib import suppress
from functools import lru_cache
from typing import Literal

from auditor.evidence.reader import Evidence, document_path
from auditor.findings import AuditStep
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed
from contracts.rules.state import TrustState
from contracts.statements.artefact import read_artefact
from contracts.wording import N_
from privacy.plan import ReleasePlan
from privacy.step import longest

_ELSEWHERE = ("delegation", "report")  # stay with their authors; the office holds all the others
_HEADER = 2**16  # bytes of an artefact before its numbers, at most
_RECENT = 32  # parsed documents that are kept: a start model, a step state or a sum is soon asked for again


class Documents:
    """Reads documents by their digest and remembers which were absent; `conclude` says so in `step`."""

    def __init__(self, state: TrustState, evidence: Evidence, step: AuditStep):
        self._state, self._evidence, self._step = state, evidence, step
        self._found: set[str] = set()
        self._erased: set[str] = set()
        self._missing: dict[str, None] = {}
        self._complete = False
        self._recent = lru_cache(maxsize=_RECENT)(self._parsed)
        self.last = ""  # the path that was read last

    def read(self, name: str) -> bytes | None:
        """The document of this digest, None if it is absent; Invalid if other bytes lie in its place."""
        return self._read(name, erased=(name, "document"))

    def values(self, name: str, kind: str, typecode: Literal["d", "q"], plan: ReleasePlan) -> array | None:  # type: ignore[type-arg]
        """The numbers in the artefact of this digest, None if it is absent; Malformed if a round of this
        plan has no such artefact."""
        return self._recent(name, kind, typecode, longest(plan))

    def _parsed(self, name: str, kind: str, typecode: Literal["d", "q"], most: int) -> array | None:  # type: ignore[type-arg]
        data = self.read(name)
        return None if data is None else read_artefact(_within(data, name, most), kind, typecode).values

    def contribution(self, name: str, of_list: str, plan: ReleasePlan) -> bytes | None:
        """A contribution that a list names. Only auditors are given any, and they are given
        all: such a copy is complete."""
        data = self._read(name, erased=(of_list, "contributions"))
        self._complete |= data is not None
        return None if data is None else _within(data, name, plan.length())

    def _read(self, name: str, erased: tuple[str, str]) -> bytes | None:
        self.last = path = document_path(name)
        data = self._evidence.read(path)
        if data is None and erased in self._state.erased:
            self._erased.add(name)
        elif data is None:
            self._missing[name] = None
        elif digest(data) != name:
            raise Invalid(N_("{file} is not what the log says"), code="TREE_MISMATCH", file=path)
        else:
            self._found.add(name)
        return data

    def conclude(self) -> None:
        """I24: an erasure is told; what is absent without one is a finding in a complete copy, else not checked."""
        for name, held in self._state.documents.items():
            if held.kind not in _ELSEWHERE and name not in self._found:
                with suppress(Invalid, Malformed):  # other bytes in its place, or too many: step 3 has found that
                    self.read(name)
        if self._erased:
            self._step.say(
                N_("{n} documents were erased, as statements in the log say: what they held cannot be checked again"),
                n=len(self._erased),
            )
        if self._missing and not self._complete:
            first = document_path(next(iter(self._missing)))
            self._step.skip(N_("{n} documents are not at hand, the first is {path}"), n=len(self._missing), path=first)
        for name in self._missing if self._complete else ():
            path = document_path(name)
            self._step.add(
                "ERASURE", N_("{file} is missing, and no statement says that it was erased"), path, file=path
            )


def _within(data: bytes, name: str, most: int) -> bytes:
    """The bytes, if they are no more than an artefact of so many numbers has; Malformed otherwise,
    before anything is parsed."""
    if len(data) > 8 * most + _HEADER:
        raise Malformed(
            N_("{file} is larger than any document of its round can be"), code="TOO_LARGE", file=document_path(name)
        )
    return data
