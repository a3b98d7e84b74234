"""What a released histogram tells: post-processing of noisy counts, which costs no privacy.

Counts are `(classes, bins)` of scores in [0, 1], the bins of equal width in the square root of the score, because
events are rare; class 1 is the event. A noisy count may be negative; nothing here
repairs that, so that every figure stays a plain function of what was released. None: the noise left nothing to divide by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and its standard error from the noise alone (not from how few units there are)."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """For each bin: mean score, share of events, noisy count; `ece` is the expected calibration error."""

    score: np.ndarray
    share: np.ndarray
    count: np.ndarray
    ece: float


def centres(bins: int) -> np.ndarray:
    """Score at the middle of each bin."""
    middle: np.ndarray = ((np.arange(bins) + 0.5) / bins) ** 2
    return middle


def auc(counts: np.ndarray, sigma: float) -> Figure | None:
    """Probability that an event scores above a non-event, ties half; `sigma` is the noise of one count."""
    negative, positive = counts
    below = np.cumsum(negative) - negative / 2
    above = positive.sum() - np.cumsum(positive) + positive / 2
    pairs = positive.sum() * negative.sum()
    if positive.sum() <= 2 * sigma * np.sqrt(len(positive)) or negative.sum() <= 2 * sigma * np.sqrt(len(negative)):
        return None
    value = float(positive @ below / pairs)
    slope = np.concatenate([below / pairs - value / positive.sum(), above / pairs - value / negative.sum()])
    return Figure(value, float(sigma * np.linalg.norm(slope)))


def brier(counts: np.ndarray, sigma: float) -> Figure | None:
    """Mean squared difference of score and event, with each score at the middle of its bin."""
    middle = centres(counts.shape[1])
    loss, total = np.stack([middle**2, (1 - middle) ** 2]), counts.sum()
    if total <= 2 * sigma * np.sqrt(counts.size):
        return None
    value = float((loss * counts).sum() / total)
    return Figure(value, float(sigma * np.linalg.norm(loss - value) / total))


def calibration(counts: np.ndarray, sigma: float) -> Calibration:
    """Share of events beside the score, bin by bin; bins whose count drowns in its noise are left out (NaN)."""
    middle, total = centres(counts.shape[1]), counts.sum(0)
    clear = total > 2 * sigma * np.sqrt(2)
    share = np.where(clear, counts[1] / np.where(clear, total, 1.0), np.nan)
    weight = np.where(clear, total, 0.0)
    gap = np.abs(np.where(clear, share - middle, 0.0))
    return Calibration(middle, share, total, float(weight @ gap / weight.sum()) if clear.any() else float("nan"))


def quantiles(counts: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Score below which a share of `levels` of the units lies, from counts `(bins,)`: the upper edge of its bin."""
    rising = np.maximum.accumulate(np.cumsum(counts))
    edges = np.searchsorted(rising, np.asarray(levels) * max(rising[-1], 1e-300))
    scores: np.ndarray = (np.minimum(edges + 1, len(counts)) / len(counts)) ** 2
    return scores
