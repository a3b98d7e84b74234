"""Measured privacy: the release path of this machine, attacked with planted units on synthetic rows.

A model gets extra inputs that are zero for every ordinary row. Canary i is one huge row on input i with a
linear loss, so that its clipped gradient is exactly one clip norm on coordinate i; each is present by a coin
toss. Crowds are many units on one input, some with more rows than a unit may have. All go through the very
code that members' rows go through: units, clip, sum, grid, noise, server step. Two readings of the releases:

* *conformance* (white box, parametric): coordinates without a unit are Gaussian noise of the planned size,
  fresh each time, and a crowd moves the sum by one clip norm a unit;
* *certificate* (no assumption about the noise): a lower bound on epsilon from guessing who is present
  (Steinke, Nasr, Jagielski 2023, one run). A lower bound near zero is what a correct path shows.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from privacy.curves import rho_cap
from privacy.gradients import Clipped, TapLinear, load_flat
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Adam, Boost, Gradients, Trees, planned
from privacy.spend import Unit
from privacy.step import advance, start_state
from privacy.trees import leaf_sums, leaves, splits
from privacy.units import blocks

CLAIM, DELTA = "1", "1e-6"
ALPHA = 1e-3  # chance that conformance blames a correct path, before its one retry
GUESSES = (20, 60, 120, 200, 400)  # how many canaries the attacker dares to name, fixed beforehand
CONFIDENCE = 0.95
CANARIES = 500
_CROWD, _ORDINARY, _BACKGROUND = 60, 100, 6
_HUGE, _LINEAR, _MAX_ROWS = 1e6, 2.0, 3
_COLUMNS = 8  # of the table that trees are attacked on


@dataclass(frozen=True, slots=True)
class Trial:
    """What left the member: `releases` `(rounds, columns)` in grid steps.

    The first columns are the canaries' own (`present` says whose are filled), the next `crowds` columns hold
    `crowd` units each; `unit` is what one unit must add there, in grid steps, and `sigma` the planned noise. `noise`
    `(rounds, columns)` is what no unit touches, in units of sigma and in the order of the vector.
    """

    releases: np.ndarray
    present: np.ndarray
    crowds: int
    crowd: int
    unit: float
    sigma: float
    noise: np.ndarray


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the path does not do what its plan says: what was measured, what would be allowed."""

    code: str
    measured: float
    allowed: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Faults of the path (none: it conforms) and the certificate: epsilon is at least `at_least`.

    `visible` is the most that so many canaries can show: no noise at all would be certified as that.
    """

    family: str
    canaries: int
    releases: int
    faults: tuple[Fault, ...]
    at_least: float
    visible: float


def measure(family: str, attempt: Callable[[np.ndarray], Trial], canaries: int = CANARIES) -> Measurement:
    """Attack a release path that claims epsilon 1; a fault counts if a second trial shows it too."""
    trial = attempt(coins(canaries))
    faults = conformance(trial)
    if faults:
        trial = attempt(coins(canaries))
        again = conformance(trial)
        faults = tuple(fault for fault in again if fault.code in {first.code for first in faults})
    score = trial.releases[:, : len(trial.present)].sum(0)
    bound = one_run_bound(score, trial.present, float(DELTA))
    if bound > float(CLAIM):
        faults = (*faults, Fault("bound-above-claim", bound, float(CLAIM)))
    rounds, visible = len(trial.releases), one_run_bound(trial.present * 1.0, trial.present, float(DELTA))
    return Measurement(family, len(trial.present), rounds, faults, bound, visible)


def coins(count: int) -> np.ndarray:
    """Fair coin tosses of the operating system, `(count,)` of bool."""
    return np.array([secrets.randbits(1) for _ in range(count)], dtype=bool)


def conformance(trial: Trial, alpha: float = ALPHA) -> tuple[Fault, ...]:
    """Every departure of the releases from the plan; a correct path shows one with probability below `alpha`."""
    checks = [*_scale_and_shape(trial.noise, alpha / 6), *_likeness(trial.noise, alpha / 6)]
    checks += _strength(trial, alpha / 6)
    return tuple(fault for fault in checks if abs(fault.measured) > fault.allowed)


def _scale_and_shape(noise: np.ndarray, alpha: float) -> list[Fault]:
    """Variance against the plan's, and counts in bins of equal probability against the Gaussian's."""
    size = noise.size
    low, high = stats.chi2.ppf([alpha / 2, 1 - alpha / 2], size) / size
    variance = float(np.mean(noise**2))
    bins = max(4, min(50, size // 50))
    counts = np.histogram(stats.norm.cdf(noise), bins, (0.0, 1.0))[0]
    surprise = float(((counts - size / bins) ** 2).sum() / (size / bins))
    return [
        Fault("noise-scale", variance - 1, float(high - 1 if variance > 1 else 1 - low)),
        Fault("noise-shape", surprise, float(stats.chi2.isf(alpha, bins - 1))),
    ]


def _likeness(noise: np.ndarray, alpha: float) -> list[Fault]:
    """Noise of two rounds, or of two coordinates, must have nothing in common."""
    return [
        Fault(code, *_largest_correlation(rows, alpha))
        for code, rows in (("noise-repeats", noise), ("noise-shared", noise.T))
        if min(rows.shape) > 2
    ]


def _largest_correlation(rows: np.ndarray, alpha: float) -> tuple[float, float]:
    """(largest |r| between two rows, what chance allows), from r's exact law: r sqrt((n-1)/(1-r^2)) is Student's t."""
    count, length = rows.shape
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    alike = np.abs(unit @ unit.T - np.eye(count))
    t = stats.t.isf(alpha / (count * (count - 1)), length - 1)
    return float(alike.max()), float(t / np.sqrt(length - 1 + t * t))


def _strength(trial: Trial, alpha: float) -> list[Fault]:
    """A crowd of n units moves its coordinate by n times what one unit may; more breaks privacy, less loses data."""
    first = len(trial.present)
    means = trial.releases[:, first : first + trial.crowds].mean(0) / (trial.crowd * trial.unit)
    error = trial.sigma / (np.sqrt(len(trial.releases)) * trial.crowd * trial.unit)
    allowed = float(stats.norm.isf(alpha / (2 * trial.crowds)) * error)
    return [Fault("unit-too-strong" if mean > 1 else "unit-lost", float(mean - 1), allowed) for mean in means]


def one_run_bound(score: np.ndarray, present: np.ndarray, delta: float) -> float:
    """The largest epsilon that the guesses refute at 95 % confidence; 0 if none.

    Who scores highest is guessed present, who scores lowest absent, for each number in `GUESSES`; the
    confidence is shared among them (Bonferroni). Ties are broken by position, which no score depends on.
    """
    order, best = np.argsort(score, kind="stable"), 0.0
    for guesses in (k for k in GUESSES if k <= len(present)):
        half = guesses // 2
        correct = int(present[order[-half:]].sum() + (~present[order[:half]]).sum())
        best = max(best, _refuted(len(present), 2 * half, correct, delta))
    return best


def _refuted(canaries: int, guesses: int, correct: int, delta: float) -> float:
    """The largest epsilon, to 1e-3, with which so many correct guesses are too unlikely."""
    unlikely, low, high = (1 - CONFIDENCE) / len(GUESSES), 0.0, 20.0
    if chance(canaries, guesses, correct, epsilon=0.0, delta=delta) > unlikely:
        return 0.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        rare = chance(canaries, guesses, correct, epsilon=middle, delta=delta) <= unlikely
        low, high = (middle, high) if rare else (low, middle)
    return low


def chance(canaries: int, guesses: int, correct: int, *, epsilon: float, delta: float) -> float:
    """Bound on the probability of `correct` or more right guesses under (epsilon, delta)-DP (theorem 5.2 there).

    With delta 0 each guess is right with probability at most e^eps / (1 + e^eps), as if independent; delta adds at
    most 2 m delta times the best mean of the probabilities of 1, 2, ... right guesses fewer.
    """
    right = 1.0 / (1.0 + np.exp(-epsilon))
    tail = stats.binom.sf(correct - 1, guesses, right)
    fewer = np.arange(1, correct + 1)
    gain = (stats.binom.sf(correct - fewer - 1, guesses, right) - tail) / fewer
    return float(min(1.0, tail + 2 * canaries * delta * max(0.0, gain.max(initial=0.0))))


def gradient_trial(present: np.ndarray, releases: int = 50) -> Trial:
    """The gradient path: a linear model with a column a canary, `releases` rounds from a zero start."""
    x, y, units = _rows(present)
    length = x.shape[1] + 1
    shape = Gradients("gradients", ((length - 1, 1),), "1")
    plan = planned(
        rho_cap(CLAIM, DELTA),
        task="canaries",
        dataset="synthetic",
        unit=Unit.COUNTERPARTY,
        shape=shape,
        step=Adam("adam", "0.1", 1),
        releases=releases,
        delta=DELTA,
        max_units=len(y),
        max_rows_per_unit=_MAX_ROWS,
    )
    model = array("d", bytes(8 * length))
    noise, state, gone = LatticeGaussian(plan), start_state(plan, model), []
    grouped = blocks(units, b"canaries", max_rows=plan.max_rows_per_unit, max_units=plan.max_units)
    for number in range(1, releases + 1):
        net = TapLinear(length - 1, 1)
        load_flat(net, model)
        total = Clipped(net, shape, plan.grid_bits).sum(_loss, x, y, grouped)
        if number % 2:
            noise.draw_ahead()  # a node draws ahead while it waits; both ways are attacked
        released = noise.release(total)
        model, state = advance(plan, state, released, number)
        gone.append(released)
    left = np.array(gone, dtype=np.float64)
    untouched = left[:, : len(present)][:, ~present] / plan.sigma_steps
    return Trial(left, present, 2, _CROWD, float(1 << plan.grid_bits), float(plan.sigma_steps), untouched)


def _rows(present: np.ndarray) -> tuple[Tensor, Tensor, list[str]]:
    """Canaries, a crowd of one-row units, a crowd of units with a row too many, two broken units, ordinary rows."""
    first, count = len(present), _ORDINARY
    width = first + 2 + _BACKGROUND
    ordinary = np.zeros((count, width))
    ordinary[:, first + 2 :] = np.sin(1.7 * np.arange(count * _BACKGROUND)).reshape(count, _BACKGROUND)
    many = _MAX_ROWS + 1
    columns = [*np.flatnonzero(present), *[first] * _CROWD, *[first + 1] * (_CROWD * many), first, first + 1]
    planted = np.zeros((len(columns), width))
    planted[np.arange(len(columns)), columns] = _HUGE
    planted[-2:, first] = np.nan, np.inf
    labels = np.concatenate([np.full(len(columns), _LINEAR), (np.arange(count) % 3 == 0) * 1.0])
    units = [f"canary {i}" for i in np.flatnonzero(present)] + [f"one {i}" for i in range(_CROWD)]
    units += [f"many {i // many}" for i in range(_CROWD * many)] + ["nan", "inf"] + [f"row {i}" for i in range(count)]
    return torch.from_numpy(np.vstack([planted, ordinary])), torch.from_numpy(labels), units


def _loss(z: Tensor, y: Tensor) -> Tensor:
    """Linear for planted rows, whose gradient then never fades; logistic for the others."""
    logit = z[:, 0]
    ordinary = functional.binary_cross_entropy_with_logits(logit, y.clamp(max=1.0), reduction="none")
    return torch.where(y == _LINEAR, logit, ordinary)


def tree_trial(present: np.ndarray, releases: int = 50) -> Trial:
    """The path of trees: one tree a round asks all eight columns of 0 and 1, so that each of 256 patterns has a leaf.

    From a start that is sure of the opposite, a unit adds exactly minus one to the gradient of its leaf. Canary i has
    pattern i; the two crowds have the last two patterns. The rate is so small that the start's certainty stays.
    """
    first, many = len(present), _MAX_ROWS + 1
    if first + 2 > 1 << _COLUMNS:
        raise ValueError(f"at most {(1 << _COLUMNS) - 2} canaries fit into a tree")
    pattern = [*np.flatnonzero(present), *[first] * _CROWD, *[first + 1] * (_CROWD * many)]
    units = [f"canary {i}" for i in np.flatnonzero(present)] + [f"one {i}" for i in range(_CROWD)]
    units += [f"many {i // many}" for i in range(_CROWD * many)]
    bits = ((np.arange(first + 2)[:, None] >> np.arange(_COLUMNS)) & 1).astype(np.float64)
    x, y, cuts = bits[pattern], np.ones(len(pattern)), [np.array([0.5])] * _COLUMNS
    plan = planned(
        rho_cap(CLAIM, DELTA),
        task="canaries",
        dataset="synthetic",
        unit=Unit.COUNTERPARTY,
        shape=(shape := Trees("trees", secrets.token_hex(16), 1, _COLUMNS)),
        step=Boost("boost", "0.000001", "1000000"),
        releases=releases,
        delta=DELTA,
        max_units=len(y),
        max_rows_per_unit=_MAX_ROWS,
    )
    noise, model = LatticeGaussian(plan), array("d", [-40.0])
    state, gone, untouched = start_state(plan, model), [], []
    grouped = blocks(units, b"canaries", max_rows=plan.max_rows_per_unit, max_units=plan.max_units)
    for number in range(1, releases + 1):
        told = np.array(model)
        total = leaf_sums(shape, told, x, y, grouped, round=number, cuts=cuts, grid_bits=plan.grid_bits)
        released = noise.release(total)
        model, state = advance(plan, state, released, number)
        left = np.array(released, dtype=np.float64)
        gone.append(-left[2 * leaves(splits(shape, number, cuts), bits)[:, 0]])
        untouched.append(left[1::2] / plan.sigma_steps)  # Hessians, which are zero where all are certain
    unit, sigma = float(1 << plan.grid_bits), float(plan.sigma_steps)
    return Trial(np.array(gone), present, 2, _CROWD, unit, sigma, np.array(untouched))


TRIALS = {"gradients": (gradient_trial, CANARIES), "trees": (tree_trial, 250)}
