"""Parts of the demand task: calendar, windows, quantiles, simple forecasts, votes, generated series."""

from datetime import date

import numpy as np
import pytest

from engine.demand import calendar, home, synthetic
from engine.demand.drift import drift
from engine.demand.quantiles import LEVELS, average, band_factor, pinball, spread_factor, stretch, widen, wql
from engine.demand.task import validation_origins, with_launches
from engine.demand.totals import correlation, total
from engine.demand.weights import SHARED, SHARED_WEIGHT, decide
from engine.demand.windows import FREQUENCIES, MONTHLY, WEEKLY, Series, period_number, period_text, windows

KINDS = pytest.mark.parametrize("kind", FREQUENCIES, ids=lambda k: k.name)


def quiet(done, every):
    """No progress."""


def generated(kind, series=12, periods=60, seed=3):
    values, first = (synthetic.monthly if kind is MONTHLY else synthetic.weekly)(
        np.random.default_rng(seed), series, periods
    )
    return Series(values, int(first[0]), tuple(f"S{i}" for i in range(series)))


def test_the_spring_festival_is_where_the_calendar_says():
    assert calendar.spring_festival(2024) == date(2024, 2, 10) and calendar.spring_festival(2025) == date(2025, 1, 29)
    february, january = 2024 * 12 + 1, 2025 * 12
    assert calendar.festival_share(february) == 1.0 and calendar.festival_share(january) == pytest.approx(10 / 15)
    week = date(2026, 2, 17).toordinal() // 7
    assert calendar.festival_week(week) == 1.0 and calendar.festival_week(week + 4) == 0.0


def test_weekend_days_say_which_month_sells_by_the_calendar():
    december = 2016 * 12 + 11  # five Fridays and Saturdays, four Sundays
    assert calendar.weekend_days(december) == pytest.approx(14 - 13.04)


@KINDS
def test_a_window_knows_nothing_of_later_values_or_of_other_series(kind):
    series = generated(kind)
    at = 50
    seen = windows(series, [at], kind)
    changed = series.values.copy()
    changed[:, at:] = 7.0
    later = windows(Series(changed, series.first, series.names), [at], kind)
    assert np.array_equal(seen.x, later.x) and np.array_equal(seen.scale, later.scale)
    row = int(seen.row[-1])
    alone = windows(Series(series.values[row : row + 1], series.first, series.names[row : row + 1]), [at], kind)
    assert np.array_equal(alone.x[0], seen.x[-1])


@KINDS
def test_a_window_does_not_depend_on_the_currency(kind):
    series = generated(kind)
    dear = Series(series.values * 1000, series.first, series.names)
    one, other = windows(series, [55], kind), windows(dear, [55], kind)
    assert np.allclose(one.x[:, :-1], other.x[:, :-1])  # the last input says whether pieces are counted
    assert np.allclose(one.y, other.y, equal_nan=True)


@KINDS
def test_an_origin_before_anything_was_seen_has_no_window(kind):
    later = np.full((3, 40), np.nan)
    later[:, 30:] = 5.0
    made = windows(Series(later, 24_000, ("a", "b", "c")), [20], kind)
    assert made.x.shape == (0, kind.inputs()) and made.y.shape == (0, kind.horizon)


def test_the_generator_gives_the_same_series_for_the_same_seed_and_all_that_it_promises():
    first, second = (synthetic.monthly(np.random.default_rng(1), 400)[0] for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)
    assert np.isnan(first[:, 0]).mean() > 0.1, "late starts"
    counts, _ = synthetic.weekly(np.random.default_rng(1), 400)
    assert np.array_equal(counts, np.round(counts)) and 0.1 < (counts == 0).mean() < 0.6, "intermittent"
    assert (counts.cumsum(1) == 0)[:, 20].any(), "launches"


def test_the_best_median_and_the_best_spread_have_the_least_loss():
    random = np.random.default_rng(0)
    y = random.lognormal(0, 0.3, (4000, 3))
    right = np.broadcast_to(np.quantile(y, LEVELS), (4000, 3, 5))
    assert wql(y, right) < min(wql(y, right * 1.2), wql(y, widen(right, 2.0)), wql(y, widen(right, 0.5)))
    assert spread_factor(y, widen(right, 3.0)) == pytest.approx(1 / 3, rel=0.15)
    assert spread_factor(y[:4], widen(right, 3.0)[:4]) > 0.7, "few windows are not believed"
    assert spread_factor(y[:0], right[:0]) == 1.0


