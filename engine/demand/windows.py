"""Series -> scale-free windows. A window's values depend on its own series and the calendar only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import polars as pl

from contracts.errors import Malformed
from contracts.wording import N_
from engine.demand import calendar
from engine.table import TableSchema

_SMALL = 0.1  # added before a logarithm, in units of the scale
_MOST = 50.0  # a value of more scales than this is cut
_RIDGE = {12: np.array((8.0, 0.5)), 52: np.array((0.5,))}  # of the response to weekends, to the festival


@dataclass(frozen=True, slots=True)
class Frequency:
    """How far back a window sees, how far ahead it looks, and what `season` ago means."""

    name: str
    season: int
    horizon: int
    lookback: int
    level: int  # periods whose mean is the scale
    launch: int  # a series with fewer observed periods is a launch

    def memory(self) -> int:
        """Periods before an origin that a window may use."""
        return max(self.lookback, self.season + 4)

    def inputs(self) -> int:
        """Numbers of a window."""
        ago = 0 if self.lookback > self.season else 2 * (self.horizon + 4)
        effects = 2 if self.season == 12 else 1
        return 2 * self.lookback + ago + 2 * effects * self.horizon + 5


MONTHLY = Frequency("monthly", season=12, horizon=3, lookback=36, level=12, launch=6)
WEEKLY = Frequency("weekly", season=52, horizon=4, lookback=26, level=8, launch=8)
NINE_WEEKS = Frequency("nine-weeks", season=52, horizon=9, lookback=26, level=8, launch=8)  # two months of orders
FREQUENCIES = (MONTHLY, WEEKLY, NINE_WEEKS)


def frequency(schema: TableSchema) -> Frequency:
    """The frequency whose season and horizon a schema asks for."""
    asked = schema.options.get("season"), schema.options.get("horizon")
    for one in FREQUENCIES:
        if asked == (one.season, one.horizon):
            return one
    raise Malformed(
        N_("there is no demand model for season {season} and horizon {horizon}"),
        why=N_("months: season 12, horizon 3; weeks: season 52, horizon 4 or 9"),
        season=asked[0],
        horizon=asked[1],
    )


@dataclass(frozen=True, slots=True)
class Series:
    """`values` `(series, periods)` with NaN where missing, the number of the first period, the names, and `offers`
    `(series, periods + horizon, 2)`, promotion and logarithm of the price (of the periods so far alone, where nothing
    is said of those to come); None where a member says nothing of either."""

    values: np.ndarray
    first: int
    names: tuple[str, ...]
    offers: np.ndarray | None = None

    def observed(self) -> np.ndarray:
        """How many periods of each series were observed, `(series,)`."""
        count: np.ndarray = np.isfinite(self.values).sum(1)
        return count


@dataclass(frozen=True, slots=True)
class Windows:
    """`x` `(windows, inputs)`; `y` `(windows, horizon)` in units of `scale` with NaN where not observed; `row`
    the number of each window's series."""

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    row: np.ndarray


def read_series(frame: pl.DataFrame, schema: TableSchema) -> Series:
    """All series of a table on one axis of time."""
    who, when, what = schema.one("id").name, schema.one("period").name, schema.one("number").name
    if frame.is_empty():
        return Series(np.zeros((0, 1)), 0, ())
    names = frame[who].unique(maintain_order=True).to_list()
    place = {name: index for index, name in enumerate(names)}
    at = np.array([period_number(text) for text in frame[when].to_list()])
    values = np.full((len(names), int(at.max() - at.min()) + 1), np.nan)
    values[[place[name] for name in frame[who].to_list()], at - at.min()] = frame[what].cast(pl.Float64).to_numpy()
    return Series(values, int(at.min()), tuple(map(str, names)))


def families(frame: pl.DataFrame, schema: TableSchema) -> dict[str, str]:
    """Series -> the family that its newest row names, of those series that name one."""
    if not (named := [column.name for column in schema.of_kind("group") if column.name in frame.columns]):
        return {}
    who, when = schema.one("id").name, schema.one("period").name
    newest = frame.drop_nulls(named[0]).sort(when, maintain_order=True).group_by(who).agg(pl.col(named[0]).last())
    return dict(newest.rows())


def period_number(text: str) -> int:
    """Months since year 0 for YYYY-MM, weeks since day 1 for YYYY-MM-DD."""
    if len(text) == 7:
        return int(text[:4]) * 12 + int(text[5:]) - 1
    return date.fromisoformat(text).toordinal() // 7


def period_text(number: int, kind: Frequency) -> str:
    """YYYY-MM of a month; of a week its Monday."""
    if kind.season == 12:
        return f"{number // 12:04d}-{number % 12 + 1:02d}"
    return date.fromordinal(number * 7 + 1).isoformat()


