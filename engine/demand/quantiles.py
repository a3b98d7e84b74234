"""Forecasts as quantiles: their loss, their spread, their average.

Shapes: `y` `(...,)` with NaN where nothing was observed, a forecast `(..., 5)` with the quantiles `LEVELS`.
"""

from __future__ import annotations

import numpy as np

LEVELS = np.array((0.1, 0.25, 0.5, 0.75, 0.9))
_FACTORS = np.exp(np.linspace(np.log(0.25), np.log(3.0), 31))  # what a spread may be multiplied with
# scored windows at which a factor is believed half: a member's windows err together (benchmarks.demand.bands)
_SHRINK = 360.0


def pinball(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Twice the pinball loss, mean over the levels; zero where nothing was observed; shape of `y`."""
    error = np.where(np.isfinite(y), y, 0.0)[..., None] - forecast
    loss: np.ndarray = 2 * np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(-1)
    return np.where(np.isfinite(y), loss, 0.0)


def wql(y: np.ndarray, forecast: np.ndarray) -> float:
    """Weighted quantile loss: the sum of `pinball` over the sum of what was observed; 0 where nothing was."""
    total = float(np.abs(y[np.isfinite(y)]).sum())
    return float(pinball(y, forecast).sum() / total) if total else 0.0


def widen(forecast: np.ndarray, factor: float) -> np.ndarray:
    """Every distance from the median times `factor`, never below zero."""
    middle = forecast[..., 2:3]
    wider: np.ndarray = np.maximum(middle + factor * (forecast - middle), 0.0)
    return wider


def spread_factor(y: np.ndarray, forecast: np.ndarray) -> float:
    """The factor with the least pinball loss, drawn towards 1 by n / (n + 360) for n windows `(n, horizon)`.

    A forecast judged by quantile loss without this step mistakes width for skill.
    """
    used = np.isfinite(y).any(-1)
    y, forecast = y[used], forecast[used]
    if not len(y):
        return 1.0
    losses = [pinball(y, widen(forecast, f)).sum() for f in _FACTORS]
    trust = len(y) / (len(y) + _SHRINK)
    return float(np.exp(trust * np.log(_FACTORS[int(np.argmin(losses))])))


def average(forecasts: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Quantile by quantile; quantiles that do not cross stay so."""
    mean: np.ndarray = np.einsum("v,v...->...", np.array(weights) / sum(weights), np.stack(forecasts))
    return mean


def band_factor(y: np.ndarray, forecast: np.ndarray) -> float:
    """By how much the 80 % band must be stretched to hold 80 % of what was observed (split conformal, scaled by the
    band's own halves), drawn towards 1 like `spread_factor`; 1 where 75 to 85 % are inside already, since mending noise
    costs more than it gives. A whole number stands for all within half a unit."""
    seen = np.isfinite(y)
    n = int(seen.any(-1).sum())
    if not n:
        return 1.0
    middle = forecast[..., 2]
    half = np.where(y > middle, forecast[..., 4] - middle, middle - forecast[..., 0])[seen]
    slack = 0.5 if (y[seen] == np.round(y[seen])).all() else 0.0
    needed = np.maximum(np.abs(y - middle)[seen] - slack, 0.0) / np.maximum(half, 1e-9)
    if 0.75 <= (needed <= 1).mean() <= 0.85:
        return 1.0
    at = min(1.0, np.ceil(0.8 * (len(needed) + 1)) / len(needed))
    stretch = float(np.clip(np.quantile(needed, at), 0.3, 3.0))
    return float(np.exp(n / (n + _SHRINK) * np.log(stretch)))


def stretch(forecast: np.ndarray, factor: float) -> np.ndarray:
    """The outer quantiles moved by `factor`; they stay outside the inner ones and not below zero."""
    wide, made = widen(forecast, factor), forecast.copy()
    made[..., 0] = np.minimum(wide[..., 0], forecast[..., 1])
    made[..., 4] = np.maximum(wide[..., 4], forecast[..., 3])
    return made
