"""Do the rows to be scored still look like the rows that taught? Column by column, on this node's own rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.scaling import columns, cut_points
from engine.table import TableSchema

AGES = frozenset({"months_known"})  # grow by themselves: that they did says only that time has passed
LEAST, _LARGE = 20, 0.1  # rows of either side below which nothing is said; a shift that credit scoring calls moderate


@dataclass(frozen=True, slots=True)
class Drift:
    """One column: its median among the rows that taught and among those of today (None: all missing), and the
    population stability index less what chance alone shows once in a thousand columns."""

    column: str
    then: float | None
    now: float | None
    index: float

    @property
    def has_moved(self) -> bool:
        """Is the shift one that scores should not be trusted across?"""
        return self.index > _LARGE


def drift(taught: pl.DataFrame, today: pl.DataFrame, schema: TableSchema) -> tuple[Drift, ...]:
    """Every number column that does not grow by itself; empty where either side has too few rows to tell."""
    if min(len(taught), len(today)) < LEAST:
        return ()
    then, now, cuts = columns(taught, schema), columns(today, schema), cut_points(schema)
    return tuple(
        Drift(
            column.name,
            taught[column.name].cast(pl.Float64).drop_nans().median(),  # type: ignore[arg-type]
            today[column.name].cast(pl.Float64).drop_nans().median(),  # type: ignore[arg-type]
            stability(then[:, i], now[:, i], cuts[i]),
        )
        for i, column in enumerate(schema.of_kind("number"))
        if column.name not in AGES
    )


def stability(then: np.ndarray, now: np.ndarray, cuts: np.ndarray) -> float:
    """Sum of (q - p) ln(q / p) over the bins between public cuts and one for missing values, half a row in each."""
    counts = np.stack([_counted(values, cuts) for values in (then, now)]) + 0.5
    p, q = counts / counts.sum(1, keepdims=True)
    freedom = max(int((counts.sum(0) > 1).sum()) - 1, 1)
    rare = freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3  # chi-square (Wilson, Hilferty)
    return float(((q - p) * np.log(q / p)).sum() - rare * (1 / len(then) + 1 / len(now)))


def _counted(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    known = values[np.isfinite(values)]
    inside = np.bincount(np.searchsorted(cuts, known), minlength=len(cuts) + 1)
    return np.append(inside, len(values) - len(known)).astype(np.float64)
