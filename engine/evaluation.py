"""Judging models on units that nobody trained on: one joint histogram, one release, in the holdout's own budget."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from contracts.gate import MARGIN, SPREAD
from engine.table import TableSchema
from engine.task import Judged, Task
from privacy.plan import GRID_BITS, Histogram, ReleasePlan, Tally, planned
from privacy.spend import Unit
from privacy.units import blocks, inside_grid

BINS = 16


def plan_for(task: Task, schema: TableSchema, *, others: int, rho_nano: int, delta: str) -> ReleasePlan:
    """The plan of an evaluation of one model beside `others`, with the least noise that `rho_nano` allows."""
    return planned(
        rho_nano,
        task=task.name,
        dataset=schema.dataset,
        unit=Unit(schema.unit),
        shape=Histogram("histogram", 1 + others, task.classes, BINS),
        step=Tally("tally"),
        releases=1,
        delta=delta,
        max_units=schema.max_units,
        max_rows_per_unit=schema.max_rows_per_unit,
    )


def units_needed(plan: ReleasePlan, members: int) -> int:
    """Holdout units of all members together with which two equally good models would be told apart from harm."""
    sigma = plan.sigma_steps / (1 << GRID_BITS)
    return round(2 * sigma * float(SPREAD) * sqrt(2 * members) / float(MARGIN))


def holdout_counts(plan: ReleasePlan, models: Sequence[Judged], unit: Sequence[str], key: bytes) -> np.ndarray:
    """The exact grid sum, flat int64 `(plan.length(),)`: see plan.Histogram.

    Every row counts 1 / (rows of its unit); a row whose values are not finite counts nowhere. Total: whatever the rows.
    """
    shape = plan.shape
    assert isinstance(shape, Histogram) and shape.models == len(models)
    grouped = blocks(unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units)
    rows, weight, first = grouped.rows, grouped.weights(), models[0]
    sound = np.all([np.isfinite(one.score[rows]) & np.isfinite(one.loss[rows]) for one in models], axis=0)
    label = first.label[rows].astype(np.int64)
    weight = np.where(sound & (label >= 0) & (label < shape.classes), weight, 0.0)
    place = np.clip(np.sqrt(np.where(sound, first.score[rows], 0.0)) * shape.bins, 0, shape.bins - 1).astype(np.int64)
    cell = np.where(weight > 0, label, 0) * shape.bins + place
    counted = [_count(plan, cell, weight, shape.classes * shape.bins)]
    for other in models[1:]:
        lost = np.clip(np.where(sound, first.loss[rows] - other.loss[rows], 0.0) / float(SPREAD), -1, 1)
        worse, better = weight * (1 + lost) / 2, weight * (1 - lost) / 2
        counted += [_count(plan, np.zeros(len(rows), dtype=np.int64), share, 1) for share in (worse, better)]
    return np.concatenate(counted)


def _count(plan: ReleasePlan, cell: np.ndarray, weight: np.ndarray, cells: int) -> np.ndarray:
    on_grid = inside_grid(weight, plan.shape.clip, plan.grid_bits)
    return np.bincount(cell, on_grid, minlength=cells).astype(np.int64)
