"""What scores a row: the shared families, the member's logistic, boosted trees; each explains its scores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import torch  # before LightGBM, which then finds the OpenMP runtime that torch brings
from torch import Tensor, nn
from torch.nn import functional

from contracts.envelope import digest
from engine.scaling import input_names
from engine.table import TableSchema
from engine.task import Model
from privacy.gradients import load_flat
from privacy.plan import Moments, Trees
from privacy.trees import contributions, score


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """`columns` `(rows, columns)` with NaN where missing, `x` `(rows, inputs)` the same without NaN and with flags,
    `y` `(rows,)` 0/1, and the unit of each row."""

    columns: np.ndarray
    x: np.ndarray
    y: np.ndarray
    unit: tuple[str, ...]
    cuts: list[np.ndarray]

    def take(self, chosen: np.ndarray) -> LabelledRows:
        """The chosen rows."""
        return LabelledRows(
            self.columns[chosen], self.x[chosen], self.y[chosen], tuple(self.unit[i] for i in chosen), self.cuts
        )


@dataclass(frozen=True, slots=True)
class Forest:
    """Ordinary boosted trees of one member, as LightGBM writes them down. They never leave its machine."""

    text: str


BinaryModel = Model | Forest


def name_of(model: BinaryModel) -> str:
    """Digest of the numbers or the text behind a score."""
    return digest(model.text.encode() if isinstance(model, Forest) else model.values.tobytes())


def log_odds(model: BinaryModel, rows: LabelledRows) -> np.ndarray:
    """`(rows,)` what the reasons of a score add up to: log-odds, or the probability itself from least squares."""
    if isinstance(model, Forest):
        return _predict(model, rows, raw_score=True) if len(rows.x) else np.zeros(0)
    values = np.array(model.values)
    if isinstance(model.shape, Trees):
        return score(model.shape, values, rows.columns, rows.cuts)
    linear: np.ndarray = rows.x @ values[:-1] + values[-1]
    return linear


def probability(model: BinaryModel, rows: LabelledRows) -> np.ndarray:
    """`(rows,)` chance of the outcome; least squares says it directly and is held within (0, 1)."""
    said: np.ndarray = log_odds(model, rows)
    if isinstance(model, Model) and isinstance(model.shape, Moments):
        said = np.clip(said, 0.001, 0.999)
    else:
        said = 1 / (1 + np.exp(-said))
    return said


def by_column(model: BinaryModel, rows: LabelledRows, schema: TableSchema) -> np.ndarray:
    """`(rows, columns)` what each column adds to `log_odds`, exactly: Shapley values for trees (Lundberg, Lee 2017),
    coefficient times value for a linear model, where a flag counts for the column it stands for."""
    if isinstance(model, Forest):
        width = rows.columns.shape[1]
        if not len(rows.x):
            return np.zeros((0, width))
        return _predict(model, rows, pred_contrib=True)[:, :width]
    if isinstance(model.shape, Trees):
        return contributions(model.shape, np.array(model.values), rows.columns, rows.cuts)
    names = [c.name for c in schema.of_kind("number")]
    moved = np.zeros((len(rows.x), len(names)))
    for at, name in enumerate(input_names(schema)):
        moved[:, names.index(name.removesuffix("?"))] += rows.x[:, at] * model.values[at]
    return moved


def logistic(values: Sequence[float]) -> nn.Module:
    """A network of one layer with these weights and, last, its intercept."""
    net = nn.Linear(len(values) - 1, 1, dtype=torch.float64)
    load_flat(net, values)
    return net


def cross_entropy(logit: Tensor, y: Tensor) -> Tensor:
    """Loss of each row of a logistic."""
    return functional.binary_cross_entropy_with_logits(logit[:, 0], y, reduction="none")


def _predict(model: Forest, rows: LabelledRows, **how: bool) -> np.ndarray:
    """On all cores: rows do not meet each other, and a node keeps to one core only what it trains."""
    told: np.ndarray = _booster(model.text).predict(rows.columns, num_threads=os.cpu_count(), **how)
    return told


@lru_cache(maxsize=4)
def _booster(text: str) -> Any:
    return lightgbm().Booster(model_str=text)


def lightgbm() -> Any:
    """LightGBM. It looks for scikit-learn, whose interface nobody uses here and whose import is a third of what the
    first score of a new process takes: unless that is loaded already, it is told that there is none."""
    if "lightgbm" in sys.modules or "sklearn" in sys.modules:
        return import_module("lightgbm")
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        return import_module("lightgbm")
    finally:
        del sys.modules["sklearn"]
