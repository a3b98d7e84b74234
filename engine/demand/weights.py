"""How a member's votes become one forecast: calibrate each, average, let validation drop the shared one, mend the band.

Shapes: a forecast `(series, origins, horizon, 5)`, what came `(series, origins, horizon)` with NaN where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.demand.quantiles import average, band_factor, pinball, spread_factor, stretch, widen
from engine.ensemble import excess, keeps_shared

SHARED = "shared"
SHARED_WEIGHT = 9.0  # beside three simple votes of weight 1: three quarters; chosen on public validation origins


@dataclass(frozen=True, slots=True)
class SeriesWeights:
    """What validation decided: a spread factor a vote, a weight a vote, the band's factor, and how it compared."""

    spreads: dict[str, float]
    weights: dict[str, float]
    band: float
    added: float
    error: float
    losses: dict[str, np.ndarray]

    def combine(self, forecasts: dict[str, np.ndarray]) -> np.ndarray:
        """The forecast that is used."""
        return stretch(_average(forecasts, self.spreads, self.weights), self.band)


def decide(forecasts: dict[str, np.ndarray], y: np.ndarray, *, weight: float = SHARED_WEIGHT) -> SeriesWeights:
    """From forecasts at validation origins. One choice a member, never one a series."""
    spreads = {name: spread_factor(_flat(y), _flat(made)) for name, made in forecasts.items()}
    own = {name: 1.0 for name in forecasts if name != SHARED}
    both = own | ({SHARED: weight} if SHARED in forecasts else {})
    without, with_it = (_average(forecasts, spreads, w) for w in (own, both))
    losses = {"alone": _by_series(y, without), "used": _by_series(y, with_it)}
    if SHARED in forecasts:
        losses["shared"] = _by_series(y, widen(forecasts[SHARED], spreads[SHARED]))
    known = np.isfinite(y).any((1, 2))
    added, error = excess(losses["used"][known], losses["alone"][known])
    if not keeps_shared(added, error):
        both, losses["used"] = own, losses["alone"]
    band = band_factor(_flat(y), _flat(_average(forecasts, spreads, both)))
    return SeriesWeights(spreads, both, band, added, error, losses)


def _average(forecasts: dict[str, np.ndarray], spreads: dict[str, float], weights: dict[str, float]) -> np.ndarray:
    named = list(weights)
    return average([widen(forecasts[n], spreads[n]) for n in named], [weights[n] for n in named])


def _flat(values: np.ndarray) -> np.ndarray:
    """(series, origins, ...) -> (windows, ...)."""
    return values.reshape(-1, *values.shape[2:])


def _by_series(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Loss of each series, `(series,)`, in the unit of the data: what a member loses is money or pieces."""
    total: np.ndarray = pinball(y, forecast).sum((1, 2))
    return total
