"""A public model: the same scores as the trees it was made from, as one more vote, and nothing but trees is read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import Malformed
from engine.binary.models import by_column, lightgbm, log_odds
from engine.ensemble import AtHome
from engine.risk import public
from engine.task import load
from receivables import ledger

TASK = load("risk")
SCHEMA = TASK.schema()
ROWS = TASK.prepare(ledger(6000, 7), SCHEMA)
DATA = public.fit(ROWS, SCHEMA, "published ledgers")
MODEL = public.read(DATA, SCHEMA)


def changed(**fields):
    return json.dumps(json.loads(DATA) | fields).encode()


def with_tree(**fields):
    first, *others = json.loads(DATA)["trees"]
    return changed(trees=[first | fields, *others])


def test_scores_and_reasons_are_those_of_the_trees_that_were_fitted():
    fitted = lightgbm().train(public._BOOSTING, lightgbm().Dataset(ROWS.columns, ROWS.y), public._ROUNDS)
    holes = ROWS.columns.copy()
    holes[::3, 2] = holes[::5, 4] = np.nan
    rows, forest = replace(ROWS, columns=holes), public.forest(MODEL, SCHEMA)
    assert np.allclose(log_odds(forest, rows), fitted.predict(holes, raw_score=True), atol=1e-12)
    shares = fitted.predict(holes, pred_contrib=True)
    assert np.allclose(by_column(forest, rows, SCHEMA), shares[:, :-1], atol=1e-9)
    assert (MODEL.source, MODEL.rows, MODEL.positives) == ("published ledgers", 6000, int(ROWS.y.sum()))
    assert public.fit(ROWS, SCHEMA, "published ledgers") == DATA, "the same rows give the same bytes"


def home(tmp_path, data=None):
    return AtHome(b"key", tmp_path, lambda done, every: None, public=data)


def test_a_small_member_votes_with_it_and_is_better_off(tmp_path):
    mine, test = ledger(120, 6), ledger(3000, 99)
    label = test["defaulted"].to_numpy()

    def brier(data):
        voted = TASK.vote(None, mine, SCHEMA, home(tmp_path, data))
        chance = np.array([line.outcome["probability"] for line in voted.panel.score(test)])
        return float(((chance - label) ** 2).mean()), voted.votes

    (alone, before), (helped, after) = brier(None), brier(DATA)
    assert helped < 0.96 * alone, (helped, alone)
    assert {vote.whose: vote.weight for vote in after.votes}["public"] > 1 / 3, "more than before a row was seen"
    assert not any(vote.whose == "public" for vote in before.votes) and after.digest() != before.digest()
    assert not any(vote.whose == "shared" and vote.weight > 0 for vote in after.votes)


def test_it_loses_its_vote_where_the_members_own_rows_speak_against_it(tmp_path):
    flipped = public.fit(replace(ROWS, y=1 - ROWS.y), SCHEMA, "rows with the label the wrong way round")
    voted = TASK.vote(None, ledger(800, 1), SCHEMA, home(tmp_path, flipped))
    [vote] = [vote for vote in voted.votes.votes if vote.whose == "public"]
    assert vote.weight == 0.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"tree\nversion=v4\n", "JSON"),
        (changed(table="sha256:" + "0" * 64), "another table"),
        (changed(trees=[]), "ask about"),
        (changed(format="mengbang-public-model/2"), "mengbang-public-model/1"),
        (changed(note="x"), "Extra"),
        (with_tree(column=[99] * len(MODEL.trees[0].column)), "ask about"),
        (with_tree(leaf=[*MODEL.trees[0].leaf[:-1], float("nan")]), "finite|number"),
        (with_tree(left=list(MODEL.trees[0].right)), "downwards|once"),
        (with_tree(left=[0, *MODEL.trees[0].left[1:]]), "downwards|once"),
        (with_tree(cut=[0.5]), "as many cuts"),
        (with_tree(rows=[1]), "one leaf more"),
        (b" " * (public.LARGEST + 1), "bytes"),
    ],
)
def test_whatever_is_not_the_trees_of_this_table_is_refused(data, said):
    with pytest.raises(Malformed, match=said):
        public.read(data, SCHEMA)


def test_rows_of_one_class_make_no_model():
    with pytest.raises(Malformed, match="too few"):
        public.fit(replace(ROWS, y=np.zeros(len(ROWS.y))), SCHEMA, "one class")
