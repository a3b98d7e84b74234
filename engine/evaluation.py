"""Judging models on units that nobody trained on: one joint histogram, one release, in the holdout's own budget."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from contracts.statements.gate import MARGIN, SPREAD
from engine.table import TableSchema
from engine.task import Judged, Task
from privacy.histogram import histogram_sums
from privacy.plan import GRID_BITS, Histogram, ReleasePlan, Tally, planned
from privacy.spend import Unit
from privacy.units import blocks

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


def holdout_counts(
    plan: ReleasePlan, models: Sequence[Judged], unit: Sequence[str], key: bytes, scale: float = 1.0
) -> np.ndarray:
    """The exact grid sum, flat int64 `(plan.length(),)`: see plan.Histogram.

    The first model's scores are counted, and how far it is better or worse than each of the others. Total: whatever the
    rows.
    """
    shape, first = plan.shape, models[0]
    assert isinstance(shape, Histogram) and shape.models == len(models)
    grouped = blocks(unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units, scale=scale)
    lost = [(first.loss - other.loss) / float(SPREAD) for other in models[1:]]
    return histogram_sums(shape, first.score, first.label, lost, grouped, grid_bits=plan.grid_bits)
