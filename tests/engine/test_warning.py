"""Early warning of the member itself: the rule, the prior that ships, what is served, and what a run may move."""

from array import array

import numpy as np
import polars as pl
import pytest

from contracts.envelope import digest
from contracts.errors import Invalid, Malformed
from engine.binary.models import by_column, probability
from engine.ensemble import AtHome, Ensemble
from engine.evidence import evidence, nearest
from engine.risk.task import auroc
from engine.table import Column, read_schema
from engine.task import Model, check_fit, load, names, plan_for, usual
from engine.warning import start
from engine.warning.firms import RATIOS, simulate
from engine.warning.months import ratios
from engine.warning.pretrain import as_artefact, together
from engine.warning.task import NOTE

TASK = load("warning")
SCHEMA = TASK.schema()


def books(overdue, first=2024):
    """A member's table with these days overdue, a month each."""
    months = [f"{first + at // 12}-{at % 12 + 1:02d}" for at in range(len(overdue))]
    calm = dict.fromkeys(RATIOS, 0.5)
    return pl.DataFrame({"month": months, "own_overdue_days": [float(days) for days in overdue]}).with_columns(
        **{name: pl.lit(value) for name, value in calm.items()}
    )


def served(frame, tmp_path, shared=None):
    return TASK.vote(shared, frame, SCHEMA, AtHome(b"key", tmp_path, lambda done, every: None))


@pytest.mark.parametrize(
    ("overdue", "labels"),
    [
        ([0] * 10, [0, 0, 0, 0]),  # the last six months are not known yet
        ([0] * 5 + [90] + [0] * 6, [0] * 6),  # ninety days are late, but not too late
        ([0] * 8 + [91] + [0] * 7, [0, 0, 1, 1, 1, 1, 1, 1]),
        ([0, 120] + [0] * 12, [1]),  # nothing after it teaches
        ([0] * 5, []),
        ([], []),
        ([float("nan"), float("inf")] + [0] * 8, [1]),  # NaN says nothing, infinity is too long
    ],
)
def test_a_month_teaches_if_it_lies_before_the_distress_and_its_half_year_is_known(overdue, labels):
    assert TASK.prepare(books(overdue), SCHEMA).y.tolist() == labels


def test_the_order_of_rows_and_gaps_do_not_matter_and_another_rule_or_unit_is_refused():
    frame = books([0] * 8 + [91] + [0] * 7)
    gappy = frame.filter(pl.col("month") != "2024-02")
    assert TASK.prepare(gappy.reverse(), SCHEMA).y.tolist() == TASK.prepare(gappy, SCHEMA).y.tolist()[::-1]
    assert len(TASK.prepare(gappy, SCHEMA).y) == 7
    for changes, said in (({"rule": "cash-below-zero/1"}, "rule cash-below-zero/1"), ({"unit": "row"}, "unit row")):
        other = SCHEMA.model_copy(update=changes)
        for refused in (lambda: TASK.prepare(frame, other), lambda: TASK.design(other, "gradients", 1)):  # noqa: B023
            with pytest.raises(Malformed, match=said):
                refused()


def test_the_rule_agrees_with_the_truth_of_the_simulated_firms():
    made = simulate(60, 72, 3)
    for onset, table in zip(made.onset, made.tables(72), strict=True):
        month = np.arange(72)
        known = ((onset < 0) | (month < onset)) & (month < 66)
        assert (
            TASK.prepare(table, SCHEMA).y.tolist()
            == ((onset >= 0) & (onset - month[known] <= 6)).astype(float).tolist()
        )


def test_the_same_seed_gives_the_same_firms_another_seed_others_and_distress_is_rare_but_there():
    first, again, other = (pl.concat(simulate(120, 72, seed).tables(72)) for seed in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)
    rates = [float(np.mean(simulate(120, 72, seed).onset >= 0)) for seed in range(6)]
    assert all(0.1 < rate < 0.6 for rate in rates)
    shown = first.select(list(RATIOS))
    assert 0.05 < sum(shown.null_count().row(0)) / (shown.height * shown.width) < 0.15


def test_no_model_sees_the_column_by_which_a_distress_is_known(tmp_path):
    assert [c.name for c in ratios(SCHEMA).of_kind("number")] == list(RATIOS)
    calm, late = (served(books([0] * 11 + [days]), tmp_path).lines[0] for days in (0, 90))
    assert calm == late


@pytest.mark.slow
def test_the_shipped_prior_is_the_one_that_its_command_makes():
    assert digest(as_artefact().to_bytes()) == start.DIGEST


def test_a_changed_prior_is_refused(monkeypatch):
    monkeypatch.setattr(start, "DIGEST", digest(b"another"))
    with pytest.raises(Invalid, match="not the one this version was made with"):
        start.prior()


