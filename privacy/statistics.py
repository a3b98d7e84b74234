"""What a released histogram tells: post-processing of noisy counts, which costs no privacy.

Counts are `(classes, bins)` of scores in [0, 1], the bins of equal width in the square root of the score, because
events are rare; class 1 is the event. A noisy count may be negative; nothing here repairs that, so that every figure
stays a plain function of what was released. None: the noise left nothing to divide by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and its standard error from the noise alone (not from how few units there are)."""

    value: float
    error: float


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


def calibration_error(counts: np.ndarray, sigma: float) -> float:
    """Mean difference of score and share of events, bin by bin; bins whose count drowns in its noise
    are left out. NaN if all do."""
    middle, total = centres(counts.shape[1]), counts.sum(0)
    clear = total > 2 * sigma * np.sqrt(2)
    share = np.where(clear, counts[1] / np.where(clear, total, 1.0), np.nan)
    weight = np.where(clear, total, 0.0)
    gap = np.abs(np.where(clear, share - middle, 0.0))
    return float(weight @ gap / weight.sum()) if clear.any() else float("nan")
