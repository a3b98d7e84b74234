"""How a member's own score, a public one and the shared one become one probability: recalibrate each at home, average
the log-odds by weights that held-out rows give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.wording import N_
from engine.ensemble import excess, keeps_shared

SHARED, PUBLIC = "shared", N_("public model")
_SHRINK = 40.0  # held-out rows at which slope and intercept are believed half
_STEPS = 25
_BEFORE, _BELIEF = 1 / 3, 10.0  # weight of a further vote before any row is seen, and how firmly: decision 46


@dataclass(frozen=True, slots=True)
class Weights:
    """The member's `own` best; (slope, intercept) of each candidate and the weight of each vote, one in sum; Brier
    score of each held-out row `alone`, `shared` and as `used`; the `chance` that is used, of each of them; and how
    the shared vote compared."""

    own: str
    lines: dict[str, tuple[float, float]]
    weights: dict[str, float]
    losses: dict[str, np.ndarray]
    chance: np.ndarray
    added: float
    error: float

    def share(self, name: str) -> float:
        """What a vote's log-odds are multiplied with in the average, before intercepts."""
        return self.weights.get(name, 0.0) * self.lines[name][0]

    def combine(self, odds: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities `(rows,)` from the log-odds of each vote."""
        return _chance(np.sum([w * _line(odds[name], self.lines[name]) for name, w in self.weights.items()], 0))


def unweighed(name: str) -> Weights:
    """One vote as it stands, where no rows are held out to weigh it by."""
    return Weights(name, {name: (1.0, 0.0)}, {name: 1.0}, {}, np.zeros(0), 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class OwnSide:
    """The member's own model that has a vote, and its slope and intercept."""

    name: str
    line: tuple[float, float]


def choose(odds: dict[str, np.ndarray], y: np.ndarray) -> OwnSide:
    """The best of the own models, simplest first, by log-odds of rows that each was not fitted on; `y` 0 or 1."""
    lines = {name: recalibrate(values, y) for name, values in odds.items()}
    own = min(odds, key=lambda name: float(((_chance(_line(odds[name], lines[name])) - y) ** 2).sum()))
    return OwnSide(own, lines[own])


def decide(odds: dict[str, np.ndarray], y: np.ndarray, side: OwnSide) -> Weights:
    """`odds` are log-odds of held-out rows by the member's own models, fitted on the other rows, by
    `PUBLIC` and by `SHARED` where there is one; `y` 0 or 1, `(rows,)`. Each of the two has a vote unless it
    is worse than without it."""
    own = side.name
    lines = {name: recalibrate(values, y) for name, values in odds.items()} | {own: side.line}
    each = {name: (_chance(_line(values, lines[name])) - y) ** 2 for name, values in odds.items()}
    losses = {"alone": each[own]} | {name: each[name] for name in odds if name == SHARED}
    kept, average, added, error = {own: 1.0}, _line(odds[own], lines[own]), 0.0, 0.0
    for name in (PUBLIC, SHARED):
        if name in odds:
            towards = _line(odds[name], lines[name]) - average
            weight = _weight(average, towards, y)
            more = average + weight * towards
            worse, by = excess((_chance(more) - y) ** 2, (_chance(average) - y) ** 2)
            if weight > 0 and keeps_shared(worse, by):
                kept = {other: (1 - weight) * share for other, share in kept.items()} | {name: weight}
                average = more
            added, error = (worse, by) if name == SHARED else (0.0, 0.0)
    chance = _chance(average)
    losses["used"] = (chance - y) ** 2
    return Weights(own, lines, kept, losses, chance, added, error)


def _weight(average: np.ndarray, towards: np.ndarray, y: np.ndarray) -> float:
    """How far, 0 to 1, the average goes towards a further vote: a logistic of held-out rows on both (stacking, Wolpert
    1992), drawn towards `_BEFORE`."""
    weight = _BEFORE
    for _ in range(_STEPS):
        p = _chance(average + weight * towards)
        slope = towards @ (p - y) + _BELIEF * (weight - _BEFORE)
        curve = towards**2 @ (p * (1 - p)) + _BELIEF
        weight = float(np.clip(weight - slope / curve, 0.0, 1.0))
    return weight


def recalibrate(odds: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a logistic on one score (Platt 1999), drawn towards (1, 0) by n / (n + 40)."""
    if not 0 < y.sum() < len(y):
        return 1.0, 0.0
    x, theta = np.column_stack([odds, np.ones(len(odds))]), np.array((1.0, 0.0))
    for _ in range(_STEPS):  # Newton, held near (1, 0) by a ridge of one row
        p = _chance(x @ theta)
        slope = x.T @ (p - y) + (theta - (1.0, 0.0))
        curve = (x * (p * (1 - p))[:, None]).T @ x + np.eye(2)
        theta = theta - np.linalg.solve(curve, slope)
    trust = len(y) / (len(y) + _SHRINK)
    return 1.0 + trust * float(np.clip(theta[0], 0.0, 3.0) - 1.0), trust * float(np.clip(theta[1], -3.0, 3.0))


def _line(odds: np.ndarray, line: tuple[float, float]) -> np.ndarray:
    return line[0] * odds + line[1]


def _chance(odds: np.ndarray) -> np.ndarray:
    chance: np.ndarray = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return chance
