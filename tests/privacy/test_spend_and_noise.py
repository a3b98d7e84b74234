"""Spend, plan, grid, step and noise: exact where they must be, random where they must be."""

import json
import os
from array import array
from dataclasses import replace
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from privacy import mechanisms
from privacy.accounting import epsilon, rho_cap
from privacy.encoding import EncodingError, add, from_grid
from privacy.mechanisms import LatticeGaussian, self_test
from privacy.plan import (
    Adam,
    Boost,
    Gradients,
    Histogram,
    Moments,
    PlanError,
    ReleasePlan,
    Ridge,
    Tally,
    Trees,
    rho_nano,
    sensitivity_steps,
    sigma_for,
)
from privacy.spend import insider_recognition
from privacy.step import advance, start_state
from simulator import plan

SHAPES = (
    Gradients("gradients", ((30, 64), (64, 1)), "0.5"),
    Trees("trees", "0" * 32, 20, 3),
    Moments("moments", 75, "20"),
    Histogram("histogram", 2, 2, 32),
)


def zeros(length):
    return np.zeros(length, dtype=np.int64)


@given(st.integers(1, 2**30), st.integers(256, 2**40))
def test_rho_is_rounded_up_and_by_less_than_one(sensitivity, sigma):
    exact = Fraction(10**9 * sensitivity**2, 2 * sigma**2)
    assert exact <= rho_nano(sensitivity, sigma) < exact + 1


@given(st.integers(1000, 10**10), st.integers(1, 200), st.sampled_from(SHAPES))
def test_sigma_is_the_smallest_with_which_all_releases_fit(cap, releases, shape):
    if cap // releases < 1:
        return
    sigma = sigma_for(cap, releases=releases, shape=shape, grid_bits=20, max_units=1000)
    sensitivity = sensitivity_steps(shape, 20, 1000)
    assert releases * rho_nano(sensitivity, sigma) <= cap
    assert sigma == 1 or rho_nano(sensitivity, sigma - 1) > cap // releases


def test_the_slack_of_the_sensitivity_covers_float_sums_of_two_million_units():
    assert (
        sensitivity_steps(Gradients("gradients", ((1, 1),), "1"), 20, 2_000_000) - 2**20
        >= 2 * (2_000_000**2) * 2**20 / 2**53
    )


@pytest.mark.parametrize(
    "change",
    [
        {"delta": "1e-4"},
        {"delta": "0.000001"},
        {"releases": 0},
        {"sigma_steps": 1},
        {"shape": Gradients("gradients", ((3, 1),), "-1")},
        {"shape": Gradients("gradients", ((3, 1),), "nan")},
        {"step": Adam("adam", "0.1", 9)},
        {"max_units": 0},
        {"max_rows_per_unit": 2},
        {"shape": Trees("trees", "0" * 32, 20, 3)},
        {"shape": Trees("trees", "today", 20, 3), "step": Boost("boost", "1", "1")},
        {"shape": Moments("moments", 3, "1"), "step": Ridge("ridge", "1")},
        {"shape": Histogram("histogram", 1, 2, 32), "step": Tally("tally"), "releases": 1},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change):
    with pytest.raises(PlanError):
        plan(**change).check()


def test_a_plan_travels_as_strict_json():
    adapter = TypeAdapter(ReleasePlan)
    text = adapter.dump_json(plan())
    assert adapter.validate_json(text) == plan()
    fields = json.loads(text)
    for wrong in (fields | {"more": 1}, fields | {"releases": "3"}, {k: v for k, v in fields.items() if k != "delta"}):
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps(wrong))


@pytest.mark.parametrize(
    "shape",
    [
        Gradients("gradients", (), "1"),
        Gradients("gradients", ((0, 4),), "1"),
        Trees("trees", "0" * 32, 20, 10**9),
        Trees("trees", "0" * 32, -20, 3),
        Moments("moments", 0, "1"),
        Histogram("histogram", 1, 2, 1),
    ],
)
def test_a_shape_out_of_range_is_refused_before_anything_is_computed_from_it(shape):
    with pytest.raises(PlanError):
        replace(plan(), shape=shape).check()


def test_a_plan_that_states_another_cost_than_its_noise_has_is_refused():
    with pytest.raises(PlanError, match="costs"):
        replace(plan(), rho_total_nano=plan().rho_total_nano - 1).check()


def test_a_step_of_the_grid_is_its_share_of_the_clip_norm():
    assert list(from_grid(array("q", [0, 1, -(2**20)]), "0.5", 20)) == [0.0, 2**-21, -0.5]


def test_sums_that_leave_the_grid_or_have_two_lengths_are_refused():
    with pytest.raises(EncodingError):
        add([array("q", [2**61]), array("q", [2**61])])
    with pytest.raises(EncodingError):
        add([array("q", [1]), array("q", [1, 2])])
    with pytest.raises(EncodingError):  # beyond 64 bits there is no sum either
        add([array("q", [2**63 - 1]), array("q", [2**63 - 1])])


