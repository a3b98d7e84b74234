"""Demand, and a third task that lives in its own folder only."""

import textwrap
from array import array
from datetime import date

import numpy as np
import polars as pl
import pytest

import engine
from contracts.errors import Malformed
from demo.world import build
from engine.demand.windows import families, period_number
from engine.ensemble import AtHome, Ensemble
from engine.task import Model, load, names, plan_for

TASK = load("demand")
SCHEMA = TASK.schema()
WEEKS = SCHEMA.model_copy(update={"options": {"horizon": 4, "season": 52}})


def quiet(done, every):
    """No progress."""


def shop(series=6, months=36, seed=1):
    r = np.random.default_rng(seed)
    rows = [
        (f"P{s}", f"{2022 + t // 12}-{t % 12 + 1:02d}", float(1000 * (1 + 0.3 * np.sin(t / 2)) * r.lognormal(0, 0.1)))
        for s in range(series)
        for t in range(months)
    ]
    return pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row")


def weeks(series=5, count=60, seed=2):
    r = np.random.default_rng(seed)
    first = date(2024, 1, 1).toordinal()
    rows = [
        (f"W{s}", date.fromordinal(first + 7 * t).isoformat(), float(r.poisson(6)))
        for s in range(series)
        for t in range(count)
    ]
    return pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row")


@pytest.mark.parametrize(
    ("schema", "frame", "steps"), [(SCHEMA, shop(), 3), (WEEKS, weeks(), 4)], ids=["months", "weeks"]
)
def test_forecasts_do_not_cross_and_cover_every_series(schema, frame, steps, tmp_path):
    voted = TASK.vote(None, frame, schema, AtHome(b"key", tmp_path, quiet))
    assert len(voted.lines) == frame["series"].n_unique()
    assert all(
        0 <= s.outcome[f"low_{h}"] <= s.outcome[f"median_{h}"] <= s.outcome[f"high_{h}"]
        for s in voted.lines
        for h in range(1, steps + 1)
    )
    assert voted.total.outcome["median_1"] == pytest.approx(sum(s.outcome["median_1"] for s in voted.lines))
    assert [vote.name for vote in voted.votes.votes][-1] == "shared" and voted.votes.record.alone is None


def test_totals_of_families_and_of_the_member_are_the_sums_of_their_series(tmp_path):
    family = pl.col("series").replace_strict({f"P{n}": "A" if n < 2 else "total" if n < 5 else None for n in range(6)})
    voted = TASK.vote(None, shop(months=22).with_columns(family=family), SCHEMA, AtHome(b"key", tmp_path, quiet))
    alone = TASK.vote(None, shop(months=22), SCHEMA, AtHome(b"key", tmp_path, quiet))
    assert (voted.lines, voted.total, alone.families) == (alone.lines, alone.total, ()), "families move nothing else"
    assert [(one.level, one.id) for one in voted.all_lines()[6:]] == [
        ("family", "A"),
        ("family", "total"),
        ("member", "total"),
    ]
    for one, rows in zip((*voted.families, voted.total), (range(2), range(2, 5), range(6)), strict=True):
        middle, low, high = (sum(voted.lines[n].outcome[f"{q}_2"] for n in rows) for q in ("median", "low", "high"))
        assert one.outcome["median_2"] == pytest.approx(middle, rel=1e-12)
        assert low < one.outcome["low_2"] < middle < one.outcome["high_2"] < high, "errors offset in part"


def test_a_series_is_in_the_family_that_its_newest_row_names():
    moved = (
        pl.when(pl.col("period") < "2024-06").then(pl.lit("old")).when(pl.col("period") < "2024-12").then(pl.lit("new"))
    )
    frame = shop(1).with_columns(family=moved).sample(fraction=1.0, shuffle=True, seed=1)
    assert families(frame, SCHEMA) == {"P0": "new"} and families(shop(1), SCHEMA) == {}


