"""Rows grouped by unit, and the grid: what every family does before it sums."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from privacy.encoding import step_size

_BUCKET = 1024
SMALLEST_SCALE = 0.42


@dataclass(frozen=True)
class Blocks:
    """Rows in order of unit: `rows[i]` belongs to unit `unit[i]` of `count`; units in order of `bucket` `(count,)`.

    `scale` in (0, 1] is what every unit of this member counts: see `secret_scale`.
    """

    count: int
    rows: np.ndarray
    unit: np.ndarray
    bucket: np.ndarray
    scale: float = 1.0

    def weights(self) -> np.ndarray:
        """1 / (rows of the unit) for each row: a unit counts once, however many rows it has."""
        return 1.0 / np.bincount(self.unit, minlength=self.count)[self.unit] if self.count else np.zeros(0)

    @cached_property
    def batches(self) -> list[tuple[slice, int]]:
        """(rows, number of units) of each bucket: slices of `rows` and `unit` that never split a unit."""
        edges = np.flatnonzero(np.diff(self.bucket)) + 1
        first = np.concatenate([[0], edges, [self.count]]) if self.count else np.zeros(1, dtype=np.int64)
        at = np.searchsorted(self.unit, first)
        return [(slice(int(at[i]), int(at[i + 1])), int(first[i + 1] - first[i])) for i in range(len(first) - 1)]


def secret_scale(key: bytes) -> float:
    """What a member counts under terms that hide the scale of its totals: log-uniform in
    [0.42, 1], by a key kept for life.

    Whoever knows all the rest learns log(total) up to a standard deviation of log(1 / 0.42) / sqrt(12) = 0.25. Fresh
    draws would average out, so there is one. Sensitivity does not grow: every unit counts at most once.
    """
    place = int.from_bytes(_keyed(key, "scale of totals")[:7], "big") / 256**7
    scale: float = SMALLEST_SCALE ** (1.0 - place)
    return scale


def blocks(unit_ids: Sequence[str], key: bytes, *, max_rows: int, max_units: int, scale: float = 1.0) -> Blocks:
    """Group row numbers by unit; of a unit with more than `max_rows` rows a keyed hash chooses which stay.

    What stays, and the bucket a unit is summed in, depend on that unit and the key alone: one unit more or less
    changes one bucket and leaves the bits of all others. The number of buckets follows from the public `max_units`.
    The same rows are asked for in every round, so the last answer is kept.
    """
    return _blocks(tuple(unit_ids), key, max_rows, max_units, scale)


@lru_cache(maxsize=2)
def _blocks(unit_ids: tuple[str, ...], key: bytes, max_rows: int, max_units: int, scale: float) -> Blocks:
    by_unit: dict[str, list[int]] = {}
    for row, name in enumerate(unit_ids):
        by_unit.setdefault(name, []).append(row)
    ordered = sorted((_keyed(key, name), name) for name in by_unit)
    rows, unit, bucket = list[int](), list[int](), list[int]()
    for number, (mark, name) in enumerate(ordered):
        kept = by_unit[name]
        if len(kept) > max_rows:
            chosen = sorted(range(len(kept)), key=lambda place: _keyed(key, f"{name}/{place}"))[:max_rows]
            kept = [kept[place] for place in sorted(chosen)]
        rows += kept
        unit += [number] * len(kept)
        bucket.append(int.from_bytes(mark[:8], "big") * -(-max_units // _BUCKET) >> 64)
    kept_rows, whose, where = (np.array(part, dtype=np.int64) for part in (rows, unit, bucket))
    return Blocks(len(ordered), kept_rows, whose, where, scale)


def row_names(*columns: np.ndarray) -> tuple[str, ...]:
    """A name for each row of a table without ids: digest of its values, and how many equal rows came before.

    Numbering rows instead would rename every row below a removed one, and so change its bucket or partition.
    """
    seen, names = Counter[str](), list[str]()
    for row in np.column_stack([np.asarray(column, dtype=np.float64) for column in columns]):
        name = hashlib.sha256(row.tobytes()).hexdigest()
        names.append(f"{name}/{seen[name]}")
        seen[name] += 1
    return tuple(names)


def _keyed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def inside_grid(values: np.ndarray, clip: str, bits: int) -> np.ndarray:
    """Grid points toward zero, as whole float64 numbers: no norm grows, and sums below 2**53 are exact."""
    return np.trunc(values / step_size(clip, bits))
