"""What a histogram tells, against the figures of the very units that were counted, and how far noise moves it."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from privacy.statistics import auc, brier, calibration_error, centres

BINS = 32
rng = np.random.default_rng(11)
SCORE = rng.beta(1.2, 9, 40_000)
EVENT = rng.random(40_000) < SCORE


def counts(score=SCORE, event=EVENT, bins=BINS):
    place = np.minimum((np.sqrt(score) * bins).astype(int), bins - 1)
    return np.stack([np.bincount(place[event == c], minlength=bins) for c in (False, True)]).astype(float)


def test_figures_of_the_counts_are_those_of_the_units_within_their_bins():
    assert auc(counts(), 0.0).value == pytest.approx(roc_auc_score(EVENT, SCORE), abs=2e-3)
    assert brier(counts(), 0.0).value == pytest.approx(brier_score_loss(EVENT, SCORE), abs=1e-3)
    assert calibration_error(counts(), 0.0) < 0.01
    assert calibration_error(counts(np.sqrt(SCORE)), 0.0) > 0.1, "scores that promise too much are seen"


def test_the_stated_error_is_how_far_noise_of_that_size_moves_the_figure():
    exact, sigma = counts(), 30.0
    for figure in (auc, brier):
        told = [figure(exact + rng.normal(0, sigma, exact.shape), sigma) for _ in range(300)]
        spread = np.std([one.value for one in told])
        assert np.mean([one.error for one in told]) == pytest.approx(spread, rel=0.15)
        assert np.mean([one.value for one in told]) == pytest.approx(figure(exact, 0.0).value, abs=spread / 2)


def test_counts_that_drown_in_noise_tell_nothing():
    few = counts(SCORE[:40], EVENT[:40])
    assert auc(few, 30.0) is None and brier(few, 30.0) is None
    assert np.isnan(calibration_error(few, 300.0))


def test_bins_are_narrow_where_events_are_rare():
    assert centres(16)[0] < 0.001 and np.all(np.diff(centres(16), 2) > 0)
