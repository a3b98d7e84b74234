"""Does what was sold of late look like what taught? Today's windows beside those of a season ago, by three numbers of
each that do not depend on its unit.

A season ago, so that a season is no drift; both with the same length of past, so that age is none. Members with less
than that are compared with the windows of `level` periods ago, if there are as many before.
"""

from __future__ import annotations

import numpy as np

from contracts.wording import N_
from engine.demand.windows import _SMALL, Frequency, Series, windows
from engine.drift import LEAST, Drift, stability

# Coarse on purpose: one closed week of a year, or a good month, moves few series across. Chosen on validation origins.
_LOOKS = (
    (N_("newest sales as a multiple of the past mean"), np.array((0.4, 0.6, 0.8, 1.25, 1.7, 2.5))),
    (N_("share of periods without sales"), np.array((0.15, 0.35, 0.6))),
    (N_("spread of sales as a multiple of their mean"), np.array((0.15, 0.3, 0.6, 1.2))),
)


def drift(series: Series, kind: Frequency) -> tuple[Drift, ...]:
    """Newest sales, periods without sales, spread; empty where series or periods are too few to tell."""
    end = series.values.shape[1]
    ago = kind.season if end >= kind.season + kind.level else kind.level
    past = min(kind.memory(), end - ago)
    if past < kind.level:
        return ()
    then, now = (_looks(series, origin, past, kind) for origin in (end - ago, end))
    if min(len(then), len(now)) < LEAST:
        return ()
    return tuple(
        Drift(name, float(np.median(then[:, i])), float(np.median(now[:, i])), stability(then[:, i], now[:, i], cuts))
        for i, (name, cuts) in enumerate(_LOOKS)
    )


def _looks(series: Series, origin: int, past: int, kind: Frequency) -> np.ndarray:
    """`(windows, 3)` at `origin`, of series that have sold for `level` periods, with `past` periods before it."""
    begun = np.cumsum(np.nan_to_num(series.values), 1) > 0
    values = np.where(begun, series.values, np.nan)[:, origin - past : origin]
    x = windows(Series(values, series.first + origin - past, series.names), [past], kind, at_least=kind.level).x
    newest = np.exp(x[:, kind.lookback - kind.horizon : kind.lookback].mean(1)) - _SMALL  # in units of the scale
    _count, long, spread, zeros, _size = x[:, -5:].T
    return np.stack([newest / np.exp(long), zeros, spread], 1)
