"""What a member can say alone, free of budget: its base rate, a logistic, boosted trees.

The best of them has the member's vote: by rows that each was not fitted on, in five folds of all the member's rows,
since a fifth of them alone holds too few positives to choose by. It is then fitted on all rows.
"""

from __future__ import annotations

import hashlib
from array import array

import numpy as np

from contracts.wording import N_
from engine.binary.models import BinaryModel, Forest, LabelledRows, lightgbm, probability
from engine.task import Model
from privacy.plan import Gradients

OWN = (N_("base rate"), N_("logistic"), N_("boosted trees"))  # simplest first: it wins a tie
_ROUNDS, _LEAST = 100, 10  # boosting rounds; rows of the rarer class below which trees only learn noise
_RIDGE, _STEPS, _FOLDS = 1e-3, 50, 5
BOOSTING = {  # size and rate chosen on validation rows of public credit sets
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 6,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.6,
    "seed": 0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def out_of_fold(rows: LabelledRows) -> dict[str, np.ndarray]:
    """`(rows,)` chances by each of the member's own models, simplest first, from models that did not see the row's
    unit; without those for which the rows of some fold's others are too few."""
    fold = np.array(
        [hashlib.sha256(b"fold/" + name.encode()).digest()[0] % _FOLDS for name in rows.unit], dtype=np.int64
    )
    told = {name: np.zeros(len(rows.y)) for name in OWN}
    for number in np.unique(fold):
        here, others = np.flatnonzero(fold == number), rows.take(np.flatnonzero(fold != number))
        for name in list(told):
            if model := fit_own(name, others):
                told[name][here] = probability(model, rows.take(here))
            else:
                del told[name]
    return told


def fit_own(name: str, rows: LabelledRows) -> BinaryModel | None:
    """The member's own model of that name; None where its rows are too few for it, or of one class only."""
    rarer = min(rows.y.sum(), len(rows.y) - rows.y.sum())
    match name:
        case "base rate":
            return _linear(_base(rows))
        case "logistic":
            return _logistic(rows) if rarer else None
        case "boosted trees":
            return _boosted(rows) if rarer >= _LEAST else None
    raise ValueError(name)


def _base(rows: LabelledRows) -> np.ndarray:
    """No weight but the intercept: the log-odds of the base rate, drawn towards one in twenty by five rows."""
    rate = float(np.clip((rows.y.sum() + 0.25) / (len(rows.y) + 5), 1e-4, 1 - 1e-4))
    return np.array([0.0] * rows.x.shape[1] + [np.log(rate / (1 - rate))])


def _linear(values: np.ndarray) -> Model:
    return Model(Gradients("gradients", ((len(values) - 1, 1),), "1"), array("d", values.tolist()))


def _logistic(rows: LabelledRows) -> Model:
    """Least mean cross-entropy plus a ridge on the weights, by Newton steps that are halved where they overshoot."""
    x, theta = np.column_stack([rows.x, np.ones(len(rows.x))]), _base(rows)
    ridge = np.append(np.full(rows.x.shape[1], _RIDGE), 0.0)

    def cost(theta: np.ndarray) -> float:
        z = x @ theta
        return float(np.mean(np.logaddexp(0.0, z) - rows.y * z) + ridge @ theta**2)

    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        slope = x.T @ (p - rows.y) / len(x) + 2 * ridge * theta
        curve = (x * (p * (1 - p))[:, None]).T @ x / len(x) + np.diag(2 * ridge + 1e-9)
        step, now = np.linalg.solve(curve, slope), cost(theta)
        while cost(theta - step) > now + 1e-12:
            step = step / 2
        theta = theta - step
        if np.abs(step).max() < 1e-8:
            break
    return _linear(theta)


def _boosted(rows: LabelledRows) -> Forest:
    library = lightgbm()
    data = library.Dataset(rows.columns, rows.y, free_raw_data=True)
    return Forest(library.train(BOOSTING, data, num_boost_round=_ROUNDS).model_to_string())