def test_a_member_with_enough_series_sees_three_figures_and_the_set_reads_back(tmp_path):
    voted = TASK.vote(None, shop(24), SCHEMA, AtHome(b"key", tmp_path, quiet))
    record = voted.votes.record
    assert record.units == 24 and 0 < record.used < 1 and 0 < record.alone < 1 and 0 < record.shared < 1
    assert Ensemble.model_validate_json(voted.votes.to_bytes()) == voted.votes
    again = TASK.vote(None, shop(24), SCHEMA, AtHome(b"key", tmp_path, quiet))
    assert again.votes.digest() == voted.votes.digest()


def test_a_broken_shared_model_loses_its_vote(tmp_path):
    wild = array("d", TASK.start(SCHEMA, "gradients"))
    for step in range(-15, -12):
        wild[step] += 3.0  # the median twenty times too high
    model = Model(TASK.design(SCHEMA, "gradients", 1).shape, wild)
    voted = TASK.vote(model, shop(24), SCHEMA, AtHome(b"key", tmp_path, quiet))
    assert (
        not any(vote.whose == "shared" and vote.weight > 0 for vote in voted.votes.votes)
        and voted.votes.record.used == voted.votes.record.alone
    )


def test_a_run_changes_the_head_alone_and_a_sum_is_clipped_per_series():
    rows = TASK.prepare(shop(), SCHEMA)
    plan = plan_for(TASK, SCHEMA, family="gradients", releases=5, rho_nano=100_000_000, delta="1e-6", members=3)
    start = TASK.start(SCHEMA, "gradients")
    assert len(start) == plan.length() < 3500
    total = TASK.contribute(plan, start, rows, round=1, key=b"key")
    assert total.dtype == np.int64 and np.linalg.norm(total) <= 6 * 2**plan.grid_bits * 1.001


def test_another_season_is_refused_in_words():
    with pytest.raises(Malformed, match="season 7"):
        TASK.prepare(shop(), SCHEMA.model_copy(update={"options": {"horizon": 3, "season": 7}}))


def test_what_a_run_reads_of_a_series_depends_on_that_series_only():
    alone = TASK.prepare(shop().filter(pl.col("series") == "P3"), SCHEMA)
    among = TASK.prepare(shop(), SCHEMA)
    mine = [i for i, name in enumerate(among.unit) if name == "P3"]
    assert np.allclose(alone.read, among.read[mine], atol=1e-12) and np.array_equal(
        alone.y, among.y[mine], equal_nan=True
    )


def test_gaps_are_missing_and_not_zero():
    gappy = shop(2).filter(~((pl.col("series") == "P0") & (pl.col("period") == "2024-03")))
    assert np.isnan(TASK.prepare(gappy, SCHEMA).y).any()


def test_months_and_weeks_are_counted_from_their_spelling():
    assert period_number("2024-01") - period_number("2023-12") == 1
    assert period_number("2024-01-08") - period_number("2024-01-01") == 1


def test_the_simulated_world_is_deterministic_and_its_books_balance():
    _, first = build(2, "tiny", 5)
    _, second = build(2, "tiny", 5)
    assert first[1].invoices.equals(second[1].invoices) and first[0].sales.equals(second[0].sales)
    for member in first:
        joined = member.payments.join(member.invoices, on="invoice", how="left", suffix="_due")
        assert joined["amount_due"].null_count() == 0 and (joined["amount"] <= joined["amount_due"]).all()
        assert (member.invoices["amount"] > 0).all() and (joined["paid"] >= joined["issued"]).all()
        assert member.invoices["invoice"].is_unique().all()


def test_a_third_task_needs_no_change_outside_its_own_folder(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "task.py").write_text(
        textwrap.dedent("""
        from engine.risk.task import Risk
        class Toy(Risk):
            name = "toy"
        TASK = Toy()
    """),
        encoding="utf-8",
    )
    monkeypatch.setattr(engine, "__path__", [*engine.__path__, str(tmp_path)])
    assert names() == ["demand", "risk", "toy", "warning"] and load("toy").name == "toy"
