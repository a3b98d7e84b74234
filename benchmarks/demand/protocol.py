"""Splits and measures of the public demand sets, as their READMEs state them: the one place that knows them.

A forecast is an array `(series, origins, horizon, 5)` of the quantiles in `engine.demand.quantiles.LEVELS`, in the
unit of the data. The test part scores and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from engine.demand.quantiles import pinball

COUNTIES = (
    *("Angelina", "Bell", "Bosque", "Bowie", "Brazoria", "Collin", "Denton", "Ector", "El Paso", "Fort Bend"),
    *("Galveston", "Grayson", "Hardin", "Hays", "Jim Wells", "Liberty", "Lubbock", "Orange", "Potter", "Williamson"),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """`values` `(series, periods)` with NaN where missing; `member` `(series,)`; origins are period numbers.

    `first` is the number of period 0 as `engine.demand.windows.period_number` counts; a forecast from origin t uses
    periods before t. `train_end` is the first period after the training range; `lag` is that of MASE.
    """

    name: str
    values: np.ndarray
    member: np.ndarray
    series: np.ndarray
    first: int
    season: int
    lag: int
    horizon: int
    train_end: int
    training: range
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def targets(self, origins: tuple[int, ...]) -> np.ndarray:
        """What came, `(series, origins, horizon)`."""
        return np.stack([self.values[:, t : t + self.horizon] for t in origins], 1)

    def members(self) -> list[str]:
        """Names, in order of number of series (then name): the order of the terciles."""
        names, counts = np.unique(self.member, return_counts=True)
        return [str(name) for _, name in sorted(zip(counts.tolist(), names.tolist(), strict=True))]

    def only(self, chosen: np.ndarray) -> Setting:
        """The same with some of the series."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return Setting(
            **fields | {"values": self.values[chosen], "member": self.member[chosen], "series": self.series[chosen]}
        )


def texas(data: Path, by: str) -> Setting:
    """Monthly receipts by `chain` or by `county`; months 0..33, four test origins."""
    folder = data / "tx_hospitality_monthly"
    about = pl.read_csv(folder / "series.csv.gz").with_columns(pl.col("series_id").cast(pl.String))
    about = (
        about.filter(pl.col("member").is_not_null())
        if by == "chain"
        else about.filter(pl.col("county").is_in(COUNTIES)).with_columns(member=pl.col("county"))
    ).sort("series_id")
    rows = pl.read_parquet(folder / "receipts.parquet").with_columns(
        pl.col("series_id").cast(pl.String), at=(pl.col("month").dt.year() - 2014) * 12 + pl.col("month").dt.month() - 8
    )
    rows = rows.join(about.select("series_id", "member"), on="series_id").filter(pl.col("at") < 34)
    values = _matrix(rows, about["series_id"].to_list(), "receipts", 34)
    return Setting(
        name=f"Texas, {by}",
        values=values,
        member=about["member"].to_numpy(),
        series=about["series_id"].to_numpy(),
        first=2014 * 12 + 7,
        season=12,
        lag=12,
        horizon=3,
        train_end=28,
        training=range(7, 21),
        validation=(23, 24, 25),
        test=(28, 29, 30, 31),
    )


def retail(data: Path, part: str) -> Setting:
    """Weekly units by product family; `normal` (summer) or `peak` (autumn), five test origins two weeks apart."""
    rows = _weekly(data)
    about = rows.group_by("series_id").agg(pl.col("member").first()).sort("series_id")
    peak = part == "peak"
    return Setting(
        name=f"Retail, {part}",
        values=_matrix(rows, about["series_id"].to_list(), "units", 52),
        member=about["member"].to_numpy(),
        series=about["series_id"].to_numpy(),
        first=date(2010, 12, 6).toordinal() // 7,
        season=52,
        lag=1,
        horizon=4,
        train_end=40 if peak else 28,
        training=range(6, 31 if peak else 19),
        validation=(34, 35, 36) if peak else (22, 23, 24),
        test=(40, 42, 44, 46, 48) if peak else (28, 30, 32, 34, 36),
    )


