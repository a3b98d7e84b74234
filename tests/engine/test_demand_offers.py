"""Promotions and prices that a member says beforehand: what they change, and what they never change."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from engine.demand import offers
from engine.demand.windows import FREQUENCIES, MONTHLY, Series, period_text, read_series
from engine.ensemble import AtHome
from engine.task import load

TASK = load("demand")
SCHEMA = TASK.schema()
KINDS = pytest.mark.parametrize("kind", FREQUENCIES, ids=lambda kind: kind.name)
LIFT, ELASTICITY = 0.6, -1.5


def shop(series=8, periods=23, seed=4, *, kind=MONTHLY, lift=LIFT, elasticity=ELASTICITY):
    """Series around a level of their own that answer to promotions and prices; what is offered
    is known a horizon ahead."""
    random = np.random.default_rng(seed)
    every = periods + kind.horizon
    promotion = (random.random((series, every)) < 0.2) * random.uniform(0.3, 1, (series, every))
    price = np.log(20) + np.cumsum((random.random((series, every)) < 0.1) * random.normal(0, 0.15, (series, every)), 1)
    logs = lift * promotion + elasticity * (price - price[:, :1]) + random.normal(0, 0.1, (series, every))
    sold = random.lognormal(6, 1, (series, 1)) * np.exp(logs)
    names = tuple(f"P{n:02d}" for n in range(series))
    return Series(sold[:, :periods], 2022 * kind.season, names, np.stack([promotion, price], 2)), sold


def table(series, *columns, kind=MONTHLY):
    """Rows of the table, those of periods to come without sales."""
    known = series.values.shape[1]
    rows = [
        (
            name,
            period_text(series.first + t, kind),
            float(series.values[n, t]) if t < known else None,
            float(series.offers[n, t, 0]),
            float(np.exp(series.offers[n, t, 1])),
        )
        for n, name in enumerate(series.names)
        for t in range(series.offers.shape[1])
        if t < known or columns
    ]
    heads = {
        "series": pl.String,
        "period": pl.String,
        "sales": pl.Float64,
        "promotion": pl.Float64,
        "price": pl.Float64,
    }
    return pl.DataFrame(rows, schema=heads, orient="row").select("series", "period", "sales", *columns)


def vote(frame, tmp_path):
    return TASK.vote(None, frame, SCHEMA, AtHome(b"key", tmp_path, lambda done, every: None))


@KINDS
def test_a_series_own_response_is_found_and_drawn_towards_nothing_where_little_is_seen(kind):
    series, _ = shop(periods=60, kind=kind)
    found = offers.response(series.values, series.offers[:, :60])
    assert np.median(found[:, 0]) == pytest.approx(LIFT, abs=0.12)
    assert ELASTICITY < np.median(found[:, 1]) < -0.4, "few changes of price: drawn towards nothing"
    short = offers.response(series.values[:, :8], series.offers[:, :8])
    assert np.abs(short).mean() < np.abs(found).mean()
    flat = offers.response(series.values, np.zeros_like(series.offers[:, :60]))
    assert not flat.any(), "who never changed anything has no response"


def test_planned_offers_move_forecasts_towards_what_came_and_every_line_says_why(tmp_path):
    series, sold = shop()
    told, alone = vote(table(series, "promotion", "price"), tmp_path), vote(table(series), tmp_path)
    came = sold[:, -3:]

    def missed(voted):
        median = np.array([[line.outcome[f"median_{h}"] for h in (1, 2, 3)] for line in voted.lines])
        return np.abs(median - came).sum() / came.sum()

    assert told.offers is True and alone.offers is None and told.ahead == alone.ahead
    assert missed(told) < 0.7 * missed(alone)
    assert told.votes.digest() != alone.votes.digest(), "a receipt says by its votes whether offers were used"
    [line] = [line for line in told.lines if line.id == "P01"]
    assert dict(line.reasons).keys() <= {"promotion", "price"} and any(one.reasons for one in told.lines)
    assert not any(one.reasons for one in alone.lines)
    medians = sum(one.outcome["median_3"] for one in told.lines)
    assert told.total.outcome["median_3"] == pytest.approx(medians, rel=1e-12)


def test_where_nothing_is_planned_there_is_no_promotion_and_the_latest_price(tmp_path):
    series, _ = shop()
    frame = table(series, "promotion", "price")
    silent = frame.drop_nulls("sales")
    assert frame.height - silent.height == 8 * 3
    read = offers.read(silent, SCHEMA)
    for origin in (18, 23):
        past, moved = offers.foreseen(read, origin, MONTHLY)
        assert not moved.any() and not np.array_equal(past.values, read.values[:, :origin])
    assert not any(line.reasons for line in vote(silent, tmp_path).lines)


def test_a_table_without_offers_is_forecast_as_before_bit_for_bit(tmp_path):
    frame = table(shop()[0])
    empty = frame.with_columns(promotion=pl.lit(None, pl.Float64), price=pl.lit(None, pl.Float64))
    for one in (frame, empty):
        read, plain = offers.read(one, SCHEMA), read_series(frame, SCHEMA)
        assert read.offers is None and np.array_equal(read.values, plain.values) and read.names == plain.names
    past, moved = offers.foreseen(plain, 20, MONTHLY)
    assert np.array_equal(past.values, plain.values[:, :20]) and (offers.factor(moved) == 1.0).all()
    assert vote(empty, tmp_path) == vote(frame, tmp_path)


def test_offers_that_told_nothing_are_not_used_and_then_nothing_moves(tmp_path):
    series, _ = shop(lift=0.0, elasticity=0.0, seed=5)
    told, alone = vote(table(series, "promotion", "price"), tmp_path), vote(table(series), tmp_path)
    assert told.offers is False and told.lines == alone.lines and told.votes.digest() == alone.votes.digest()


def test_changing_one_series_and_its_offers_moves_no_other_series_training_rows():
    series, _ = shop()
    other = replace(series, values=series.values.copy(), offers=series.offers.copy())
    other.values[3] *= np.linspace(0.1, 9, 23)
    other.offers[3, :, 0], other.offers[3, :, 1] = np.arange(26) % 2, np.linspace(0, 3, 26)
    one, two = (TASK.prepare(table(each, "promotion", "price"), SCHEMA) for each in (series, other))
    mine = np.array([name == "P03" for name in one.unit])
    assert one.unit == two.unit and mine.any() and not np.array_equal(one.read[mine], two.read[mine])
    assert np.array_equal(one.read[~mine], two.read[~mine]) and np.array_equal(
        one.y[~mine], two.y[~mine], equal_nan=True
    )


def test_a_series_that_began_before_the_others_and_went_on_after_them_changes_no_bit_of_theirs():
    rows, theirs = table(shop(periods=30)[0], "promotion", "price"), pl.col("series") != "P03"
    sold = ~theirs | pl.col("period").is_between(pl.lit("2022-06"), pl.lit("2024-01"))
    rows = rows.with_columns(pl.when(sold).then(pl.col("sales")))  # of the others, offers are known before and after
    whole, less = (offers.read(each, SCHEMA) for each in (rows, rows.filter(theirs)))
    (one, _ahead), (two, _) = (offers.foreseen(each, each.values.shape[1], MONTHLY) for each in (whole, less))
    others, begin = np.arange(8) != 3, less.first - whole.first
    assert begin > 0 and two.values.shape == (7, 20) and not np.array_equal(two.values, less.values)
    assert np.array_equal(one.values[others, begin : begin + 20], two.values)


def test_training_learns_what_would_have_been_sold_without_promotion_at_the_latest_price():
    series, _ = shop()
    with_offers = TASK.prepare(table(series, "promotion", "price"), SCHEMA)
    without = TASK.prepare(table(series), SCHEMA)
    assert with_offers.unit == without.unit, "rows of periods to come teach nothing"
    assert np.nanstd(np.log(with_offers.y)) < 0.7 * np.nanstd(np.log(without.y))


def test_a_plan_without_any_sales_is_no_forecast_and_no_row_that_teaches(tmp_path):
    plan = table(shop(2)[0], "promotion", "price").with_columns(sales=pl.lit(None, pl.Float64))
    assert vote(plan, tmp_path).lines == [] and TASK.prepare(plan, SCHEMA).unit == ()


@KINDS
def test_at_an_origin_nothing_is_known_of_later_sales_or_of_offers_beyond_the_horizon(kind):
    series, _ = shop(periods=60, kind=kind)
    later = replace(series, values=series.values.copy(), offers=series.offers.copy())
    later.values[:, 40:], later.offers[:, 40 + kind.horizon :] = 7.0, 1.0
    one, two = (offers.foreseen(each, 40, kind) for each in (series, later))
    assert np.array_equal(one[0].values, two[0].values) and np.array_equal(one[1], two[1])


def test_a_price_holds_until_another_is_said_and_what_is_no_price_counts_as_none():
    rows = [("A", f"2024-{m:02d}", 5.0 if m < 6 else None, {2: 10.0, 4: -1.0, 7: 20.0}.get(m)) for m in range(1, 9)]
    rows += [("B", "2024-01", 1.0, None)]
    read = offers.read(pl.DataFrame(rows, schema=["series", "period", "sales", "price"], orient="row"), SCHEMA)
    assert read.values.shape == (2, 5)
    assert np.exp(read.offers[0, :, 1]) == pytest.approx([10.0] * 6 + [20.0] * 2)
    assert not read.offers[1].any() and not read.offers[0, :, 0].any()
