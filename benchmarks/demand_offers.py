"""What promotions and prices that are known beforehand give a forecast, and what they cost where they tell nothing.

    python -m benchmarks.demand_offers --data ../shared/data

First generated members, as the product serves them: series of the public generator, with and without a planted answer to
promotions and prices. Then the retail set with its weekly prices, by the public start alone. Constants of
`engine.demand.offers` were chosen on other generated members and on the validation origins; the test origins score only.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.demand_methods import kind_of, series_of
from benchmarks.demand_protocol import Setting, retail, retail_prices
from benchmarks.tables import publish
from engine.demand import offers, start, synthetic
from engine.demand.quantiles import wql
from engine.demand.task import TASK, zero_shot
from engine.demand.windows import MONTHLY, WEEKLY, Frequency, Series, period_text
from engine.votes import AtHome

SEED, SERIES = 1_000, 20
PLANTED = (1.0, 0.3, 0.0)  # of the whole answer
Forecast = Callable[[Series], np.ndarray]
NOTES = (
    "Generated: promotions in 15 % of months or 10 % of weeks, of a fifth to all of their days; prices step by 8 % (sd) in 6 % of the periods and "
    "fall by up to a fifth of their logarithm in promotions. The whole answer is a lift of .5 (sd .25) for a promotion of all days and an "
    "elasticity of -1.5 (sd .6), by series; where nothing is planted, both are said and tell nothing. WQL of the last horizon, as served, mean "
    "over members; lower is better. In the second column past and plan are in the table, in the third the past alone.",
    "Retail: the price of a week is the median over its invoice lines, and none is known of a week without sales. So a changed price also says that "
    "the product was sold, and a low one that wholesalers bought (they pay less a piece): what the plan seems to give here is more than a price list "
    "known beforehand would. No promotions are known. `as decided at home` uses prices where the newest periods were foreseen better with them.",
)


@dataclass(frozen=True, slots=True)
class Member:
    """Series of which `offers` are known to the end of the last horizon, and what was sold then, `(series, horizon)`."""

    series: Series
    came: np.ndarray


def member(kind: Frequency, seed: int, planted: float) -> Member:
    """One generated member whose series answer by `planted` of the whole."""
    random = np.random.default_rng([SEED + seed, kind.season])
    monthly = kind is MONTHLY
    base, first = (synthetic.monthly if monthly else synthetic.weekly)(random, SERIES, 60 if monthly else 104)
    on = random.random(base.shape) < (0.15 if monthly else 0.1)
    promotion = on * random.uniform(0.2, 1, base.shape)
    steps = np.cumsum((random.random(base.shape) < 0.06) * random.normal(0, 0.08, base.shape), 1)
    price = 3.0 + steps - promotion * random.uniform(0, 0.2, (SERIES, 1))
    lift = np.maximum(random.normal(0.5, 0.25, (SERIES, 1)), 0.0)
    elasticity = np.minimum(random.normal(-1.5, 0.6, (SERIES, 1)), 0.0)
    moved = np.exp(planted * (lift * promotion + elasticity * (price - price.mean(1, keepdims=True))))
    sold = base * moved if monthly else random.poisson(base * moved).astype(np.float64)
    names = tuple(f"S{n:02d}" for n in range(SERIES))
    known = sold.shape[1] - kind.horizon
    return Member(Series(sold[:, :known], int(first[0]), names, np.stack([promotion, price], 2)), sold[:, known:])


def table(series: Series, kind: Frequency, periods: int) -> pl.DataFrame:
    """The member's table, offers of the first `periods` in it (0: without them)."""
    known, count = series.values.shape[1], len(series.names)
    said = max(periods, known)
    promotion, price = (
        np.where(np.arange(said) < periods, series.offers[:, :said, at], np.nan).ravel()  # type: ignore[index]
        for at in (0, 1)
    )
    sold = np.pad(series.values, ((0, 0), (0, said - known)), constant_values=np.nan)
    frame = pl.DataFrame(
        {
            "series": np.repeat(series.names, said),
            "period": [period_text(series.first + t, kind) for t in range(said)] * count,
            "sales": sold.ravel(),
            "promotion": promotion,
            "price": np.exp(price),
        }
    )
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def served(one: Member, kind: Frequency, periods: int, folder: Path) -> tuple[float, bool | None]:
    """(WQL of the last horizon by the outer and middle quantiles, were offers used)."""
    schema = TASK.schema().model_copy(update={"options": {"season": kind.season, "horizon": kind.horizon}})
    home = AtHome(b"benchmark", folder, lambda done, every: None)
    voted = TASK.vote(None, table(one.series, kind, periods), schema, home)
    steps = range(1, kind.horizon + 1)
    told = np.array(
        [[[line.outcome[f"{q}_{h}"] for q in ("low", "median", "high")] for h in steps] for line in voted.lines]
    )
    whole = told[..., (0, 0, 1, 2, 2)]
    whole[..., (1, 3)] = (
        told[..., :2] + told[..., 1:]
    ) / 2  # files hold three quantiles; halfway stands for the others
    return wql(one.came, whole), voted.offers