def test_the_band_covers_what_it_says_after_correction():
    random = np.random.default_rng(1)
    y = random.lognormal(0, 0.4, (30_000, 3))
    narrow = widen(np.broadcast_to(np.quantile(y, LEVELS), (30_000, 3, 5)), 0.4)
    mended = stretch(narrow, band_factor(y[:15_000], narrow[:15_000]))[15_000:]
    inside = (y[15_000:] >= mended[..., 0]) & (y[15_000:] <= mended[..., 4])
    assert 0.77 < inside.mean() < 0.83 and (np.diff(mended, axis=-1) >= 0).all() and (mended >= 0).all()


def test_what_was_not_observed_costs_nothing():
    y = np.array([[1.0, np.nan]])
    assert pinball(y, np.ones((1, 2, 5))).tolist() == [[0.0, 0.0]]


@KINDS
def test_simple_forecasts_are_cached_by_content_and_say_how_far_they_are(kind, tmp_path):
    values, said = generated(kind).values, []
    pasts = [values[:, :50], values[:, :52]]
    first = home.simple(pasts, kind, cache=tmp_path, progress=lambda *at: said.append(at))
    assert said[-1] == (48, 48) and len(first) == 3
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 4 and all(path.suffix == ".npy" for path in kept)
    before = [path.stat().st_mtime_ns for path in kept]
    again = home.simple(pasts, kind, cache=tmp_path, progress=quiet)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert before == [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    assert all((np.diff(made, axis=-1) >= -1e-9).all() and (made >= 0).all() for made in first.values())


@KINDS
def test_odd_series_get_a_forecast_too(kind, tmp_path):
    values = np.full((5, 20), np.nan)
    values[0], values[1, -1], values[2], values[3, ::2] = (
        0.0,
        5.0,
        3.0,
        2.0,
    )  # none sold, new, constant, gaps; [4] empty
    made = home.simple([values], kind, cache=tmp_path, progress=quiet)
    assert all(np.isfinite(one).all() for one in made.values())
    assert made["AutoETS"][1, 0, 0, 2] > 0 and made["AutoETS"][2, 0, 0, 2] == pytest.approx(3.0, rel=0.05)


def member(seed=0, series=60):
    """(what came, a good forecast, a bad one) of a member at three origins."""
    random = np.random.default_rng(seed)
    y = random.lognormal(3, 0.3, (series, 3, 3))
    good = np.broadcast_to(np.exp(3 + 0.3 * np.array((-1.28, -0.67, 0, 0.67, 1.28))), (series, 3, 3, 5))
    return y, good, good * 3


def test_a_shared_vote_that_is_worse_is_dropped_and_one_that_is_not_stays():
    y, good, bad = member()
    kept = decide({"one": 1.1 * good, "two": 0.9 * good, SHARED: good}, y)
    assert kept.weights[SHARED] == SHARED_WEIGHT
    dropped = decide({"one": good, "two": good, SHARED: bad}, y)
    assert SHARED not in dropped.weights and dropped.added > dropped.error > 0
    assert np.array_equal(dropped.losses["used"], dropped.losses["alone"])


def test_too_few_rows_to_tell_keep_the_shared_vote_and_nothing_is_invented():
    y, good, bad = member()
    nothing = np.full_like(y[:2], np.nan)
    ballot = decide({"one": good[:2], SHARED: bad[:2]}, nothing)
    assert (
        ballot.weights[SHARED] == SHARED_WEIGHT and ballot.spreads == {"one": 1.0, SHARED: 1.0} and ballot.band == 1.0
    )


def test_averages_of_quantiles_do_not_cross():
    _, good, bad = member()
    assert (np.diff(average([good, bad], [1.0, 3.0]), axis=-1) > 0).all()


def test_a_new_product_starts_on_the_moving_average_and_a_new_member_on_the_votes():
    old, new = np.full(30, 100.0), np.full(30, np.nan)
    new[-3:] = 40.0
    votes = np.full((2, 3, 5), 500.0)
    served = with_launches(Series(np.stack([old, new]), 0, ("old", "new")), MONTHLY, votes)
    assert (served[0] == 500).all() and served[1, 0, 2] == pytest.approx(40.0, rel=0.1)
    newcomer = Series(np.stack([new, new]), 0, ("a", "b"))
    assert (with_launches(newcomer, MONTHLY, votes) == 500).all()


def test_totals_add_up_and_their_band_lies_between_independent_and_common_errors():
    _, good, _ = member(series=10)
    each = good[:, 0]
    apart, common = total(each, 0.0), total(each, 1.0)
    assert np.allclose(apart[:, 2], each[..., 2].sum(0)) and np.allclose(common, each.sum(0))
    assert (total(each, 0.3)[:, 4] > apart[:, 4]).all() and (total(each, 0.3)[:, 4] < common[:, 4]).all()


def test_series_that_err_together_are_seen_to():
    y, good, _ = member(series=100)
    alone = correlation(y, good)
    together = correlation(good[..., 2] * np.random.default_rng(1).lognormal(0, 0.3, (1, 3, 3)), good)
    assert 0 <= alone < 0.2 < together <= 1


def test_validation_origins_are_the_newest_whose_targets_have_come():
    assert validation_origins(generated(MONTHLY, periods=40), MONTHLY) == (35, 36, 37)
    assert validation_origins(Series(np.ones((1, 2)), 0, ("a",)), MONTHLY) == ()


def business(kind, seed, *, series=40, change=lambda values, random: None):
    """Series of one season with noise, a launch now and then, and what happens to their newest periods."""
    random = np.random.default_rng(seed)
    periods = kind.season + 2 * kind.level + 6
    t = np.arange(periods)
    values = 500 * random.lognormal(0, 1, (series, 1)) * (1 + 0.5 * np.sin(2 * np.pi * t / kind.season))
    values = values * random.lognormal(0, 0.2, values.shape) * (1 + 0.1 * t / kind.season)
    values[::8, : kind.level] = np.nan
    change(values, random)
    return Series(values, 2020 * kind.season, tuple(str(n) for n in range(series)))


@pytest.mark.parametrize("kind", [MONTHLY, WEEKLY])
def test_drift_is_silent_about_seasons_growth_and_chance(kind):
    assert all(drift(business(kind, seed), kind) for seed in range(20)), "there was enough to tell"
    assert not any(one.has_moved for seed in range(20) for one in drift(business(kind, seed), kind))


@pytest.mark.parametrize("kind", [MONTHLY, WEEKLY])
@pytest.mark.parametrize("money", [1.0, 7.3, 1e6])
def test_drift_names_a_fallen_level_whatever_the_currency(kind, money):
    def halved(values, random):
        values[:, -kind.horizon :] *= 0.4
        values *= money

    level, zeros, _spread = drift(business(kind, 1, change=halved), kind)
    assert level.has_moved and level.now < 0.7 * level.then and not zeros.has_moved


@pytest.mark.parametrize("kind", [MONTHLY, WEEKLY])
def test_drift_names_products_that_sell_more_seldom(kind):
    def seldom(values, random):
        values[:, -kind.season :] *= random.random((len(values), kind.season)) < 0.4

    found = {one.column: one for one in drift(business(kind, 1, change=seldom), kind)}
    zeros = found["share of periods without sales"]
    assert zeros.has_moved and zeros.then == 0.0 and zeros.now > 0.2


def test_drift_says_nothing_where_series_or_periods_are_too_few():
    assert drift(business(MONTHLY, 1, series=19), MONTHLY) == ()
    whole = business(MONTHLY, 1)
    assert drift(Series(whole.values[:, :23], whole.first, whole.names), MONTHLY) == ()
    assert drift(Series(np.zeros((0, 1)), 0, ()), MONTHLY) == ()
    short = business(WEEKLY, 1)
    assert drift(Series(short.values[:, -40:], short.first, short.names), WEEKLY), "beside eight weeks ago"


@pytest.mark.parametrize(
    ("kind", "said", "then"),
    [(MONTHLY, "2024-12", "2025-01"), (WEEKLY, "2024-12-30", "2025-01-06"), (WEEKLY, "2023-12-25", "2024-01-01")],
)
def test_a_period_is_said_as_it_was_read_and_the_next_one_follows(kind, said, then):
    number = period_number(said)
    assert period_text(number, kind) == said and period_text(number + 1, kind) == then
