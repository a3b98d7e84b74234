"""Risk: a synthetic ledger, private training, and what it gives."""

import json
from array import array
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from contracts.errors import Malformed
from engine.binary.models import LabelledRows, by_column, log_odds
from engine.binary.own import fit_own
from engine.binary.weights import SHARED, OwnSide, decide
from engine.bundle import bundle_digest
from engine.drift import drift
from engine.ensemble import AtHome
from engine.rounds import LocalGrid, RoundRequest, client_app, invitation, pack, read_values, unpack
from engine.table import read_schema
from engine.task import Model, check_fit, load, names, plan_for
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Gradients, PlanError
from privacy.spend import Unit
from privacy.step import advance, start_state
from receivables import ledger

TASK = load("risk")
SCHEMA = TASK.schema()


TASK_START = Model(Gradients("gradients", ((9, 1),), "3"), TASK.start(SCHEMA, "gradients"))


def make_plan(cap_nano, family="trees"):
    return plan_for(TASK, SCHEMA, family=family, releases=0, rho_nano=cap_nano, delta="1e-6", members=6)


class Simulated:
    def __init__(self, frame, plan):
        self.rows, self.plan, self.noise = TASK.prepare(frame, SCHEMA), plan, LatticeGaussian(plan)

    def contribute(self, asked, model):
        return self.noise.release(TASK.contribute(self.plan, model, self.rows, round=asked.round, key=b"key")), b""


def federate(frames, plan):
    grid = LocalGrid({n: client_app(Simulated(frame, plan)) for n, frame in enumerate(frames, 1)})
    model = TASK.start(SCHEMA, plan.shape.family)
    state = start_state(plan, model)
    for number in range(1, plan.releases + 1):
        asked = [
            grid.create_message(invitation(RoundRequest("run", number, 1), model), "train", n, str(number))
            for n in grid.get_node_ids()
        ]
        replies = [read_values(reply.content, "q") for reply in grid.send_and_receive(asked)]
        total = array("q", np.sum([np.array(v) for v in replies], axis=0).tolist())
        model, state = advance(plan, state, total, number)
    return Model(plan.shape, model)


@pytest.mark.parametrize("family", TASK.families)
def test_six_members_learn_together_under_differential_privacy(family):
    frames = [ledger(250, seed) for seed in range(6)]
    test = TASK.prepare(ledger(4000, 99), SCHEMA)
    shared = TASK.evaluate(federate(frames, make_plan(3_000_000_000, family)), test, SCHEMA)
    assert shared["auroc"] > 0.7, shared


@pytest.mark.parametrize("family", TASK.families)
def test_an_empty_or_one_class_member_contributes_noise_of_the_same_length(family):
    plan = make_plan(24_355_970, family)
    for frame in (ledger(5, 1).clear(), ledger(5, 1).with_columns(defaulted=pl.lit(0))):
        values, _ = Simulated(frame, plan).contribute(RoundRequest("run", 1, 1), TASK.start(SCHEMA, family))
        assert len(values) == plan.length() and any(values)


@pytest.mark.parametrize("family", TASK.families)
def test_reasons_add_up_to_the_score(family):
    model = federate([ledger(400, seed) for seed in range(3)], make_plan(311_064_954, family))
    rows = TASK.prepare(ledger(50, 3), SCHEMA)
    unexplained = log_odds(model, rows) - by_column(model, rows, SCHEMA).sum(1)
    assert np.ptp(unexplained) < 1e-9, "what no column explains is the same for everybody"


def test_a_plan_for_another_table_or_family_does_not_fit():
    plan = make_plan(24_355_970, "gradients")
    check_fit(TASK, SCHEMA, plan)
    for wrong in (
        replace(plan, max_units=SCHEMA.max_units + 1),
        replace(plan, unit=Unit.ROW),
        replace(plan, shape=Gradients("gradients", ((3, 1),), "3")),
        replace(plan, shape=replace(plan.shape, layers=((400, 400),))),
        replace(plan, shape=replace(plan.shape, clip="0.000001")),
    ):
        with pytest.raises(PlanError):
            check_fit(TASK, SCHEMA, wrong)


@pytest.mark.parametrize("unit, dropped", [("row", ()), ("counterparty", ("counterparty",))])
def test_a_row_is_no_unit_where_rows_have_an_owner(unit, dropped):
    fields = SCHEMA.model_dump(mode="json")
    fields |= {"unit": unit, "columns": [c for c in fields["columns"] if c["name"] not in dropped]}
    with pytest.raises(Malformed, match="protected by"):
        read_schema(json.dumps(fields).encode())


