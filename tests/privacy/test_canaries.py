"""Bugs planted in the code that members' rows go through, family by family: the canaries must
see each, and nothing else."""

from array import array
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from privacy import canaries, canary_trials, moments
from privacy.canaries import chance, coins, conformance, measure, one_run_bound
from privacy.canary_trials import TRIALS, gradient_trial, histogram_trial, moment_trial, tree_trial
from privacy.gradients import Clipped
from privacy.histogram import histogram_sums
from privacy.mechanisms import LatticeGaussian
from privacy.moments import moment_sums
from privacy.trees import leaf_sums, leaves, splits
from privacy.units import Blocks

DRAW, SUM, RELEASE = LatticeGaussian._draw, Clipped.sum, LatticeGaussian.release


def small(present):
    """The product's own trial, with fewer rounds."""
    return gradient_trial(present, releases=20)


def scaled(factor):
    return lambda noise: array("q", (round(factor * x) for x in DRAW(noise)))


def every(rounds):
    """Noise that is drawn once in so many rounds."""

    def draw(noise):
        kept = noise.__dict__.setdefault("kept", [])
        if len(kept) % rounds == 0:
            kept.append(DRAW(noise))
        else:
            kept.append(kept[-1])
        return kept[-1]

    return draw


def same_everywhere(noise):
    return array("q", [DRAW(noise)[0]] * noise._plan.length())


def bounded(noise):
    """Uniform noise of the right variance: it has the scale, and gives no privacy at all where it ends."""
    sigma = noise._plan.sigma_steps
    return array("q", (round(sigma * sqrt(12) * (stats.norm.cdf(x / sigma) - 0.5)) for x in DRAW(noise)))


def none_on_the_last_number(noise):
    return array("q", [*DRAW(noise)[:-1], 0])


def none_where_units_are(noise, total):
    return array("q", np.where(total == 0, np.array(RELEASE(noise, total)), total).tolist())


def with_clip(factor):
    def sums(clipped, loss, x, y, units):
        clipped._reach *= factor
        return SUM(clipped, loss, x, y, units)

    return sums


def clipped_as_a_batch(clipped, loss, x, y, units):
    """The mean of a batch is clipped, and multiplied by its rows."""
    clipped._reach *= 1e12
    mean = SUM(clipped, loss, x, y, units) / units.count
    return np.rint(units.count * mean / max(1.0, np.linalg.norm(mean) / 2**20)).astype(np.int64)


def by_row(clipped, loss, x, y, units):
    """Each row of a unit is clipped by itself, as if the unit were the row."""
    single = type(units)(len(units.rows), units.rows, np.arange(len(units.rows)), units.bucket[units.unit])
    return SUM(clipped, loss, x, y, single)


def small_trees(present):
    return tree_trial(present, releases=20)


def doubled(*arguments, **named):
    return 2 * leaf_sums(*arguments, **named)


def last_leaf_twice(*arguments, **named):
    """A unit is counted once more in the leaf that was found for its last row."""
    total = leaf_sums(*arguments, **named)
    total[np.abs(total).argmax()] *= 2
    return total


def whatever_the_label(shape, model, x, y, grouped, **named):
    """A label that is none is taken as a number."""
    total = leaf_sums(shape, model, x, y, grouped, **named).reshape(-1, 2)
    place = leaves(splits(shape, named["round"], named["cuts"]), x)[:, 0]
    odd = np.isfinite(y) & (y != 0) & (y != 1)
    np.add.at(total[:, 0], place[odd], (-y[odd] * 2**20).astype(np.int64))
    return total.ravel()


def every_row_once(grouped):
    return np.ones(len(grouped.unit))


CUT = moments._clipped


def clipped_to(factor):
    return lambda vectors, clip: CUT(vectors, factor * clip)


def moments_by_row(shape, x, y, grouped, *, grid_bits):
    """Each row is clipped by itself, as if the unit were the row."""
    single = Blocks(len(grouped.rows), grouped.rows, np.arange(len(grouped.rows)), grouped.bucket[grouped.unit])
    return moment_sums(shape, x, y, single, grid_bits=grid_bits)


def compared_without_bounds(shape, score, label, lost, grouped, **named):
    """How much worse a unit is, is a share of it only because it is held to [-1, 1]."""
    total = histogram_sums(shape, score, label, [np.zeros(len(score))], grouped, **named)
    sound = np.isfinite(score[grouped.rows])
    more = (grouped.weights() * np.where(sound, lost[0][grouped.rows], 0.0)).sum() * 2**19
    total[-2:] += np.array([more, -more]).astype(np.int64)
    return total


def counted_twice(*arguments, **named):
    return 2 * histogram_sums(*arguments, **named)


