"""Columns of a table -> model inputs, by the schema's public bounds alone."""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.table import Column, TableSchema

_EVEN = 15


def columns(frame: pl.DataFrame, schema: TableSchema) -> np.ndarray:
    """`(rows, columns)` float64 in [-1, 1], NaN where a value is missing: one column a number, in order."""
    parts = [_scaled(frame[column.name].to_numpy(), column) for column in schema.of_kind("number")]
    return np.column_stack(parts) if parts else np.zeros((len(frame), 0))


def inputs(scaled: np.ndarray, schema: TableSchema) -> np.ndarray:
    """`(rows, inputs)` without NaN: missing values are 0, with a 0/1 flag beside them where the schema says so."""
    parts = []
    for values, column in zip(scaled.T, schema.of_kind("number"), strict=True):
        gone = np.isnan(values)
        parts += [np.where(gone, 0.0, values), *([gone.astype(np.float64)] if column.missing == "flag" else [])]
    return np.column_stack(parts) if parts else np.zeros((len(scaled), 0))


def cut_points(schema: TableSchema) -> list[np.ndarray]:
    """Public cut points of each column in the scale of `columns`: the schema's own, or evenly spaced ones."""
    evenly = np.linspace(-1, 1, _EVEN + 2)[1:-1]
    return [
        _scaled(np.array([float(text) for text in column.cuts]), column) if column.cuts else evenly
        for column in schema.of_kind("number")
    ]


def input_names(schema: TableSchema) -> list[str]:
    """What each input is called, in order."""
    return [
        name
        for column in schema.of_kind("number")
        for name in ((column.name, f"{column.name}?") if column.missing == "flag" else (column.name,))
    ]


def way_down(value: float, column: Column, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Values from `value` down to the column's low end, even as the model sees them, and how far each is away in
    shares of the public range; both `(steps,)`, or only `value` where it lies at the end already."""
    low, high = float(column.low), float(column.high)
    if value <= low:
        return np.array([value]), np.zeros(1)
    if column.transform == "signed_log":
        ends = [np.sign(v) * np.log1p(abs(v)) for v in (min(value, high), low, high)]
        way = np.linspace(ends[0], ends[1], steps)
        values = np.sign(way) * np.expm1(np.abs(way))
        return values, (ends[0] - way) / (ends[2] - ends[1])
    values = np.linspace(min(value, high), low, steps)
    return values, (values[0] - values) / (high - low)


def _scaled(values: np.ndarray, column: Column) -> np.ndarray:
    values = values.astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    ends = np.array([float(column.low), float(column.high)])
    if column.transform == "signed_log":
        values, ends = (np.sign(v) * np.log1p(np.abs(v)) for v in (values, ends))
    low, high = ends
    scaled: np.ndarray = np.clip(2 * (values - low) / (high - low) - 1, -1, 1)
    return scaled
