"""The forecast of a total, of a member or a family: its median is the sum of its series' medians,
so that all figures add up."""

from __future__ import annotations

import numpy as np

_PRIOR, _WEIGHT = 0.2, 40.0  # correlation of errors between series before any was seen, and values it is worth


def total(forecast: np.ndarray, common: float) -> np.ndarray:
    """`(horizon, 5)` from `(series, horizon, 5)`: distances from the median add like errors of correlation `common`."""
    middle = forecast[..., 2].sum(0)
    apart = forecast - forecast[..., 2:3]
    alone, together = (apart**2).sum(0), apart.sum(0) ** 2
    width = np.sqrt((1 - common) * alone + common * together)
    made: np.ndarray = np.maximum(middle[:, None] + np.sign(np.array((-1, -1, 0, 1, 1))) * width, 0.0)
    return made


def correlation(y: np.ndarray, forecast: np.ndarray) -> float:
    """How much series err together, from validation `(series, origins, horizon)`, drawn towards a fifth."""
    wide = np.maximum(forecast[..., 4] - forecast[..., 0], 1e-9)
    error = np.where(np.isfinite(y), (y - forecast[..., 2]) / wide, 0.0).clip(-3, 3)
    alone, together = float((error**2).sum()), float((error.sum(0) ** 2).sum())
    count = max(int(np.isfinite(y).any((1, 2)).sum()), 1)
    if count < 2 or alone <= 0:
        return _PRIOR
    seen = float(np.clip((together / alone - 1) / (count - 1), 0.0, 1.0))
    times = error.shape[1] * error.shape[2]
    share: float = (times * seen + _WEIGHT * _PRIOR) / (times + _WEIGHT)
    return share