def test_messages_are_framed_strictly():
    about, model = RoundRequest("sha256:" + "0" * 64, 3, 17, (b"line",)), array("d", [1.5, -2.0])
    data = pack(invitation(about, model))
    assert unpack(data) == (about, model) and unpack(pack(invitation(about))) == (about, None)
    for wrong in (data[:-3], b"x" + data, data.replace(b'"round":3', b'"round":"3"'), b""):
        with pytest.raises(Malformed):
            unpack(wrong)


def test_tasks_are_found_and_the_bundle_has_a_digest():
    assert "risk" in names() and bundle_digest().startswith("sha256:")
    with pytest.raises(Malformed, match="no task"):
        load("nothing")
    told = json.loads(SCHEMA.to_bytes())
    for wrong in ({"low": "much"}, {"low": "1", "high": "1"}, {"high": "inf"}, {"cuts": ["0", "nan"]}):
        columns = [one | wrong if one["kind"] == "number" else one for one in told["columns"]]
        with pytest.raises(Malformed, match="wrong field"):
            read_schema(json.dumps(told | {"columns": columns}).encode())
    with pytest.raises(Malformed, match="wrong field"):
        read_schema(b'{"format": "mengbang-table/2"}')


def at_home(tmp_path, present=None):
    return AtHome(b"key", tmp_path, lambda done, every: None, present)


def crossed(rows, seed):
    """A ledger whose defaults come from a rule that no straight line can say: only one of two signs is dangerous."""
    frame, r = ledger(rows, seed), np.random.default_rng(seed)
    odd = (frame["overdue_share"] > 0.12) != (frame["order_trend"] > 0)
    return frame.with_columns(defaulted=pl.Series((r.random(rows) < np.where(odd, 0.5, 0.03)).astype(int)))


@pytest.mark.parametrize(("frame", "own"), [(crossed(1500, 1), "boosted trees"), (ledger(600, 2), "logistic")])
def test_the_best_own_model_on_rows_that_it_has_not_seen_has_the_members_vote(tmp_path, frame, own):
    votes = TASK.vote(None, frame, SCHEMA, at_home(tmp_path)).votes
    assert [vote.name for vote in votes.votes] == ["base rate", "logistic", "boosted trees"]
    assert {vote.name for vote in votes.votes if vote.weight} == {own} and votes.record.alone == votes.record.used


def drawn(rows, seed, told):
    """Labels, and log-odds of a member's own model and of a shared one that knows a share `told` of
    what the own one does not."""
    r = np.random.default_rng(seed)
    own, hidden = r.normal(0, 1, rows), r.normal(0, 1, rows)
    y = (r.random(rows) < 1 / (1 + np.exp(1.5 - own - hidden))).astype(float)
    return y, {"logistic": own - 1.2, SHARED: own - 1.2 + told * hidden + (1 - told) * r.normal(0, 1, rows)}


def test_a_vote_weighs_what_held_out_rows_say_of_it_and_a_third_before():
    side = OwnSide("logistic", (1.0, 0.0))
    weights = {}
    for told in (0.3, 0.5, 1.0):
        y, odds = drawn(4000, 1, told)
        ballot = decide(odds, y, side)
        weights[told] = ballot.weights[SHARED]
        assert sum(ballot.weights.values()) == pytest.approx(1)
        own, shared = (ballot.lines[name][0] * odds[name] + ballot.lines[name][1] for name in odds)

        def loss(weight, own=own, shared=shared, y=y):
            at = (1 - weight) * own + weight * shared
            return (np.logaddexp(0, at) - y * at).sum() + 5 * (weight - 1 / 3) ** 2

        assert weights[told] == pytest.approx(minimize_scalar(loss, bounds=(0, 1), method="bounded").x, abs=1e-4)
        mixed = (1 - weights[told]) * own + weights[told] * shared
        assert ballot.combine(odds) == pytest.approx(1 / (1 + np.exp(-mixed)))
    assert weights[0.3] < weights[0.5] < weights[1.0] and weights[1.0] > 0.9
    y, odds = drawn(12, 3, 0.5)
    assert decide(odds, y, side).weights.get(SHARED, 0) == pytest.approx(1 / 3, abs=0.1), "twelve rows say little"


def test_trees_are_not_grown_on_a_handful_of_defaults(tmp_path):
    rare = ledger(400, 5).with_columns(defaulted=(pl.int_range(pl.len()) < 8).cast(pl.Int64))
    assert "boosted trees" not in {vote.name for vote in TASK.vote(None, rare, SCHEMA, at_home(tmp_path)).votes.votes}
    none = TASK.vote(None, rare.with_columns(defaulted=pl.lit(0)), SCHEMA, at_home(tmp_path))
    assert [vote.name for vote in none.votes.votes] == ["base rate"]
    assert none.votes.record.alone is None and len({line.outcome["probability"] for line in none.lines}) == 1