NOISE = {
    "noise off": scaled(0.0),
    "half noise": scaled(0.5),
    "nine tenths of the noise": scaled(0.9),
    "sigma / sqrt(20)": scaled(1 / sqrt(20)),
    "sigma / batch": scaled(1 / 1024),
    "same noise every round": every(1000),
    "same noise every second round": every(2),
    "one draw for all coordinates": same_everywhere,
    "bounded noise of the right variance": bounded,
    "no noise on the last number": none_on_the_last_number,
}
SUMS = {
    "gradients": {
        "clipping off": (Clipped, "sum", with_clip(1e12)),
        "batch clipped, not units": (Clipped, "sum", clipped_as_a_batch),
        "clip norm doubled": (Clipped, "sum", with_clip(2.0)),
        "rows clipped, not units": (Clipped, "sum", by_row),
    },
    "trees": {
        "sums doubled": (canary_trials, "leaf_sums", doubled),
        "one leaf counted twice": (canary_trials, "leaf_sums", last_leaf_twice),
        "rows counted, not units": (Blocks, "weights", every_row_once),
        "labels that are none counted": (canary_trials, "leaf_sums", whatever_the_label),
    },
    "moments": {
        "clipping off": (moments, "_clipped", clipped_to(1000.0)),
        "clip norm doubled": (moments, "_clipped", clipped_to(2.0)),
        "rows clipped, not units": (canary_trials, "moment_sums", moments_by_row),
        "units lost": (moments, "_clipped", clipped_to(0.5)),
    },
    "histogram": {
        "counted twice": (canary_trials, "histogram_sums", counted_twice),
        "comparison not held to bounds": (canary_trials, "histogram_sums", compared_without_bounds),
        "rows counted, not units": (Blocks, "weights", every_row_once),
    },
}
SMALL = {
    "gradients": (small, 300),
    "trees": (small_trees, 250),
    "moments": (moment_trial, 250),
    "histogram": (histogram_trial, 250),
}


@pytest.mark.parametrize("bug", NOISE)
@pytest.mark.parametrize("family", SMALL)
def test_a_bug_planted_in_the_noise_turns_the_check_red(monkeypatch, family, bug):
    monkeypatch.setattr(LatticeGaussian, "_draw", NOISE[bug])
    assert measure(family, *SMALL[family]).faults != ()


@pytest.mark.parametrize("family", SMALL)
def test_noise_that_is_absent_where_units_are_turns_the_check_red(monkeypatch, family):
    monkeypatch.setattr(LatticeGaussian, "release", none_where_units_are)
    assert "noise-scale" in {fault.code for fault in measure(family, *SMALL[family]).faults}


@pytest.mark.parametrize("family, bug", [(family, bug) for family, bugs in SUMS.items() for bug in bugs])
def test_a_bug_planted_in_the_sum_turns_the_check_red(monkeypatch, family, bug):
    monkeypatch.setattr(*SUMS[family][bug])
    assert measure(family, *SMALL[family]).faults != ()


@pytest.mark.parametrize("family", SMALL)
def test_the_correct_path_is_clean_and_certified_below_its_claim(family):
    for _ in range(3):
        found = measure(family, *SMALL[family])
        assert found.faults == () and found.at_least <= 1 < found.visible


@pytest.mark.slow
@pytest.mark.parametrize("family", TRIALS)
def test_twenty_clean_trials_of_the_products_own_size_stay_green(family):
    found = [measure(family, *TRIALS[family]) for _ in range(20)]
    assert [one.faults for one in found] == [()] * 20
    assert max(one.at_least for one in found) <= 1


def test_without_noise_the_certificate_shows_all_that_so_many_canaries_can_show(monkeypatch):
    monkeypatch.setattr(LatticeGaussian, "_draw", scaled(0.0))
    found = measure("gradients", small, 300)
    assert found.at_least == found.visible > 3
    assert "bound-above-claim" in {fault.code for fault in found.faults}


def test_the_bound_of_a_guess_is_the_binomial_tail_where_delta_is_zero():
    """Worked by hand: 10 of 10 right at epsilon 0 is 2^-10; at epsilon log 3 each is right with 3/4."""
    assert chance(10, 10, 10, epsilon=0.0, delta=0.0) == pytest.approx(2**-10)
    assert chance(10, 10, 10, epsilon=np.log(3), delta=0.0) == pytest.approx(0.75**10)
    assert chance(1000, 10, 10, epsilon=0.0, delta=1e-6) > 2**-10
    assert chance(1000, 10, 0, epsilon=0.0, delta=1e-6) == 1.0


def test_pure_randomised_response_is_never_certified_above_its_epsilon():
    """Guesses that are right with e^eps/(1+e^eps), the worst case of the theorem: at most one in twenty is above."""
    rng, above = np.random.default_rng(7), 0
    for _ in range(80):
        present = rng.random(400) < 0.5
        told = present ^ (rng.random(400) > 1 / (1 + np.exp(-1.0)))
        above += one_run_bound(told + rng.random(400) / 2, present, 0.0) > 1.0
    assert above <= 4


def test_conformance_blames_a_correct_path_no_more_often_than_it_says():
    """Ideal releases, 300 of them, at an alpha of 1 in 10: the level holds and is not far from used up."""
    rng, blamed = np.random.default_rng(5), 0
    for _ in range(300):
        present = rng.random(200) < 0.5
        releases = rng.normal(0, 30.0, (20, 202))
        releases[:, :200] += present
        releases[:, 200:] += canary_trials._CROWD
        noise = releases[:, :200][:, ~present] / 30.0
        trial = canaries.Trial(releases, present, 2, canary_trials._CROWD, 1.0, 30.0, noise)
        blamed += bool(conformance(trial, alpha=0.1))
    assert 5 <= blamed <= 45


def test_coins_are_fair():
    assert 4700 < coins(10_000).sum() < 5300
