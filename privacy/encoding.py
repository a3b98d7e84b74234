"""The grid: one clip norm is 2**bits whole steps; range and overflow are stated."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from decimal import Decimal

LIMIT = 2**62


class EncodingError(ValueError):
    """A number lies off the grid: 2**62 steps or more."""


def step_size(clip: str, bits: int) -> float:
    """Size of one grid step in units of the gradient."""
    return float(Decimal(clip) / (1 << bits))


def from_grid(steps: Sequence[int], clip: str, bits: int) -> array[float]:
    """The values of grid points."""
    step = step_size(clip, bits)
    return array("d", (number * step for number in steps))


def add(vectors: Sequence[Sequence[int]]) -> array[int]:
    """Exact coordinate-wise sum of vectors of one length: the order of the vectors does not matter."""
    if len({len(vector) for vector in vectors}) != 1:
        raise EncodingError("vectors to add must exist and have one length")
    return checked(map(sum, zip(*vectors, strict=True)))


def checked(numbers: Iterable[int]) -> array[int]:
    """The numbers as int64; EncodingError if one reaches 2**62."""
    try:
        values = array("q", numbers)
    except OverflowError as error:
        raise EncodingError("a grid value reaches 2**62 steps") from error
    if values and max(max(values), -min(values)) >= LIMIT:
        raise EncodingError("a grid value reaches 2**62 steps")
    return values
