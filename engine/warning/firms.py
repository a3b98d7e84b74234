"""Simulated firms, month by month: cash, orders, capacity, customers who pay late, and the month from which on a firm
can no longer pay. What the prior is made from and benchmarks measure by; no data of any firm.

Deterministic by seed. What books show is measured with error and in part missing; calls on cash (a guarantee, a claim,
the owner) cannot be foreseen by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

WARM_UP, BEGIN = 12, 2020  # months that nobody sees; year of the first that somebody does
RATIOS = (
    "runway_months",
    "runway_change",
    "sales_trend",
    "order_trend",
    "utilisation",
    "utilisation_change",
    "receivable_days",
    "overdue_share",
    "margin",
    "debt_months",
)
_SECTORS, _NOISE, _MISSING = 6, 0.15, 0.10
_CALL, _LINE = 0.012, 1.0  # share of firm-months with a call on cash; credit line in months of sales


@dataclass(frozen=True, slots=True)
class Firms:
    """`ratios` `(firms, months, ratios)` with NaN where missing; `onset` `(firms,)`: month
    of distress, -1 for never."""

    ratios: np.ndarray
    onset: np.ndarray

    def tables(self, months: int) -> list[pl.DataFrame]:
        """Each firm's table (see schema.json) as it stands after the first `months`. Before its distress a firm with
        little cash pays its own bills late, and from then on it does not pay them."""
        when = [f"{BEGIN + month // 12}-{month % 12 + 1:02d}" for month in range(months)]
        late = np.minimum(30 * (1 - self.ratios[:, :, 0]).clip(0), 89)
        since = np.arange(self.ratios.shape[1]) - self.onset[:, None]
        days = np.where((self.onset[:, None] >= 0) & (since >= 0), 91 + 30 * since, np.nan_to_num(late).round())
        return [
            pl.DataFrame({"month": when} | dict(zip(RATIOS, shown[:months].T, strict=True)))
            .fill_nan(None)
            .with_columns(own_overdue_days=own[:months].astype(float))
            for shown, own in zip(self.ratios, days, strict=True)
        ]


def simulate(firms: int, months: int, seed: int) -> Firms:
    """Sectors move together; weak orders and late customers eat cash; debt costs interest;
    months of warm-up are cut."""
    rng, length = np.random.default_rng(seed), months + WARM_UP
    sector = rng.integers(0, _SECTORS, firms)
    market = _walk(rng, (1, length), 0.85, 0.025)
    demand = market + _walk(rng, (_SECTORS, length), 0.96, 0.025)[sector] + _walk(rng, (firms, length), 0.9, 0.07)
    late = np.clip(
        0.10 + 0.03 * rng.normal(size=(firms, 1)) - 0.3 * demand + _walk(rng, (firms, length), 0.9, 0.02), 0, 0.6
    )
    margin = rng.normal(0.075, 0.03, (firms, 1)) + 0.25 * demand + 0.01 * rng.normal(size=(firms, length))
    debt = np.exp(rng.normal(0.6, 0.6, firms))
    cash, onset = np.zeros((firms, length)), np.full(firms, -1)
    held = rng.uniform(0.2, 1.8, firms)
    for t in range(length):
        owed_more = 0.8 * (late[:, t] - late[:, t - 1]) if t else 0.0
        call = np.where(rng.random(firms) < _CALL, rng.uniform(0.3, 1.2, firms), 0.0)
        earned = np.exp(demand[:, t]) * margin[:, t] - 0.035 - 0.011 * debt
        held = np.minimum(held + earned - owed_more - call, 1.2 + 0.4 * held.clip(0, 2))
        cash[:, t] = held
        fails = (held < -0.5 * _LINE) & (onset < 0)
        onset[fails] = t
        held = np.where(fails & (t < WARM_UP), 0.8, held)  # replaced before anybody watches
        onset[fails & (t < WARM_UP)] = -1
    used = 0.75 * np.exp(0.8 * demand)
    whole = np.stack(
        [
            cash,
            _change(cash, 3),
            _change(demand, 6),
            _change(demand + 0.05 * rng.normal(size=demand.shape), 3),
            used,
            _change(used, 6),
            60 + 150 * (late - 0.1),
            late,
            margin,
            np.broadcast_to(debt[:, None], cash.shape),
        ],
        -1,
    )[:, WARM_UP:]
    return Firms(_measured(whole, rng), np.where(onset >= 0, onset - WARM_UP, -1))


def _measured(whole: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shown = whole + _NOISE * whole.std((0, 1)) * rng.normal(size=whole.shape)
    return np.where(rng.random(whole.shape) < _MISSING, np.nan, shown)


def _change(path: np.ndarray, months: int) -> np.ndarray:
    moved = np.zeros_like(path)
    moved[:, months:] = path[:, months:] - path[:, :-months]
    return moved


def _walk(rng: np.random.Generator, shape: tuple[int, int], keep: float, shock: float) -> np.ndarray:
    path = rng.normal(0, shock, shape)
    path[:, 0] /= np.sqrt(1 - keep**2)
    for t in range(1, shape[1]):
        path[:, t] += keep * path[:, t - 1]
    return path
