"""Methods of the demand benchmarks: what members forecast alone, the network, and the votes, member by member."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.demand.protocol import Setting
from engine.demand.home import names, simple
from engine.demand.quantiles import average, spread_factor, widen
from engine.demand.task import with_launches, zero_shot
from engine.demand.weights import SHARED, decide
from engine.demand.windows import MONTHLY, WEEKLY, Frequency, Series

CACHE = Path.home() / ".cache" / "mengbang-benchmarks"
Forecasts = dict[str, np.ndarray]  # name -> (series, origins, horizon, 5)


def kind_of(setting: Setting) -> Frequency:
    """Monthly or weekly."""
    return MONTHLY if setting.season == 12 else WEEKLY


def series_of(setting: Setting) -> Series:
    """The setting's series as the product sees them."""
    return Series(setting.values, setting.first, tuple(map(str, setting.series)))


def by_member(setting: Setting, made: Callable[[Setting], Forecasts]) -> Forecasts:
    """Each member's own forecasts put together: nothing of one member enters another's."""
    whole: Forecasts = {}
    for number, name in enumerate(setting.members(), 1):
        rows = np.flatnonzero(setting.member == name)
        for method, values in made(setting.only(rows)).items():
            whole.setdefault(method, np.zeros((len(setting.values), *values.shape[1:])))[rows] = values
        _say(f"{setting.name}: member {number} of {len(setting.members())}")
    return whole


def home_votes(setting: Setting) -> Forecasts:
    """The three simple forecasts at validation, then test origins."""
    origins = (*setting.validation, *setting.test)
    return by_member(
        setting,
        lambda own: simple(
            [own.values[:, :t] for t in origins], kind_of(own), cache=CACHE, progress=lambda done, every: None
        ),
    )


def network(setting: Setting, head: array[float]) -> np.ndarray:
    """The network with this head at validation, then test origins; a window depends on its own series only."""
    series, kind = series_of(setting), kind_of(setting)
    return np.stack([zero_shot(series, t, kind, head) for t in (*setting.validation, *setting.test)], 1)


def three(setting: Setting, votes: Forecasts) -> np.ndarray:
    """The plain average of the three simple forecasts."""
    return average([votes[name] for name in names(kind_of(setting))], [1.0, 1.0, 1.0])


def calibrated(setting: Setting, made: np.ndarray) -> np.ndarray:
    """One vote with its spread factor, member by member."""
    horizon, cut = setting.horizon, len(setting.validation)
    y = setting.targets(setting.validation)

    def one(rows: np.ndarray) -> np.ndarray:
        factor = spread_factor(y[rows].reshape(-1, horizon), made[rows][:, :cut].reshape(-1, horizon, 5))
        return widen(made[rows], factor)

    return _per_member(setting, made, one)


def voted(setting: Setting, votes: Forecasts, shared: np.ndarray | None, **how: float) -> tuple[np.ndarray, list[str]]:
    """(what each member would serve, members that dropped the shared vote); validation decides."""
    all_votes = votes | ({} if shared is None else {SHARED: shared})
    y, cut, dropped = setting.targets(setting.validation), len(setting.validation), []
    kind, example = kind_of(setting), next(iter(votes.values()))
    made = np.zeros_like(example)
    for name in setting.members():
        rows = np.flatnonzero(setting.member == name)
        mine = {vote: values[rows] for vote, values in all_votes.items()}
        ballot = decide({vote: values[:, :cut] for vote, values in mine.items()}, y[rows], **how)
        if shared is not None and SHARED not in ballot.weights:
            dropped.append(name)
        served = ballot.combine(mine)
        own = series_of(setting.only(rows))
        for at, origin in enumerate((*setting.validation, *setting.test)):
            known = Series(own.values[:, :origin], own.first, own.names)
            served[:, at] = with_launches(known, kind, served[:, at])
        made[rows] = served
    return made, dropped


def _per_member(setting: Setting, made: np.ndarray, one: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    whole = np.zeros_like(made)
    for name in setting.members():
        rows = np.flatnonzero(setting.member == name)
        whole[rows] = one(rows)
    return whole


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, end="\r", file=sys.stderr)
