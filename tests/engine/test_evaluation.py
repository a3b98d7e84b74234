"""Judging on the holdout: what one unit can move, what the counts keep, and whether harm is seen through the noise."""

import numpy as np
import polars as pl
import pytest

from contracts.statements.gate import SPREAD, judge
from engine.evaluation import BINS, holdout_counts, plan_for, units_needed
from engine.task import Judged, Model, load
from privacy.accounting import rho_cap
from privacy.mechanisms import LatticeGaussian

RISK = load("risk")
SCHEMA = RISK.schema()
START = "sha256:" + "1" * 64


def plan(others=1, rho=rho_cap("1", "1e-6")):
    return plan_for(RISK, SCHEMA, others=others, rho_nano=rho, delta="1e-6")


def judged(seed, rows=400, loss=None):
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 6, rows)
    label = (rng.random(rows) < score).astype(float)
    return Judged(score, (score - label) ** 2 if loss is None else loss, label)


def units(rows, each):
    return tuple(f"C{i // each}" for i in range(rows))


def test_every_unit_counts_once_however_many_rows_it_has_and_differences_keep_their_mean():
    one = judged(1)
    other = Judged(one.score, one.loss + np.random.default_rng(2).uniform(-0.4, 0.4, 400), one.label)
    asked = plan()
    counted = holdout_counts(asked, [one, other], units(400, 4), b"key") / 2**asked.grid_bits
    assert len(counted) == asked.length() == 2 * BINS + 2
    assert counted[:-2].sum() == pytest.approx(100, abs=0.01) == counted[-2:].sum()
    per_unit = (one.loss - other.loss).reshape(-1, 4).mean(1)
    assert float(SPREAD) * (counted[-2] - counted[-1]) == pytest.approx(per_unit.sum(), abs=0.01)


@pytest.mark.parametrize("others", [1, 2, 3])
def test_one_unit_more_moves_the_counts_by_at_most_the_sensitivity_and_nearly_all_of_it(others):
    asked, worst = plan(others), 0.0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows, each = int(rng.integers(1, 60)), int(rng.integers(1, 5))
        label = rng.integers(0, 2, rows).astype(float)
        models = [Judged(rng.random(rows), rng.random(rows), label) for _ in range(1 + others)]
        if seed % 5 == 0:
            models[0].loss[0] = np.nan
        name = units(rows, each)
        gone = [i for i in range(rows) if name[i] != name[-1]]
        less = [Judged(m.score[gone], m.loss[gone], m.label[gone]) for m in models]
        whole = holdout_counts(asked, models, name, b"k")
        without = holdout_counts(asked, less, tuple(name[i] for i in gone), b"k")
        worst = max(worst, float(np.linalg.norm((whole - without).astype(float))))
    assert worst <= asked.sensitivity_steps()
    one, same = np.array([0.3]), Judged(np.array([0.3]), np.array([1.0]), np.array([1.0]))
    best = Judged(one, np.array([0.0]), np.array([1.0]))
    extreme = holdout_counts(asked, [same, *[best] * others], ("C",), b"k")
    assert np.linalg.norm(extreme.astype(float)) > 0.9 * asked.sensitivity_steps()


def test_broken_rows_and_an_empty_holdout_count_nowhere_and_never_raise():
    bad = Judged(np.array([np.nan, 0.5, np.inf]), np.array([0.1, np.nan, 0.2]), np.array([0.0, 1.0, 7.0]))
    assert not holdout_counts(plan(), [bad, bad], ("a", "b", "c"), b"k").any()
    empty = Judged(np.zeros(0), np.zeros(0), np.zeros(0))
    assert holdout_counts(plan(), [empty, empty], (), b"k").tolist() == [0] * plan().length()


def verdict(lost, *, members, each):
    """Members with `each` holdout units on which the candidate loses `lost` more than the start, through real noise."""
    asked, total = plan(), np.zeros(plan().length(), dtype=np.int64)
    noise = LatticeGaussian(asked)
    for member in range(members):
        start = judged(member, each)
        candidate = Judged(start.score, start.loss + lost, start.label)
        total += np.array(noise.release(holdout_counts(asked, [candidate, start], units(each, 1), b"k")))
    return judge(asked, total.tolist(), members, [START])[0].verdict


def test_a_harmful_model_is_seen_where_there_are_enough_units_and_few_members_are_told_so():
    enough = 2 * units_needed(plan(), 8) // 8
    assert verdict(0.05, members=8, each=enough) == "worse"
    assert verdict(-0.02, members=8, each=enough) == "not-worse"
    few = [verdict(0.05, members=3, each=10) for _ in range(20)]  # two standard errors: one in fifty is told by noise
    assert few.count("too-few") > 15


def test_a_model_is_judged_by_what_it_says_of_each_row():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {c.name: rng.uniform(float(c.low), float(c.high), 50) for c in SCHEMA.of_kind("number")}
        | {"counterparty": [f"C{i}" for i in range(50)], "defaulted": rng.integers(0, 2, 50)}
    )
    held = RISK.prepare(frame, SCHEMA)
    start = Model(RISK.design(SCHEMA, "trees", 10**7).shape, RISK.start(SCHEMA, "trees"))
    told = RISK.judge(start, held)
    assert told.score == pytest.approx(np.full(50, 0.5)) and set(told.label) == {0.0, 1.0}
    assert told.loss.mean() == pytest.approx(RISK.evaluate(start, held, SCHEMA)["loss"])
