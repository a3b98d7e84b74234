"""What a member offers, promotions and prices, which it knows beforehand, and how its series
answered to those of the past.

A series has its own response, on the scale of logarithms: a ridge slope of what it sold on its promotions and
prices, each less its mean over the periods around it, drawn towards nothing where little is seen. Its past is
brought to no promotion at the price of its last sale before windows are made, and what is forecast is
multiplied by what is planned. So the public start need not know of prices, and a series' windows still depend
on that series and public constants only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from contracts.wording import N_
from engine.demand.quantiles import pinball
from engine.demand.windows import Frequency, Series, frequency, period_number, read_series, to_log
from engine.table import TableSchema

LEVERS = (N_("promotion"), N_("price"))  # kinds of columns
_AROUND = 4  # periods before and after whose mean is the usual level
_PRIOR = np.array(
    (0.5, 0.5)
)  # how large responses are, in logarithms: of a promotion of all days, of twice e the price
_LOW, _HIGH = np.array((0.0, -4.0)), np.array((2.0, 1.0))  # a promotion sells; sums of money may rise with the price
_ODD, _MOST = 1.5, 1.5  # a deviation, and an effect, of more than this is cut
_SEEN = 0.005  # a share below which nothing is said
_JUDGED = 6  # newest origins that decide whether offers are used


def read(frame: pl.DataFrame, schema: TableSchema) -> Series:
    """The series of a table. Where it says something of promotions or prices, rows without sales only say that, and the
    past ends with the last period of which any sales are known. Offers of periods to come are there if any are said."""
    names = {column.kind: column.name for column in schema.columns if column.kind in LEVERS}
    given = {lever: name for lever, name in names.items() if name in frame.columns and frame[name].count()}
    if not given:
        return read_series(_so_far(frame, schema), schema)
    series, horizon = read_series(frame.drop_nulls(schema.one("number").name), schema), frequency(schema).horizon
    if not series.names:
        return series
    who, when = schema.one("id").name, schema.one("period").name
    row = {name: at for at, name in enumerate(series.names)}
    said = np.full((len(series.names), series.values.shape[1] + horizon, len(LEVERS)), np.nan)
    at = np.array([period_number(text) for text in frame[when].to_list()]) - series.first
    of = np.array([row.get(str(name), -1) for name in frame[who].to_list()])
    begins = np.isfinite(series.values).argmax(1)  # what was said before a series sold depends on when others began
    used = (of >= 0) & (at >= begins[of]) & (at < said.shape[1])
    for number, lever in enumerate(LEVERS):
        if lever in given:
            said[of[used], at[used], number] = frame[given[lever]].cast(pl.Float64).to_numpy()[used]
    if not np.isfinite(said[:, -horizon:]).any():
        said = said[:, :-horizon]
    promotion, price = np.nan_to_num(said[..., 0]).clip(0, 1), np.log(held(said[..., 1]))
    return replace(series, offers=np.stack([promotion, price], 2))


def _so_far(frame: pl.DataFrame, schema: TableSchema) -> pl.DataFrame:
    """Without the rows after the last period of which any sales are known."""
    when, what = schema.one("period").name, schema.one("number").name
    last = frame.drop_nulls(what)[when].max()
    return frame if last is None else frame.filter(pl.col(when) <= last)


def held(price: np.ndarray) -> np.ndarray:
    """A price holds until another is said, and the first one held before; 1 where none is ever said."""
    seen = np.nan_to_num(price) > 0
    newest = np.maximum.accumulate(np.where(seen, np.arange(price.shape[1]), -1), 1)
    filled = np.take_along_axis(price, np.where(newest < 0, seen.argmax(1)[:, None], newest), 1)
    return np.where(seen.any(1, keepdims=True), filled, 1.0)


def response(sold: np.ndarray, offers: np.ndarray) -> np.ndarray:
    """`(series, 2)`: by how much the logarithm of sales `(series, periods)` rises with promotion
    and with that of the price."""
    seen = np.isfinite(sold)
    filled, count = np.where(seen, sold, 0.0), np.maximum(seen.sum(1), 1)
    logs = to_log(filled / np.maximum(_added(filled) / count, 1e-9)[:, None])
    y = _apart(logs, seen).clip(-_ODD, _ODD)
    x = np.stack([_apart(offers[..., lever], seen) for lever in range(len(LEVERS))], 2)
    ridge = (_added(y**2) / count)[:, None] / _PRIOR**2 + 1e-9  # what is noise in this series, beside what is usual
    inner = _added(x[:, :, :, None] * x[:, :, None, :]) + ridge[:, :, None] * np.eye(len(LEVERS))
    slope: np.ndarray = np.linalg.solve(inner, _added(x * y[:, :, None])[:, :, None])[..., 0]
    return slope.clip(_LOW, _HIGH)


def _added(values: np.ndarray) -> np.ndarray:
    """The sum over periods, one after the other: those around, in which only other series sold,
    do not change a bit of it."""
    total: np.ndarray = np.cumsum(values, 1)[:, -1]
    return total


def _apart(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values less their mean over the periods around; zero where nothing was seen."""

    def summed(each: np.ndarray) -> np.ndarray:
        whole: np.ndarray = np.cumsum(np.pad(each, ((0, 0), (_AROUND + 1, _AROUND))), 1)
        sums: np.ndarray = whole[:, 2 * _AROUND + 1 :] - whole[:, : -2 * _AROUND - 1]
        return sums

    mean = summed(np.where(seen, values, 0.0)) / np.maximum(summed(seen.astype(np.float64)), 1)
    return np.where(seen, values - mean, 0.0)


