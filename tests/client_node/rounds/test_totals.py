"""How a node hides the scale of its totals under terms that say so: in training and in what
is held out, by one factor."""

from array import array
from types import SimpleNamespace

import pytest

from client_node.rounds import training_data
from client_node.rounds.training_data import OwnRows
from contracts.statements.statements import Evaluates
from contracts.terms.agreement import Grouped, Weighted
from privacy.units import secret_scale
from simulator import Trust

KEY = b"k" * 32
GROUPS = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")


class Task:
    """Says by which factor it was asked to count."""

    def contribute(self, plan, model, rows, *, round, key, scale):
        return scale

    def judge(self, model, rows):
        return None


@pytest.fixture
def scale_of(monkeypatch):
    """terms -> (factor in training, factor in what is held out)."""
    monkeypatch.setattr(training_data, "load", lambda _name: Task())
    monkeypatch.setattr(training_data, "holdout_counts", lambda plan, judged, unit, key, scale: scale)

    def ask(totals):
        trust = Trust(3, edition=2 if totals else 1, secure_sum="required", totals=totals)
        for firm in trust.firms:
            trust.consent(firm)
        trust.order()
        assert trust.findings == []
        mirror, budget = SimpleNamespace(state=trust.state), SimpleNamespace(unit_key=lambda: KEY)
        rows = OwnRows(None, None, mirror, budget)
        rows._split = lambda _order: (None, SimpleNamespace(unit=()))
        rows._others = lambda _judged: ()
        order = trust.run.order
        judging = order.model_copy(update={"evaluates": Evaluates(run=trust.run.run, incumbent=None)})
        return tuple(rows.sum(one, array("d"), 1) for one in (order, judging))

    return ask


def test_under_weighted_terms_one_secret_factor_counts_in_training_and_held_out(scale_of):
    assert scale_of(Weighted(rule="weighted")) == (secret_scale(KEY),) * 2
    assert 0.42 <= secret_scale(KEY) < 1


@pytest.mark.parametrize("totals", [None, GROUPS])
def test_under_other_terms_every_unit_counts_once(scale_of, totals):
    assert scale_of(totals) == (1.0, 1.0)