def generated(kind: Frequency, members: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each planted answer."""
    rows = []
    for planted in PLANTED:
        found = np.zeros((members, 3))
        used = 0
        for seed in range(members):
            one = member(kind, seed, planted)
            known = one.series.values.shape[1]
            made = [served(one, kind, periods, folder) for periods in (0, known + kind.horizon, known)]
            found[seed], used = [loss for loss, _used in made], used + bool(made[1][1])
        without, plan, past = found.mean(0)
        rows.append(
            {
                "planted": f"{planted:.0%}",
                "without": f"{without:.4f}",
                "past and plan": f"{plan:.4f} ({plan / without - 1:+.1%})",
                "past alone": f"{past:.4f} ({past / without - 1:+.1%})",
                "plan better / worse": f"{(found[:, 1] < found[:, 0]).sum()} / {(found[:, 1] > found[:, 0]).sum()} of {members}",
                "plan used by": f"{used} of {members}",
            }
        )
    return rows


def priced(setting: Setting, data: Path, *, ahead: bool) -> Series:
    """The set with its prices; known of periods to come, or not."""
    price = np.log(offers.held(retail_prices(data, setting)))
    whole = np.concatenate([price, price[:, -1:].repeat(setting.horizon, 1)], 1) if ahead else price
    return replace(series_of(setting), offers=np.stack([np.zeros_like(whole), whole], 2))


def by_start(setting: Setting, series: Series, origins: tuple[int, ...], way: str) -> np.ndarray:
    """Forecasts `(series, origins, horizon, 5)` of the public start: `without`, `with`, or as `decided` member by member."""
    kind, head, made = kind_of(setting), start.head(kind_of(setting)), []

    def forecast(past: Series) -> np.ndarray:
        return zero_shot(past, past.values.shape[1], kind, head)

    for origin in origins:
        known = _before(series, origin, kind)
        bare = replace(known, offers=None)
        past, moved = offers.foreseen(known, origin, kind)
        plain, priced = forecast(offers.foreseen(bare, origin, kind)[0]), forecast(past) * offers.factor(moved)
        uses = np.full(len(plain), way == "with")
        for name in setting.members() if way == "decided" else ():
            rows = np.flatnonzero(setting.member == name)
            uses[rows] = offers.helps(_some(known, rows), kind, forecast)
        made.append(np.where(uses[:, None, None], priced, plain))
    return np.stack(made, 1)


def _before(series: Series, origin: int, kind: Frequency) -> Series:
    """What is known at `origin`."""
    assert series.offers is not None
    ahead = kind.horizon if series.offers.shape[1] > series.values.shape[1] else 0
    return replace(series, values=series.values[:, :origin], offers=series.offers[:, : origin + ahead])


def _some(series: Series, rows: np.ndarray) -> Series:
    assert series.offers is not None
    return Series(series.values[rows], series.first, tuple(series.names[i] for i in rows), series.offers[rows])


def real(setting: Setting, data: Path) -> list[dict[str, Any]]:
    """Rows by origins and by what is known."""
    rows = []
    for called, origins in (("validation", setting.validation), ("test", setting.test)):
        y = setting.targets(origins)
        for said, ahead in (("prices, those to come too", True), ("prices so far alone", False)):
            series = priced(setting, data, ahead=ahead)
            without, with_it, decided = (
                wql(y, by_start(setting, series, origins, way)) for way in ("without", "with", "decided")
            )
            rows.append(
                {
                    "origins": called,
                    "known": said,
                    "without": f"{without:.4f}",
                    "with": f"{with_it:.4f} ({with_it / without - 1:+.1%})",
                    "as decided at home": f"{decided:.4f} ({decided / without - 1:+.1%})",
                }
            )
    return rows


def main() -> None:
    """Print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--members", type=int, default=8, help="generated members a row")
    chosen = parser.parse_args()
    parts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in (MONTHLY, WEEKLY):
            parts[f"Generated members, {kind.name}"] = generated(kind, chosen.members, Path(folder))
    for part in ("normal", "peak"):
        setting = retail(chosen.data, part)
        parts[f"{setting.name}, the public start alone"] = real(setting, chosen.data)
    publish("demand_offers", "Promotions and prices that are known beforehand", parts, NOTES)


if __name__ == "__main__":
    main()