def test_below_twenty_units_or_five_defaults_held_out_nothing_is_claimed(tmp_path):
    for frame in (ledger(60, 1), ledger(400, 5).with_columns(defaulted=(pl.int_range(pl.len()) < 12).cast(pl.Int64))):
        record = TASK.vote(TASK_START, frame, SCHEMA, at_home(tmp_path)).votes.record
        assert (record.alone, record.shared, record.used) == (None, None, None) and record.units > 0


def test_reasons_of_boosted_trees_add_up_to_their_score():
    rows = TASK.prepare(crossed(1500, 1), SCHEMA)
    forest = fit_own("boosted trees", rows)
    unexplained = log_odds(forest, rows) - by_column(forest, rows, SCHEMA).sum(1)
    assert np.ptp(unexplained) < 1e-9 and fit_own("boosted trees", rows) == forest, "the same rows, the same trees"


def test_a_line_of_the_result_names_the_three_columns_that_weigh_most_in_the_average(tmp_path):
    shared = federate([ledger(400, seed) for seed in range(3)], make_plan(311_064_954))
    frame = ledger(1500, 1)
    voted = TASK.vote(shared, frame, SCHEMA, at_home(tmp_path))
    assert [line.id for line in voted.lines] == frame["counterparty"].to_list()
    moved = sum(
        voted.panel.ballot.share(name) * by_column(model, TASK.prepare(frame, SCHEMA), SCHEMA)
        for name, model in voted.panel.models.items()
    )
    for line, row in zip(voted.lines, moved, strict=True):
        weights = [abs(weight) for _name, weight in line.reasons]
        assert weights == sorted(np.abs(row), reverse=True)[:3]


def test_the_smallest_change_crosses_the_line_and_a_smaller_one_does_not(tmp_path):
    panel = TASK.vote(None, ledger(1500, 1), SCHEMA, at_home(tmp_path)).panel
    today = ledger(300, 7)
    line = float(np.quantile(panel.chance(today), 0.92))
    for at in np.flatnonzero(panel.chance(today) > line):
        row = today[int(at)]
        change = panel.change(row, line)
        assert change and change.probability < line and all(after < before for _n, before, after in change.moves)
        moved = row.with_columns(**{name: pl.lit(after) for name, _before, after in change.moves})
        assert panel.chance(moved)[0] == pytest.approx(change.probability)
        less = {name: pl.lit((before + after) / 2) for name, before, after in change.moves}
        assert panel.chance(row.with_columns(**less))[0] >= 0.99 * line, "within a step"
    assert panel.change(today[0], 0.0) is None, "nothing makes a default impossible"


def test_held_out_rows_say_whether_probabilities_come_true(tmp_path):
    bins = TASK.vote(None, ledger(3000, 1), SCHEMA, at_home(tmp_path)).reliability
    assert len(bins) == 10 and sum(one.low <= one.told <= one.high for one in bins) >= 8
    assert TASK.vote(None, ledger(60, 1), SCHEMA, at_home(tmp_path)).reliability == ()


def test_drift_names_the_column_that_moved_and_is_silent_about_chance():
    taught = ledger(600, 1)
    assert not any(one.has_moved for seed in range(20) for one in drift(taught, ledger(60, seed + 2), SCHEMA))
    moved = ledger(60, 5).with_columns(overdue_share=pl.lit(0.7), delay_trend=pl.lit(None, pl.Float64))
    found = {one.column: one for one in drift(taught, moved, SCHEMA) if one.has_moved}
    assert set(found) == {"overdue_share", "delay_trend"}
    assert found["overdue_share"].now == 0.7 and found["delay_trend"].now is None
    assert drift(taught, moved.head(19), SCHEMA) == (), "too little to tell"
    older = taught.with_columns(pl.col("months_known") + 13)
    assert not any(one.has_moved for one in drift(taught, older, SCHEMA)), "that a year has passed is no news"


def test_the_logistic_is_the_minimum_that_scikit_learn_finds_too(tmp_path):
    rows = TASK.prepare(ledger(800, 4), SCHEMA)
    ours = np.array(fit_own("logistic", rows).values)
    theirs = LogisticRegression(C=1 / (2e-3 * len(rows.y)), tol=1e-10, max_iter=10_000).fit(rows.x, rows.y)
    assert ours == pytest.approx([*theirs.coef_[0], *theirs.intercept_], abs=1e-4)
    split = rows.take(np.arange(40))
    apart = LabelledRows(
        split.columns, split.x, (split.x[:, 0] > np.median(split.x[:, 0])).astype(float), split.unit, split.cuts
    )
    assert np.isfinite(fit_own("logistic", apart).values).all(), "also where a line separates the classes"
