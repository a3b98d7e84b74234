"""Columns of a table -> model inputs, by the schema's public bounds alone."""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.table import Column, TableSchema


def inputs(frame: pl.DataFrame, schema: TableSchema) -> np.ndarray:
    """`(rows, inputs)` float64 in [-1, 1]: one column a number, plus a 0/1 flag where missing values are flagged."""
    parts = [part for column in schema.of_kind("number") for part in _scaled(frame[column.name].to_numpy(), column)]
    return np.column_stack(parts) if parts else np.zeros((len(frame), 0))


def input_names(schema: TableSchema) -> list[str]:
    """What each input is called, in order."""
    return [
        name
        for column in schema.of_kind("number")
        for name in ((column.name, f"{column.name}?") if column.missing == "flag" else (column.name,))
    ]


def _scaled(values: np.ndarray, column: Column) -> list[np.ndarray]:
    values = values.astype(np.float64)
    gone = ~np.isfinite(values)
    low, high = float(column.low), float(column.high)
    if column.transform == "signed_log":
        values, low, high = (np.sign(v) * np.log1p(np.abs(v)) for v in (values, np.float64(low), np.float64(high)))
    scaled = np.clip(2 * (values - low) / (high - low) - 1, -1, 1)
    scaled = np.where(gone, 0.0, scaled)
    return [scaled, gone.astype(np.float64)] if column.missing == "flag" else [scaled]