def retail_prices(data: Path, setting: Setting) -> np.ndarray:
    """Median price of a piece by week, `(series, periods)`; NaN where nothing was sold."""
    rows = _weekly(data).drop_nulls("median_price")
    return _matrix(rows, [str(name) for name in setting.series], "median_price", setting.values.shape[1])


def _weekly(data: Path) -> pl.DataFrame:
    return pl.read_parquet(data / "online_retail_weekly" / "weekly.parquet").with_columns(
        at=((pl.col("week") - pl.datetime(2010, 12, 6)).dt.total_days() // 7).cast(pl.Int64)
    )


def _matrix(rows: pl.DataFrame, names: list[str], column: str, periods: int) -> np.ndarray:
    place = {name: index for index, name in enumerate(names)}
    values = np.full((len(names), periods), np.nan)
    values[[place[name] for name in rows["series_id"].to_list()], rows["at"].to_numpy()] = rows[column].to_numpy()
    return values


@dataclass(frozen=True, slots=True)
class Score:
    """Measures of one method; `by_member` WQL in the order of `Setting.members`, `thirds` small, middle, large."""

    wape: float
    mase: float
    wql: float
    coverage: float
    thirds: tuple[float, float, float]
    by_member: np.ndarray
    cover_by_member: np.ndarray
    scored: int


def score(setting: Setting, forecast: np.ndarray, origins: tuple[int, ...]) -> Score:
    """All measures of the READMEs over observed (series, origin, step); retail counts half a unit as inside."""
    y = setting.targets(origins)
    seen = np.isfinite(y)
    loss, size = pinball(y, forecast), np.where(seen, y, 0.0)
    error = np.abs(np.where(seen, y - forecast[..., 2], 0.0))
    slack = 0.5 if setting.lag == 1 else 0.0
    inside = (y >= forecast[..., 0] - slack) & (y <= forecast[..., 4] + slack)
    names = setting.members()
    groups = [setting.member == name for name in names]
    third = np.arange(len(names)) * 3 // len(names)
    thirds = [np.isin(setting.member, [n for n, t in zip(names, third, strict=True) if t == k]) for k in range(3)]
    return Score(
        wape=float(error.sum() / size.sum()),
        mase=_mase(setting, error, seen),
        wql=float(loss.sum() / size.sum()),
        coverage=float(inside[seen].mean()),
        thirds=tuple(float(loss[g].sum() / size[g].sum()) for g in thirds),  # type: ignore[arg-type]
        by_member=np.array([loss[g].sum() / max(size[g].sum(), 1e-9) for g in groups]),
        cover_by_member=np.array([inside[g][seen[g]].mean() for g in groups]),
        scored=int(seen.sum()),
    )


def losses(setting: Setting, made: list[np.ndarray]) -> np.ndarray:
    """`(series,)` pinball loss on test, mean over the forecasts in `made`: one a seed."""
    y, cut = setting.targets(setting.test), len(setting.validation)
    return np.mean([pinball(y, one[:, cut:]).sum((1, 2)) for one in made], 0)


def _mase(setting: Setting, error: np.ndarray, seen: np.ndarray) -> float:
    past = setting.values[:, : setting.train_end]
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.nanmean(np.abs(past[:, setting.lag :] - past[:, : -setting.lag]), 1)
        each = error.sum((1, 2)) / seen.sum((1, 2)) / step
    return float(np.mean(each[np.isfinite(each)]))


def gains(ours: Score, other: Score, margin: float = 0.01) -> tuple[int, int, int]:
    """(gain, tie, lose) members against another method; a tie is within `margin` of WQL."""
    ratio = ours.by_member / other.by_member
    return int((ratio < 1 - margin).sum()), int((np.abs(ratio - 1) <= margin).sum()), int((ratio > 1 + margin).sum())
