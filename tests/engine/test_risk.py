"""Risk: a synthetic ledger, private training, and what it gives."""

from array import array

import numpy as np
import polars as pl
import pytest

from contracts.errors import Malformed
from engine.bundle import bundle_digest
from engine.rounds import LocalGrid, client_app, invitation, pack, read_values, unpack
from engine.scaling import input_names
from engine.table import read_schema
from engine.task import load, names
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Gradients, ReleasePlan, sigma_for
from privacy.spend import Unit
from privacy.step import advance, start_state

TASK = load("risk")
SCHEMA = TASK.schema()


def ledger(rows, seed):
    r = np.random.default_rng(seed)
    late, share, trend = r.gamma(1.5, 12, rows), r.beta(1, 6, rows), r.normal(0, 0.3, rows)
    logit = -5.2 + 0.05 * late + 6 * share - 2.5 * trend + r.normal(0, 0.3, rows)
    return pl.DataFrame(
        {
            "counterparty": [f"C{i:05d}" for i in range(rows)],
            "months_known": r.integers(1, 100, rows),
            "exposure_share": r.beta(1, 9, rows),
            "overdue_share": share,
            "mean_delay_days": late,
            "delay_trend": r.normal(0, 8, rows),
            "order_trend": trend.clip(-1, 1),
            "order_gap_months": r.integers(0, 5, rows),
            "defaulted": (r.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


def make_plan(cap_nano, **changes):
    length, tuning = TASK.length(SCHEMA), TASK.tuning
    sigma = sigma_for(cap_nano, releases=tuning.releases, length=length, grid_bits=20, max_units=SCHEMA.max_units)
    fields = {
        "task": "risk",
        "dataset": SCHEMA.dataset,
        "unit": Unit(SCHEMA.unit),
        "partition": "train",
        "releases": tuning.releases,
        "shape": Gradients("gradients", length, tuning.clip),
        "sigma_steps": sigma,
        "grid_bits": 20,
        "delta": "1e-6",
        "max_units": SCHEMA.max_units,
        "max_rows_per_unit": SCHEMA.max_rows_per_unit,
        "step": tuning.step,
    }
    return ReleasePlan(**(fields | changes))


class Simulated:
    def __init__(self, frame, plan):
        self.rows, self.plan, self.noise = TASK.prepare(frame, SCHEMA), plan, LatticeGaussian(plan)

    def contribute(self, run, round, open_index, model):
        return self.noise.release(TASK.clipped_sum(model, self.rows, self.plan, b"key")), b""


def federate(frames, plan):
    grid = LocalGrid({n: client_app(Simulated(frame, plan)) for n, frame in enumerate(frames, 1)})
    model = TASK.start(SCHEMA)
    state = start_state(model)
    for number in range(1, plan.releases + 1):
        asked = [
            grid.create_message(invitation("run", number, 1, model), "train", n, str(number))
            for n in grid.get_node_ids()
        ]
        replies = [read_values(reply.content, "q") for reply in grid.send_and_receive(asked)]
        total = array("q", np.sum([np.array(v) for v in replies], axis=0).tolist())
        model, state = advance(plan, state, total, number)
    return model


def test_six_members_learn_together_under_differential_privacy_what_small_ones_cannot_alone():
    frames = [ledger(250, seed) for seed in range(6)]
    test = TASK.prepare(ledger(4000, 99), SCHEMA)
    shared = TASK.evaluate(federate(frames, make_plan(311_064_954)), test, SCHEMA)
    alone = [TASK.evaluate(TASK.fit_alone(TASK.prepare(f, SCHEMA), SCHEMA), test, SCHEMA)["auroc"] for f in frames]
    assert shared["auroc"] > 0.74, (shared, alone)
    nothing = TASK.evaluate(TASK.start(SCHEMA), test, SCHEMA)
    assert nothing["auroc"] == 0.5


def test_one_unit_moves_the_released_sum_by_at_most_the_declared_sensitivity():
    plan = make_plan(24_355_970)
    model = array("d", np.random.default_rng(1).normal(0, 1, plan.length()).tolist())
    frame = ledger(300, 5)
    whole = np.round(TASK.clipped_sum(model, TASK.prepare(frame, SCHEMA), plan, b"k") * 2**20)
    worst = 0.0
    for gone in range(0, 300, 10):
        less = frame.filter(pl.col("counterparty") != f"C{gone:05d}")
        moved = np.linalg.norm(
            whole - np.round(TASK.clipped_sum(model, TASK.prepare(less, SCHEMA), plan, b"k") * 2**20)
        )
        worst = max(worst, moved / plan.sensitivity_steps())
    assert 0.5 < worst <= 1.0


def test_an_empty_member_contributes_noise_of_the_same_length():
    plan = make_plan(24_355_970)
    side = Simulated(ledger(5, 1).clear(), plan)
    values, _ = side.contribute("run", 1, 1, TASK.start(SCHEMA))
    assert len(values) == plan.length() and any(values)


def test_results_come_with_reasons_that_add_up():
    frame = ledger(50, 3)
    model = TASK.fit_alone(TASK.prepare(ledger(2000, 4), SCHEMA), SCHEMA)
    served = TASK.serve(model, frame, SCHEMA)
    assert [s.id for s in served] == frame["counterparty"].to_list()
    assert all(0 < s.outcome["probability"] < 1 and len(s.reasons) == 3 for s in served)
    assert {name for s in served for name, _ in s.reasons} <= set(input_names(SCHEMA))


def test_messages_are_framed_strictly():
    content = invitation("sha256:" + "0" * 64, 3, 17, array("d", [1.5, -2.0]))
    data = pack(content)
    assert pack(unpack(data)) == data and list(read_values(unpack(data), "d")) == [1.5, -2.0]
    for wrong in (data[:-3], b"x" + data, data.replace(b'"round":3', b'"round":"3"'), b""):
        with pytest.raises(Malformed):
            unpack(wrong)


def test_tasks_are_found_and_the_bundle_has_a_digest():
    assert "risk" in names() and bundle_digest().startswith("sha256:")
    with pytest.raises(Malformed, match="no task"):
        load("nothing")
    with pytest.raises(Malformed, match="wrong field"):
        read_schema(b'{"format": "mengbang-table/2"}')