def windows(series: Series, origins: Sequence[int], kind: Frequency, *, at_least: int = 3) -> Windows:
    """One window an origin and series that has `at_least` observed periods before it; later values where they are."""
    parts = [_at(series, origin, kind, at_least) for origin in origins]
    if not parts:
        return Windows(np.zeros((0, kind.inputs())), np.zeros((0, kind.horizon)), np.zeros(0), np.zeros(0, np.int64))
    x, y, scale, row = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Windows(x, y, scale, row)


def training_origins(series: Series) -> range:
    """Every origin with a later value."""
    return range(3, series.values.shape[1])


def _at(series: Series, origin: int, kind: Frequency, at_least: int) -> tuple[np.ndarray, ...]:
    past = _padded(series.values[:, max(0, origin - kind.memory()) : origin], kind.memory())
    row = np.flatnonzero(np.isfinite(past).sum(1) >= at_least)
    x, scale = inputs(past[row], np.full(len(row), series.first + origin), kind)
    later = series.values[row, origin : origin + kind.horizon]
    y = np.full((len(row), kind.horizon), np.nan)
    y[:, : later.shape[1]] = later
    return x, y / scale[:, None], scale, row


def _padded(past: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([np.full((len(past), width - past.shape[1]), np.nan), past], 1)


def inputs(past: np.ndarray, at: np.ndarray, kind: Frequency) -> tuple[np.ndarray, np.ndarray]:
    """(`x` `(n, inputs)`, `scale` `(n,)`) of `past` `(n, memory)` before periods `at` `(n,)`."""
    if not len(at):
        return np.zeros((0, kind.inputs())), np.zeros(0)
    seen = np.isfinite(past)
    filled = np.where(seen, past, 0.0)
    near = seen[:, -kind.level :].sum(1)
    recent = filled[:, -kind.level :].sum(1) / np.maximum(near, 1)
    long = filled.sum(1) / np.maximum(seen.sum(1), 1)
    scale = np.maximum(np.where(near > 0, recent, long), np.maximum(_SMALL * np.abs(long), 1e-6))
    logs = np.where(seen, to_log(filled / scale[:, None]), 0.0)
    parts = [logs[:, -kind.lookback :], seen[:, -kind.lookback :]]
    if kind.lookback <= kind.season:  # and the same weeks a season ago
        ago = slice(-kind.season - 2, -kind.season + kind.horizon + 2)
        parts += [logs[:, ago], seen[:, ago]]
    parts += _calendar(logs, seen, at, kind)
    return np.concatenate([*parts, _statics(filled, seen, scale, long, kind)], 1), scale


def to_log(ratio: np.ndarray) -> np.ndarray:
    """A value in units of the scale -> the space in which the network computes."""
    logs: np.ndarray = np.log(np.clip(ratio, 0.0, _MOST) + _SMALL)
    return logs


def _statics(filled: np.ndarray, seen: np.ndarray, scale: np.ndarray, long: np.ndarray, kind: Frequency) -> np.ndarray:
    count = np.maximum(seen.sum(1), 1)
    spread = np.sqrt((np.where(seen, filled - long[:, None], 0.0) ** 2).sum(1) / count)
    return np.stack(
        [
            count / kind.memory(),
            np.log(np.maximum(long, 1e-9) / scale).clip(-3, 3),
            np.minimum(spread / np.maximum(long, 1e-9), 5.0),
            (seen & (filled <= 0)).sum(1) / count,
            1.0 / (1.0 + scale),  # counts of a few pieces are rounded, sums of money are not
        ],
        1,
    )


def _calendar(logs: np.ndarray, seen: np.ndarray, at: np.ndarray, kind: Frequency) -> list[np.ndarray]:
    """How much each target differs from the same period a season ago by the calendar, alone and times this series'
    own response (a ridge slope of its year-on-year steps)."""
    season, horizon, memory = kind.season, kind.horizon, kind.memory()
    begin = int(at.min()) - memory
    known = _known(kind.season, begin, int(at.max()) + horizon)
    grid = known[(at - begin)[:, None] + np.arange(-memory, horizon)]  # (n, memory + horizon, effects)
    change = grid[:, season:] - grid[:, :-season]
    past, ahead = change[:, : memory - season], change[:, memory - season :]
    both = seen[:, season:] & seen[:, :-season]
    step = np.where(both, logs[:, season:] - logs[:, :-season], 0.0)
    count = np.maximum(both.sum(1, keepdims=True), 1)
    step = np.where(both, step - step.sum(1, keepdims=True) / count, 0.0).clip(-1, 1)
    past = np.where(both[:, :, None], past, 0.0)
    slope = (step[:, :, None] * past).sum(1) / ((past**2).sum(1) + _RIDGE[season])
    return [ahead.reshape(len(at), -1), (slope[:, None, :] * ahead).reshape(len(at), -1)]


@cache
def _known(season: int, first: int, last: int) -> np.ndarray:
    return calendar.table(season, first, last - first)
