"""Three simple forecasts a member makes alone: free of budget, fitted anew at each origin, cached by content.

Months: seasonal naive, exponential smoothing, Theta. Weeks: moving average in place of seasonal naive. Exponential
smoothing and Theta come from statsforecast; gaps inside a series are interpolated for them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from contracts.envelope import canonical, digest
from contracts.wording import N_
from engine.demand.quantiles import LEVELS
from engine.demand.windows import Frequency

Progress = Callable[[int, int], None]
_FITTED = (N_("AutoETS"), N_("AutoTheta"))
_LEVEL = {12: 3, 52: 8}  # season -> periods of the moving average
_CHUNK, _PARALLEL_FROM = 50, 400
_RATIOS, _PUBLIC_RATIOS = 20, np.array((0.6, 0.8, 1.0, 1.25, 1.6))  # with fewer own ratios: these
_LEAST = 6  # observed periods below which nothing is fitted


def names(kind: Frequency) -> tuple[str, ...]:
    """What the three simple forecasts are called."""
    return (N_("seasonal naive") if kind.season == 12 else N_("moving average"), *_FITTED)


def simple(
    pasts: Sequence[np.ndarray], kind: Frequency, *, cache: Path | None = None, progress: Progress
) -> dict[str, np.ndarray]:
    """Name -> `(series, origins, horizon, 5)` from what was sold before each origin, `(series, periods)`.
    `progress(done, all)` counts fits of one series at one origin."""
    first = seasonal_naive if kind.season == 12 else moving_average
    found = {names(kind)[0]: np.stack([first(past, kind) for past in pasts], 1)}
    every, done = len(_FITTED) * sum(map(len, pasts)), 0
    for name in _FITTED:
        parts = []
        for past in pasts:
            parts.append(_kept(cache, name, past, kind, _from(done, every, progress)))
            done += len(past)
        found[name] = np.stack(parts, 1)
    return found


def _from(done: int, every: int, progress: Progress) -> Callable[[int], None]:
    return lambda n: progress(done + n, every)


def moving_average(past: np.ndarray, kind: Frequency) -> np.ndarray:
    """`(series, horizon, 5)`: the mean of the last periods times quantiles of this member's own past ratios."""
    return _by_ratio(past, kind, lambda before, h: _mean_of_last(before, _LEVEL[kind.season]))


def seasonal_naive(past: np.ndarray, kind: Frequency) -> np.ndarray:
    """The same period a season ago, or the moving average where there is none, times quantiles of own past ratios."""

    def point(before: np.ndarray, h: int) -> np.ndarray:
        level = _mean_of_last(before, _LEVEL[kind.season])
        at = before.shape[1] - kind.season + h
        return np.where(np.isfinite(before[:, at]), before[:, at], level) if at >= 0 else level

    return _by_ratio(past, kind, point)


def _by_ratio(past: np.ndarray, kind: Frequency, point: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    periods = past.shape[1]
    start = kind.season if periods > kind.season + kind.horizon else min(_LEVEL[kind.season], periods - 1)
    ratios = [
        _ratio(past[:, t + h], point(past[:, :t], h))
        for t in range(max(start, 1), periods)
        for h in range(min(kind.horizon, periods - t))
    ]
    pooled = np.concatenate(ratios) if ratios else np.zeros(0)
    levels = np.quantile(pooled, LEVELS) if len(pooled) >= _RATIOS else _PUBLIC_RATIOS
    return np.stack([point(past, h)[:, None] * levels for h in range(kind.horizon)], 1)


def _ratio(came: np.ndarray, foreseen: np.ndarray) -> np.ndarray:
    """What came over what was foreseen, where the series was alive."""
    used = np.isfinite(came) & (foreseen > 0)
    ratio: np.ndarray = came[used] / foreseen[used]
    return ratio


def _mean_of_last(past: np.ndarray, periods: int) -> np.ndarray:
    """Mean of the last observed periods since the first sale, at least a tenth of the mean since then."""
    seen = np.isfinite(past)
    filled = np.where(seen, past, 0.0)
    alive = seen & (np.cumsum(filled, 1) > 0)
    near = filled[:, -periods:].sum(1) / np.maximum(alive[:, -periods:].sum(1), 1)
    mean: np.ndarray = np.maximum(near, 0.1 * filled.sum(1) / np.maximum(alive.sum(1), 1))
    return mean


def _kept(
    cache: Path | None, name: str, past: np.ndarray, kind: Frequency, progress: Callable[[int], None]
) -> np.ndarray:
    """The fitted forecasts, from the cache if these very numbers were fitted before."""
    if cache is None:
        return _fitted(name, past, kind, progress)
    said = [name, version("statsforecast"), kind.season, kind.horizon, *past.shape]
    path = cache / f"{digest(canonical(said) + past.tobytes()).removeprefix('sha256:')}.npy"
    if path.exists():
        progress(len(past))
        return np.asarray(np.load(path))
    made = _fitted(name, past, kind, progress)
    cache.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new.npy")
    np.save(new, made)
    os.replace(new, path)
    return made


def _fitted(name: str, past: np.ndarray, kind: Frequency, progress: Callable[[int], None]) -> np.ndarray:
    season = kind.season if kind.season == 12 else 1
    chunks = [past[at : at + _CHUNK] for at in range(0, len(past), _CHUNK)]
    parts, done = [], 0
    with _mapping(len(past)) as mapped:
        for part in mapped(_fit_chunk, chunks, [(name, season, kind.horizon)] * len(chunks)):
            parts.append(part)
            done += len(part)
            progress(done)
    bare = moving_average(past, kind)
    found = np.concatenate(parts) if parts else bare
    return np.where(np.isfinite(found).all((1, 2), keepdims=True), np.maximum(found, 0.0), bare)


@contextmanager
def _mapping(fits: int) -> Iterator[Callable[..., Iterator[np.ndarray]]]:
    """`map` over processes where the work is worth starting them."""
    cores = os.cpu_count() or 1
    if fits < _PARALLEL_FROM or cores == 1:
        yield map
        return
    pool = ProcessPoolExecutor(min(cores, 8), mp_context=get_context("spawn"))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _fit_chunk(past: np.ndarray, how: tuple[str, int, int]) -> np.ndarray:
    """Quantiles of each series, NaN where a fit was not possible: this runs in a process of its own."""
    from statsforecast import models

    name, season, horizon = how
    found = np.full((len(past), horizon, 5), np.nan)
    for row, values in enumerate(past):
        values = _without_gaps(values)
        if len(values) < _LEAST or not values.any():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = getattr(models, name)(season_length=season if len(values) >= 2 * season else 1)
                made = model.forecast(y=values, h=horizon, level=[50, 80])
            except Exception:
                continue
        found[row] = np.stack([made[key] for key in ("lo-80", "lo-50", "mean", "hi-50", "hi-80")], 1)
    return found


def _without_gaps(values: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(np.isfinite(values))
    if not len(seen):
        return values[:0]
    at = np.arange(seen[0], len(values))
    whole: np.ndarray = np.interp(at, seen, values[seen])
    return whole