def test_the_prior_finds_the_distress_of_firms_that_it_was_not_made_from():
    rows = together([TASK.prepare(table, SCHEMA) for table in simulate(200, 72, 8).tables(72)])
    model = Model(TASK.design(SCHEMA, "gradients", 1).shape, TASK.start(SCHEMA, "gradients"))
    assert auroc(probability(model, rows), rows.y) > 0.9
    assert probability(model, rows).mean() == pytest.approx(rows.y.mean(), abs=0.01)


def test_before_any_run_the_prior_serves_the_newest_month_first_with_exact_reasons_and_says_what_it_is(tmp_path):
    frame = simulate(1, 40, 2).tables(40)[0]
    voted = served(frame, tmp_path)
    assert voted.lines[0].id == frame["month"][-1] and [s.id for s in voted.lines] == sorted(frame["month"])[::-1]
    model = Model(TASK.design(SCHEMA, "gradients", 1).shape, TASK.start(SCHEMA, "gradients"))
    rows = TASK.prepare(pl.concat([frame.tail(1), books([0] * 7, 2030)], how="diagonal"), SCHEMA).take(np.arange(1))
    odds = by_column(model, rows, ratios(SCHEMA))[0]
    p = voted.lines[0].outcome["probability"]
    assert np.log(p / (1 - p)) == pytest.approx(odds.sum() + model.values[-1])
    assert [name for name, _weight in voted.lines[0].reasons] == [RATIOS[i] for i in np.argsort(-np.abs(odds))[:3]]
    assert "not checked on real ones" in voted.note and voted.note == NOTE
    [vote] = voted.votes.votes
    assert vote.whose == "public" and "not checked on real ones" in vote.name
    assert Ensemble.model_validate_json(voted.votes.to_bytes()) == voted.votes and voted.votes.record.alone is None


def test_a_released_model_takes_the_priors_place_and_the_note_stays(tmp_path):
    frame = books([0] * 12)
    model = Model(TASK.design(SCHEMA, "gradients", 1).shape, array("d", [0.0] * 21))
    voted = served(frame, tmp_path, model)
    assert any(vote.whose == "shared" and vote.weight > 0 for vote in voted.votes.votes)
    assert voted.lines[0].outcome["probability"] == pytest.approx(0.5) and voted.note == NOTE


def test_a_month_of_distress_has_no_line(tmp_path):
    assert [s.id for s in served(books([0, 0, 91]), tmp_path).lines] == ["2024-02", "2024-01"]
    assert served(books([91, 91]), tmp_path).lines == []


def test_what_would_lower_a_score_is_what_a_firm_can_do(tmp_path):
    frame = books([0] * 3).with_columns(receivable_days=pl.lit(120.0), debt_months=pl.lit(9.0))
    voted = served(frame, tmp_path)
    change = voted.panel.change(frame.tail(1), 0.8 * voted.lines[0].outcome["probability"])
    assert {name for name, _before, _after in change.moves} <= {"receivable_days", "overdue_share", "debt_months"}


def test_a_run_begins_from_the_prior_and_the_whole_member_is_its_one_unit():
    plan = plan_for(TASK, SCHEMA, family="gradients", releases=0, rho_nano=10**8, delta="1e-6", members=3)
    check_fit(TASK, SCHEMA, plan)
    assert (str(plan.unit), plan.max_units, plan.max_rows_per_unit, plan.releases) == ("member", 1, 48, 10)
    rows = TASK.prepare(simulate(1, 60, 1).tables(60)[0], SCHEMA)
    total = TASK.contribute(plan, TASK.start(SCHEMA, "gradients"), rows, round=1, key=b"key")
    assert len(rows.y) > 48 and 0 < np.linalg.norm(total.astype(float)) <= plan.sensitivity_steps()
    train, held = TASK.split(rows, b"key")
    assert train is rows and len(held.y) == 0


def test_a_table_by_member_has_no_ids_and_one_unit_and_no_agreement_covers_it_unasked():
    for changes in ({"max_units": 2}, {"columns": (Column(name="firm", kind="id"),)}):
        with pytest.raises(Malformed, match="wrong field"):
            read_schema(SCHEMA.model_copy(update=changes).model_dump_json().encode())
    assert "warning" in names() and usual() == ["demand", "risk"]


def test_of_each_set_the_run_of_as_many_members_counts():
    known = evidence("warning")
    sizes = sorted({one.members for one in known if "damaged" in one.data})
    for asked, found in ((3, sizes[0]), (sizes[1], sizes[1]), (sizes[1] + 1, sizes[1]), (10**6, sizes[-1])):
        assert [one.members for one in nearest(known, asked) if "damaged" in one.data] == [found]
    paid = {
        (size, asked): any(one.pays(asked) for one in nearest(known, size)) for size in sizes for asked in ("4", "1")
    }
    assert not paid[sizes[0], "4"] and paid[sizes[-1], "4"] and not any(paid[size, "1"] for size in sizes)
