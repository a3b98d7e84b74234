"""Measured privacy: the release path of this machine, attacked with planted units on synthetic rows.

A model gets extra inputs that are zero for every ordinary row. Canary i is one huge row on input i with a
linear loss, so that its clipped gradient is exactly one clip norm on coordinate i; each is present by a coin
toss. Crowds are many units on one input, some with more rows than a unit may have. All go through the very
code that members' rows go through: units, clip, sum, grid, noise, server step. Two readings of the releases:

* *conformance* (white box, parametric): what was added to each number of the exact sum is Gaussian noise of the planned
  size, fresh each time, also where units are, and a crowd moves the sum by one clip norm a unit;
* *certificate* (no assumption about the noise): a lower bound on epsilon from guessing who is present
  (Steinke, Nasr, Jagielski 2023, one run). A lower bound near zero is what a correct path shows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

CLAIM, DELTA = "1", "1e-6"
ALPHA = 1e-3  # chance that conformance blames a correct path, before its one retry
GUESSES = (20, 60, 120, 200, 400)  # how many canaries the attacker dares to name, fixed beforehand
CONFIDENCE = 0.95
CANARIES = 500


@dataclass(frozen=True, slots=True)
class Trial:
    """What left the member: `releases` `(rounds, columns)` in grid steps.

    The first columns are the canaries' own (`present` says whose are filled), the next `crowds` columns hold
    `crowd` units each; `unit` is what one unit must add there, in grid steps, and `sigma` the planned noise. `noise`
    `(rounds, length)` is what was added to the exact sums, number for number, in units of sigma.
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
    checks = [*_scale_and_shape(trial.noise, alpha / 7), *_everywhere(trial.noise, alpha / 7)]
    checks += [*_likeness(trial.noise, alpha / 7), *_strength(trial, alpha / 7)]
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


def _everywhere(noise: np.ndarray, alpha: float) -> list[Fault]:
    """Variance of each number over the releases: noise that is absent from a few numbers
    hardly shows in that of all."""
    releases, length = noise.shape
    low, high = stats.chi2.ppf([alpha / (2 * length), 1 - alpha / (2 * length)], releases) / releases
    each = np.mean(noise**2, 0)
    told = (each.max() - 1, high - 1), (1 - each.min(), 1 - low)
    return [Fault("noise-scale", float(measured), float(allowed)) for measured, allowed in told]


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