def test_the_step_gives_the_same_bits_as_independent_arithmetic_and_survives_storage():
    run, rng = plan(releases=6, step=Adam("adam", "0.05", 3)), np.random.default_rng(3)
    model = array("d", rng.normal(size=4).tolist())
    state, x = start_state(run, model), np.array(model)
    m = v = np.zeros(4)
    b1 = b2 = 1.0
    kept = []
    for number in range(1, 7):
        sums = rng.integers(-(2**22), 2**22, 4)
        stored, state = advance(run, state, array("q", sums.tolist()), number)
        g = sums * 2.0**-20
        m, v, b1, b2 = 0.9 * m + (1 - 0.9) * g, 0.99 * v + (1 - 0.99) * (g * g), b1 * 0.9, b2 * 0.99
        x = x - 0.05 * (m / (1 - b1)) / (np.sqrt(v / (1 - b2)) + 1e-8)
        kept = [*kept, x][-3:]
        assert list(stored) == ((kept[0] + kept[1] + kept[2]) / 3 if number == 6 else x).tolist()


def test_published_conversion_constants_hold():
    assert rho_cap("1", "1e-5") == pytest.approx(30_560_000, rel=1e-3)
    assert rho_cap("4", "1e-6") == pytest.approx(311_064_954, rel=1e-6)
    assert epsilon(rho_cap("2", "1e-6"), "1e-6") <= 2 < epsilon(rho_cap("2", "1e-6") + 1000, "1e-6")
    assert insider_recognition(0) == pytest.approx(0.01)


def draws(sigma, count):
    noise = LatticeGaussian(plan(shape=Gradients("gradients", ((499, 1),), "1"), sigma_steps=sigma))
    return np.array([noise.release(zeros(500)) for _ in range(count)]) / (40 * 2**20)


def has_scale(sample):
    """Variance within five standard errors of one, and nothing in common between releases."""
    n = sample.size
    across = np.abs(np.corrcoef(sample) - np.eye(len(sample))).max()
    return abs(sample.var() - 1) < 5 * sqrt(2 / n) and across < 5 / sqrt(sample.shape[1])


def test_noise_has_its_scale_and_the_test_would_see_thirty_percent_less_or_more():
    assert has_scale(draws(40 * 2**20, 20))
    assert not has_scale(draws(28 * 2**20, 20))
    assert not has_scale(draws(52 * 2**20, 20))


def test_noise_drawn_ahead_is_used_once():
    noise = LatticeGaussian(plan())
    noise.draw_ahead()
    waiting = noise._ahead[0]
    noise.draw_ahead()
    assert noise._ahead == [waiting], "what waits is kept"
    assert noise.release(zeros(4)) == waiting != noise.release(zeros(4))


def test_a_release_checks_shape_and_finiteness_itself():
    noise = LatticeGaussian(plan())
    for wrong in (zeros(3), np.zeros(4), np.array([0.0, np.nan, 0.0, 0.0]), zeros(4).reshape(2, 2)):
        with pytest.raises(ValueError, match="expected int64"):
            noise.release(wrong)
    with pytest.raises(EncodingError):
        noise.release(np.array([0, 2**62, 0, 0]))


def test_the_sampler_of_this_machine_passes_its_self_test():
    self_test()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10**9))
def test_the_auditors_own_curve_agrees_with_the_proven_one(rho):
    from auditor.steps.epsilon import epsilon as own

    assert own(rho / 1e9, 1e-6) == pytest.approx(epsilon(rho, "1e-6"), rel=1e-6)


@pytest.mark.parametrize(
    "broken",
    [
        lambda draws: np.round(draws * 0.9),
        lambda draws: np.round(draws / 2) * 2,
        lambda draws: np.clip(draws, -2 * 2**20, 2 * 2**20),
        lambda draws: np.repeat(draws[::2], 2),
        lambda draws: draws + 2**18,
    ],
    ids=["nine tenths", "low bit", "no tails", "pairs", "shifted"],
)
def test_the_self_test_would_see_a_broken_sampler(broken):
    """Here a generator with a seed stands in for the sampler, so that the test says the same each time."""
    draws = np.round(np.random.default_rng(1).normal(0, 2**20, 8192)).astype(np.int64)
    assert mechanisms._is_gaussian(draws)
    assert not mechanisms._is_gaussian(broken(draws).astype(np.int64))


def test_the_self_test_would_see_noise_that_a_forked_child_repeats(monkeypatch):
    kept = np.round(np.random.default_rng(2).normal(0, 2**20, 8192)).astype(np.int64)
    assert not mechanisms._apart(kept, kept)
    monkeypatch.setattr(mechanisms, "_of_a_child", lambda noise: [kept, kept])
    with pytest.raises(RuntimeError, match="broken"):
        self_test()


def test_a_forked_child_does_not_use_noise_that_its_parent_drew_ahead():
    noise = LatticeGaussian(plan())
    noise.draw_ahead()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, noise.release(zeros(4)).tobytes())
        os._exit(0)
    os.close(writing)
    assert array("q", os.read(reading, 1000)) != noise.release(zeros(4))
    os.wait()
