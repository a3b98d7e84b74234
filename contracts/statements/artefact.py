"""Flat arrays as documents with one spelling: models, optimiser states, aggregates, contributions."""

from __future__ import annotations

import math
import sys
from array import array
from dataclasses import dataclass
from typing import Literal

from contracts.envelope import canonical, strict_json
from contracts.errors import Malformed
from contracts.wording import N_

_MAGIC = b"mengbang-artefact/1\n"
KINDS = frozenset({"model", "step-state", "aggregate", "contribution"})


@dataclass(frozen=True, slots=True)
class Artefact:
    """`values` are float64 ('d') or int64 ('q'); `fields` say what they are (text and integers only)."""

    kind: str
    fields: dict[str, str | int]
    values: array  # type: ignore[type-arg]

    def to_bytes(self) -> bytes:
        """Magic line, one line of canonical JSON, then the values in 8 bytes each, little endian."""
        header = canonical(
            {"kind": self.kind, "fields": self.fields, "type": self.values.typecode, "length": len(self.values)}
        )
        return _MAGIC + header + b"\n" + _little_endian(self.values).tobytes()


def model(task: str, values: array[float]) -> Artefact:
    """A model of a task: the same numbers always have the same digest."""
    return Artefact("model", {"task": task}, values)


def of_round(kind: str, order: str, round: int, values: array) -> Artefact:  # type: ignore[type-arg]
    """A contribution, aggregate or step state of one round of a run."""
    return Artefact(kind, {"order": order, "round": round}, values)


def read_artefact(data: bytes, kind: str, typecode: Literal["d", "q"]) -> Artefact:
    """The artefact in `data`; Malformed unless kind, type and length are as stated and every value finite."""
    magic, _, rest = data.partition(b"\n")
    header_bytes, newline, body = rest.partition(b"\n")
    if magic + b"\n" != _MAGIC or not newline:
        raise Malformed(N_("these bytes are not an artefact"))
    header = strict_json(header_bytes)
    match header:
        case {"kind": str(found), "fields": dict(fields), "type": str(stored), "length": int(length), **more} if (
            not more and not isinstance(length, bool)
        ):
            pass
        case _:
            raise Malformed(N_("the artefact's header is incomplete"))
    if (found, stored) != (kind, typecode) or kind not in KINDS:
        raise Malformed(
            N_("expected {kind} of type {typecode}, found {found} of type {stored}"),
            kind=kind,
            typecode=typecode,
            found=found,
            stored=stored,
        )
    if len(body) != 8 * length:
        raise Malformed(N_("expected {length} values, found {n} bytes"), length=length, n=len(body))
    values = array(typecode, body)
    artefact = Artefact(kind, fields, _little_endian(values))
    if typecode == "d" and not all(map(math.isfinite, artefact.values)):
        raise Malformed(N_("the artefact holds a value that is not a finite number"))
    return artefact


def _little_endian(values: array) -> array:  # type: ignore[type-arg]
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values
