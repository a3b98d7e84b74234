"""Series -> scale-free windows. A window's values depend on its own series and the calendar only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from engine.table import TableSchema

_FLOOR = 0.1


@dataclass(frozen=True, slots=True)
class Windows:
    """`x` `(windows, inputs)`; `y` `(windows, horizon)` in units of `scale` with NaN where not observed;
    `base` `(windows, horizon)` the simple forecast that the network corrects, in units of `scale`; and the
    series of each window."""

    x: np.ndarray
    y: np.ndarray
    base: np.ndarray
    scale: np.ndarray
    unit: tuple[str, ...]

    def take(self, chosen: np.ndarray) -> Windows:
        """The chosen windows."""
        return Windows(
            self.x[chosen], self.y[chosen], self.base[chosen], self.scale[chosen], tuple(self.unit[i] for i in chosen)
        )


def inputs(schema: TableSchema) -> int:
    """Inputs of a window: past values, their mask, and the position in the season as sine and cosine."""
    return 2 * schema.options["lookback"] + 2


def training_windows(frame: pl.DataFrame, schema: TableSchema) -> Windows:
    """Every origin of every series that has a full look-back and at least one later value."""
    lookback, horizon = schema.options["lookback"], schema.options["horizon"]
    parts = [
        _window(name, values, first, origin, schema)
        for name, values, first in _series(frame, schema)
        for origin in range(lookback, len(values))
        if np.isfinite(values[origin : origin + horizon]).any()
        and np.isfinite(values[origin - lookback : origin]).sum() >= 4
    ]
    return _stack(parts, schema)


def last_windows(frame: pl.DataFrame, schema: TableSchema) -> Windows:
    """One window a series, at its end: what is to be forecast."""
    lookback = schema.options["lookback"]
    return _stack(
        [
            _window(name, values, first, len(values), schema)
            for name, values, first in _series(frame, schema)
            if len(values) >= lookback
        ],
        schema,
    )


def _series(frame: pl.DataFrame, schema: TableSchema) -> list[tuple[str, np.ndarray, int]]:
    """(name, values with NaN for gaps, number of the first period) of each series."""
    who, when, what = schema.one("id").name, schema.one("period").name, schema.one("number").name
    found = []
    for (name,), rows in frame.group_by(who, maintain_order=True):
        at = np.array([period_number(text) for text in rows[when].to_list()])
        values = np.full(at.max() - at.min() + 1, np.nan)
        values[at - at.min()] = rows[what].cast(pl.Float64).to_numpy()
        found.append((str(name), values, int(at.min())))
    return found


def period_number(text: str) -> int:
    """Months since year 0 for YYYY-MM, weeks since day 1 for YYYY-MM-DD."""
    if len(text) == 7:
        return int(text[:4]) * 12 + int(text[5:]) - 1
    return date.fromisoformat(text).toordinal() // 7


def _window(
    name: str, values: np.ndarray, first: int, origin: int, schema: TableSchema
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, float]:
    lookback, horizon, season = (schema.options[k] for k in ("lookback", "horizon", "season"))
    past = values[origin - lookback : origin]
    seen = np.isfinite(past)
    mean = float(np.abs(past[seen]).mean()) if seen.any() else 0.0
    scale = max(mean, _FLOOR)
    later = np.full(horizon, np.nan)
    later[: max(0, min(horizon, len(values) - origin))] = values[origin : origin + horizon]
    angle = 2 * np.pi * ((first + origin) % season) / season
    x = np.concatenate(
        [
            np.log1p(np.clip(np.where(seen, past, 0.0) / scale, 0, 50)),
            seen.astype(float),
            [np.sin(angle), np.cos(angle)],
        ]
    )
    return name, x, later / scale, _simple(values[:origin], horizon, season) / scale, scale


def _simple(past: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """Half the level of the last three observed periods, half the same period a season ago where it exists."""
    observed = past[np.isfinite(past)]
    level = float(observed[-3:].mean()) if len(observed) else 0.0
    ago = np.array([past[len(past) - season + h] if len(past) >= season else np.nan for h in range(horizon)])
    return np.where(np.isfinite(ago), (level + ago) / 2, level)


def _stack(parts: list[tuple[str, np.ndarray, np.ndarray, np.ndarray, float]], schema: TableSchema) -> Windows:
    horizon = schema.options["horizon"]
    if not parts:
        return Windows(np.zeros((0, inputs(schema))), np.zeros((0, horizon)), np.zeros((0, horizon)), np.zeros(0), ())
    names, x, y, base, scale = zip(*parts, strict=True)
    return Windows(np.stack(x), np.stack(y), np.stack(base), np.array(scale), tuple(names))
