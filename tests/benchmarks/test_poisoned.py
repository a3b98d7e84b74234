"""A wrong member's contribution is refused on arrival, or bounded by the clip, or the gate stops
what it made of the model."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.rounds.poisoned import Case, sent
from engine.binary.models import probability
from engine.risk.task import TASK, auroc
from engine.table import Column, TableSchema
from engine.task import plan_for
from privacy.accounting import rho_cap

MEMBERS = 12


def rows(random, count):
    """Three inputs, one of which decides half of the odds."""
    x = random.uniform(-1, 1, (count, 3))
    y = (random.random(count) < 1 / (1 + np.exp(2.5 - 3 * x[:, 0]))).astype(float)
    return TASK.prepare(pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "late": y}), schema())


def schema():
    numbers = [Column(name=name, kind="number", transform="linear", low="-1", high="1") for name in "abc"]
    return TableSchema(
        format="mengbang-table/1",
        task="risk",
        dataset="made",
        file="made.csv",
        unit="row",
        purpose="research",
        row_meaning="a row",
        max_units=2000,
        max_rows_per_unit=1,
        columns=(*numbers, Column(name="late", kind="label")),
    )


@pytest.fixture(scope="module")
def trust():
    """(case, a model without wrong members): twelve members of 500 rows, each with 1,500 held-out ones."""
    random, rho = np.random.default_rng(3), rho_cap("4", "1e-6")
    plan = plan_for(TASK, schema(), family="trees", releases=0, rho_nano=rho, delta="1e-6", members=MEMBERS)
    train, held = ([rows(random, count) for _ in range(MEMBERS)] for count in (500, 1500))
    test = rows(random, 4000)

    def loss(model, wrong):
        return -auroc(probability(model, test), test.y)

    case = Case(TASK, schema(), plan, train, held, lambda one: replace(one, y=1 - one.y), loss)
    return case, case.run("none", (), masked=True)


def test_a_member_with_flipped_labels_does_what_one_member_can(trust):
    case, clean = trust
    made = case.run("labels flipped", (11,), masked=True)
    assert case.loss(made, (11,)) - case.loss(clean, (11,)) < 0.03, "one of twelve is outvoted"


@pytest.mark.parametrize("fault", ["constant", "scale x 1000", "not a number"])
@pytest.mark.parametrize("masked", [False, True])
def test_whatever_a_member_sends_the_harm_is_small_or_the_gate_stops_it(trust, fault, masked):
    case, clean = trust
    made = case.run(fault, (11,), masked=masked)
    refused = made is None  # a secure sum outside the plan's range
    assert refused == (masked and fault != "constant")
    assert (
        refused
        or case.loss(made, (11,)) - case.loss(clean, (11,)) < 0.03
        or case.verdict(made, clean, fault, (11,)) == "worse"
    )


def test_the_check_on_arrival_is_the_coordinators(trust):
    case, _ = trust
    honest = np.full(case.plan.length(), case.plan.sigma_steps).tolist()
    assert case.accepts(honest, 1) and not case.accepts(sent("not a number", case.plan)(honest), 1)
