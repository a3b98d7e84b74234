"""Counts of a model's scores on held-out units, and how far it is better or worse than others: one joint release."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privacy.plan import Histogram
from privacy.units import Blocks, inside_grid


def histogram_sums(
    shape: Histogram,
    score: np.ndarray,
    label: np.ndarray,
    lost: Sequence[np.ndarray],
    units: Blocks,
    *,
    grid_bits: int,
) -> np.ndarray:
    """The exact grid sum, flat int64 `(length,)`: see plan.Histogram for what a unit adds.

    `score` `(rows,)` in [0, 1]; `label` `(rows,)`, the row's class; `lost` of each other model `(rows,)`, how much more
    the first model lost than it, held to [-1, 1]. Every row counts 1 / (rows of its unit); a row with a value that is
    not finite counts nowhere. Bins are of equal width in the square root of the score, because events are rare.
    """
    if len(lost) != shape.models - 1:
        raise ValueError(f"the plan compares with {shape.models - 1} models, got {len(lost)}")
    rows, weight = units.rows, units.weights() * units.scale
    sound = np.all([np.isfinite(values[rows]) for values in (score, *lost)], axis=0)
    classes = label[rows].astype(np.int64)
    weight = np.where(sound & (classes >= 0) & (classes < shape.classes), weight, 0.0)
    place = np.clip(np.sqrt(np.where(sound, score[rows], 0.0)) * shape.bins, 0, shape.bins - 1).astype(np.int64)
    cell = np.where(weight > 0, classes, 0) * shape.bins + place
    counted = [_count(shape, cell, weight, shape.classes * shape.bins, grid_bits)]
    for one in lost:
        worse = np.clip(np.where(sound, one[rows], 0.0), -1, 1)
        for share in (weight * (1 + worse) / 2, weight * (1 - worse) / 2):
            counted.append(_count(shape, np.zeros(len(rows), dtype=np.int64), share, 1, grid_bits))
    return np.concatenate(counted)


def _count(shape: Histogram, cell: np.ndarray, weight: np.ndarray, cells: int, grid_bits: int) -> np.ndarray:
    return np.bincount(cell, inside_grid(weight, shape.clip, grid_bits), minlength=cells).astype(np.int64)
