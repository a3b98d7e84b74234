"""Four accountants on the same random Gaussian schedules: the plan's integers, OpenDP's odometer, the auditor, PLDs."""

from math import sqrt

import numpy as np
import opendp.prelude as dp
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
from scipy.optimize import brentq
from scipy.special import log_ndtr

from auditor.steps.epsilon import epsilon as auditors
from auditor.steps.step7_budgets import cost
from privacy.accounting import epsilon, rho_cap
from privacy.plan import PlanError, stated
from simulator import plan

DELTA = "1e-6"


def schedule(number):
    """Plans of one to six releases whose noise multipliers lie between 1 and 60, as an
    adaptive member would see them."""
    rng = np.random.default_rng(number)
    sigmas = np.exp(rng.uniform(0, np.log(60), rng.integers(1, 7))) * 2**20
    return [stated(plan(sigma_steps=int(sigma))) for sigma in sigmas]


def odometer(plans):
    """Rho that OpenDP's own odometer has counted after releasing every plan once."""
    space = dp.vector_domain(dp.atom_domain(T="i64"), size=4), dp.l2_distance(T="f64")
    asked = dp.c.make_fully_adaptive_composition(*space, dp.zero_concentrated_divergence())([0] * 4)
    for one in plans:
        asked(space >> dp.m.then_gaussian(scale=float(one.sigma_steps)))
    return asked.privacy_loss(float(plans[0].sensitivity_steps()))


def exact(rho, delta):
    """Epsilon of composed Gaussians, which are one Gaussian with mu = sqrt(2 rho) (Balle and Wang 2018, theorem 8)."""
    mu = sqrt(2 * rho)

    def excess(eps):
        return np.exp(log_ndtr(mu / 2 - eps / mu)) - np.exp(eps + log_ndtr(-mu / 2 - eps / mu)) - delta

    return 0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, 300.0, xtol=1e-12)


def multipliers(plans):
    return [one.sigma_steps / one.sensitivity_steps() for one in plans]


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_plan_odometer_and_auditor_count_the_same_loss_on_random_schedules(start):
    for number in range(start, start + 50):
        plans = schedule(number)
        ours, counted = sum(one.rho_nano() for one in plans), odometer(plans)
        assert 0 <= ours / 1e9 - counted * (1 - 1e-12) < 1e-6, "rounded up, never down"
        assert sum(cost(one) for one in plans) == ours
        said = epsilon(ours, DELTA)
        assert auditors(ours / 1e9, 1e-6) == pytest.approx(said, abs=1e-6)
        by_opendp = float(epsilon.__wrapped__(round(counted * 1e9), DELTA))
        assert said == pytest.approx(by_opendp, abs=1e-6)
        assert said >= exact(counted, 1e-6), "an upper bound is never below the exact value"


def pld(plans, interval):
    total = None
    for multiplier in multipliers(plans):
        one = from_gaussian_mechanism(multiplier, value_discretization_interval=interval)
        total = one if total is None else total.compose(one)
    return total.get_epsilon_for_delta(1e-6)


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_privacy_loss_distributions_agree_with_the_exact_curve_and_lie_below_what_is_enforced(start):
    for number in range(start, start + 50):
        plans = schedule(number)
        ours = sum(one.rho_nano() for one in plans)
        told, true = pld(plans, 2e-4), exact(ours / 1e9, 1e-6)
        assert told == pytest.approx(true, abs=1e-6)
        assert epsilon(ours, DELTA) >= told - 1e-6


def test_the_comparison_would_see_a_charge_that_is_one_per_mille_too_small():
    plans = schedule(3)
    short = sum(one.rho_nano() for one in plans) * 999 // 1000
    assert abs(short / 1e9 - odometer(plans)) > 1e-6
    assert abs(auditors(short / 1e9, 1e-6) - epsilon(sum(one.rho_nano() for one in plans), DELTA)) > 1e-6


@pytest.mark.parametrize("rho_nano", [10**13, 10**13 + 1, 10**15, 2**53 - 1])
def test_a_loss_beyond_every_plan_has_an_epsilon_too(rho_nano):
    """A log may hold any number, and whoever shows it must not fall over it."""
    least = auditors(rho_nano / 1e9, 1e-6)
    assert least <= epsilon(rho_nano, DELTA) <= least * 1.01


@pytest.mark.parametrize("delta", ["0", "1", "inf", "nan", "-1", "9223372036854775808"])
def test_a_delta_that_is_none_is_refused_by_name(delta):
    with pytest.raises(PlanError, match="delta"):
        epsilon(1, delta)


@pytest.mark.parametrize("target", ["inf", "nan"])
def test_a_target_that_is_none_is_refused_by_name(target):
    with pytest.raises(PlanError, match="epsilon"):
        rho_cap(target, DELTA)


def test_the_largest_target_that_an_agreement_can_name_has_a_cap():
    assert epsilon(rho_cap("999999", DELTA), DELTA) <= 999_999