def foreseen(series: Series, origin: int, kind: Frequency) -> tuple[Series, np.ndarray]:
    """(what was sold before `origin`, as without promotion and at the price when it last sold; by how much what is
    planned moves the logarithm of each period to come, `(series, horizon, 2)`), by what was known at `origin`. A member
    that says nothing of periods to come is taken not to have done so before."""
    sold = series.values[:, :origin]
    if series.offers is None:
        return Series(sold, series.first, series.names), np.zeros((len(sold), kind.horizon, len(LEVERS)))
    newest = origin - 1 - np.isfinite(sold)[:, ::-1].argmax(1)  # the series' own: others may have gone on
    usual = np.take_along_axis(series.offers, newest[:, None, None], 1) * (0.0, 1.0)
    slope = response(sold, series.offers[:, :origin])
    moved = ((series.offers - usual) * slope[:, None]).clip(-_MOST, _MOST)
    past = Series(sold * np.exp(-moved[:, :origin].sum(2)), series.first, series.names)
    if moved.shape[1] == series.values.shape[1]:
        return past, np.zeros_like(moved[:, :1]).repeat(kind.horizon, 1)
    return past, moved[:, origin : origin + kind.horizon]


def factor(moved: np.ndarray) -> np.ndarray:
    """What forecasts are multiplied by, `(..., horizon, 1)`, from `(..., horizon, 2)` of `foreseen`."""
    found: np.ndarray = np.exp(moved.sum(-1, keepdims=True))
    return found


def reasons(moved: np.ndarray) -> tuple[tuple[str, float], ...]:
    """(promotion or price, the share by which it moves a series' forecast on average) from
    `(horizon, 2)`, if that is seen."""
    shares = zip(LEVERS, np.expm1(moved.mean(0)).tolist(), strict=True)
    return tuple((lever, share) for lever, share in shares if abs(share) >= _SEEN)


def helps(series: Series, kind: Frequency, forecast: Callable[[Series], np.ndarray]) -> bool:
    """Would the newest periods have been foreseen better with the offers than without? `forecast` gives `(series,
    horizon, 5)` after what was sold."""
    last, added = series.values.shape[1] - kind.horizon, 0.0
    for origin in range(max(kind.level, last - _JUDGED + 1), last + 1):
        y = series.values[:, origin : origin + kind.horizon]
        past, moved = foreseen(series, origin, kind)
        plain, _none = foreseen(replace(series, offers=None), origin, kind)
        added += float((pinball(y, forecast(past) * factor(moved)) - pinball(y, forecast(plain))).sum())
    return added < 0
