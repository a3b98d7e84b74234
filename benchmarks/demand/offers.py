"""What promotions and prices that are known beforehand give a forecast, and what they cost where they tell nothing.

    python -m benchmarks.demand.offers --data ../shared/data

The public start alone, which has three quarters of the weight in what is served: on generated members with and
without a planted answer to promotions and prices, then on the retail set with its weekly prices. Constants of
`engine.demand.offers` were chosen on other generated members and on the validation origins of the retail set;
its test origins score only.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demand.methods import series_of
from benchmarks.demand.protocol import Setting, retail, retail_prices
from benchmarks.tables import publish
from engine.demand import offers, start, synthetic
from engine.demand.quantiles import pinball, wql
from engine.demand.task import zero_shot
from engine.demand.windows import MONTHLY, WEEKLY, Frequency, Series

SEED, SERIES, ORIGINS = 1_000, 8, 3  # of a generated member: one family of the generator, its newest origins
PLANTED = (1.0, 0.3, 0.0)  # of the whole answer
WAYS = ("without", "with", "decided")
NOTES = (
    "WQL of the public start alone; lower is better. `decided`: as a node does, offers are used where the member's "
    "newest six origins before were foreseen better with them. `known`: promotions and prices so far and of the "
    "periods to come, or those so far alone.",
    "Generated members: promotions in 15 % of months or 10 % of weeks, of a fifth to all of their days; prices step "
    "by 8 % (sd) in 6 % of the periods and fall by up to a fifth of their logarithm in promotions. The whole answer "
    "is a lift of .5 (sd .25) for a promotion of all days and an elasticity of -1.5 (sd .6), by series; where "
    "nothing is planted, both are said and tell nothing. Members of eight series, each of equal weight.",
    "Retail: the price of a week is the median over its invoice lines, and none is known of a week without sales. So "
    "a changed price also says that the product was sold, and a low one that wholesalers bought (they pay less a "
    "piece): knowing it beforehand gives more here than a price list would. No promotions are known.",
)


def member(kind: Frequency, seed: int, planted: float) -> Series:
    """One generated member whose series answer by `planted` of the whole; its last offers hold on."""
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
    return _with(Series(sold, int(first[0]), tuple(f"S{n}" for n in range(SERIES))), promotion, price)


def _with(series: Series, promotion: np.ndarray, price: np.ndarray) -> Series:
    return replace(series, offers=np.stack([promotion, price], 2))


def forecasts(series: Series, kind: Frequency, origins: tuple[int, ...], *, ahead: bool) -> dict[str, np.ndarray]:
    """Way -> forecasts `(series, origins, horizon, 5)` of one member by the public start."""
    head = start.head(kind)

    def forecast(past: Series) -> np.ndarray:
        return zero_shot(past, past.values.shape[1], kind, head)

    made: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    for origin in origins:
        known = _before(series, origin, kind.horizon if ahead else 0)
        past, moved = offers.foreseen(known, origin, kind)
        made["without"].append(forecast(replace(known, offers=None)))
        made["with"].append(forecast(past) * offers.factor(moved))
        made["decided"].append(made["with" if offers.helps(known, kind, forecast) else "without"][-1])
    return {way: np.stack(parts, 1) for way, parts in made.items()}


def _before(series: Series, origin: int, ahead: int) -> Series:
    """What is known at `origin`: sales so far, offers `ahead` periods further."""
    assert series.offers is not None
    return replace(series, values=series.values[:, :origin], offers=series.offers[:, : origin + ahead])


def generated(kind: Frequency, members: int) -> list[dict[str, Any]]:
    """A row for each planted answer and what is known."""
    rows = []
    for planted in PLANTED:
        made = [member(kind, seed, planted) for seed in range(members)]
        last = made[0].values.shape[1] - kind.horizon
        origins = tuple(range(last - ORIGINS + 1, last + 1))
        for ahead in (True, False):
            parts = [_of_equal_weight(one, kind, origins, ahead=ahead) for one in made]
            rows.append({"planted": f"{planted:.0%}"} | _row(parts, ahead=ahead))
    return rows


def _of_equal_weight(
    one: Series, kind: Frequency, origins: tuple[int, ...], *, ahead: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(what came, forecasts by way) in units of all that the member sold: generated members differ a thousandfold."""
    came = np.stack([one.values[:, t : t + kind.horizon] for t in origins], 1)
    unit = float(np.nansum(came))
    return came / unit, {way: made / unit for way, made in forecasts(one, kind, origins, ahead=ahead).items()}


def real(setting: Setting, data: Path) -> list[dict[str, Any]]:
    """A row for the validation, one for the test origins, and what is known."""
    price = np.log(offers.held(retail_prices(data, setting)))
    whole = _with(series_of(setting), np.zeros_like(price), price)
    members = [np.flatnonzero(setting.member == name) for name in setting.members()]
    rows = []
    for called, origins in (("validation", setting.validation), ("test", setting.test)):
        y = setting.targets(origins)
        for ahead in (True, False):
            parts = [(y[own], forecasts(_some(whole, own), WEEKLY, origins, ahead=ahead)) for own in members]
            rows.append({"origins": called} | _row(parts, ahead=ahead))
    return rows


def _some(series: Series, rows: np.ndarray) -> Series:
    assert series.offers is not None
    return Series(series.values[rows], series.first, tuple(series.names[i] for i in rows), series.offers[rows])


def _row(parts: list[tuple[np.ndarray, dict[str, np.ndarray]]], *, ahead: bool) -> dict[str, Any]:
    """Over members (what came, forecasts by way)."""
    y = np.concatenate([came for came, _made in parts])
    loss = {way: wql(y, np.concatenate([made[way] for _came, made in parts])) for way in WAYS}
    each = np.array([[pinball(came, made[way]).sum() for way in ("decided", "without")] for came, made in parts])
    better, worse = (int((sign * (each[:, 0] - each[:, 1]) < 0).sum()) for sign in (1, -1))
    return {
        "known": "those to come too" if ahead else "those so far",
        "without": f"{loss['without']:.4f}",
        **{way: f"{loss[way]:.4f} ({loss[way] / loss['without'] - 1:+.1%})" for way in ("with", "decided")},
        "members: decided better / worse / same": f"{better} / {worse} / {len(parts) - better - worse}",
    }


def main() -> None:
    """Print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--members", type=int, default=100, help="generated members a row")
    chosen = parser.parse_args()
    parts: dict[str, Any] = {}
    for kind in (MONTHLY, WEEKLY):
        parts[f"Generated members, {kind.name}"] = generated(kind, chosen.members)
    for part in ("normal", "peak"):
        setting = retail(chosen.data, part)
        parts[setting.name] = real(setting, chosen.data)
    publish("demand_offers", "Promotions and prices that are known beforehand", parts, NOTES)


if __name__ == "__main__":
    main()
