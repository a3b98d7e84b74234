"""Risk: will this counterparty default within the horizon? A logistic model, because it needs the least epsilon."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.scaling import input_names, inputs
from engine.split import holdout
from engine.table import TableSchema, shipped
from engine.task import Served, Tuning
from engine.training import fit
from privacy.gradients import Clipped, TapLinear, blocks, load_flat
from privacy.plan import Adam, ReleasePlan


@dataclass(frozen=True, slots=True)
class Rows:
    """`x` `(rows, inputs)`, `y` `(rows,)` 0/1, and the unit of each row."""

    x: np.ndarray
    y: np.ndarray
    unit: tuple[str, ...]

    def take(self, chosen: np.ndarray) -> Rows:
        """The chosen rows."""
        return Rows(self.x[chosen], self.y[chosen], tuple(self.unit[i] for i in chosen))


class Risk:
    """See engine.task.Task."""

    name = "risk"
    tuning = Tuning(clip="1", step=Adam("adam", "0.2", 8), releases=25)

    def schema(self) -> TableSchema:
        """The receivables ledger."""
        return shipped("engine.risk")

    def length(self, schema: TableSchema) -> int:
        """One weight an input and an intercept."""
        return len(input_names(schema)) + 1

    def start(self, schema: TableSchema) -> array[float]:
        """No opinion, at a public base rate of five in a hundred."""
        return array("d", [0.0] * len(input_names(schema)) + [float(np.log(0.05 / 0.95))])

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> Rows:
        """Scaled inputs and labels; without an id column each row is a unit of its own."""
        ids = schema.of_kind("id")
        unit = frame[ids[0].name].to_list() if ids else range(len(frame))
        return Rows(
            inputs(frame, schema), frame[schema.one("label").name].to_numpy().astype(np.float64), tuple(map(str, unit))
        )

    def clipped_sum(self, model: array[float], rows: Rows, plan: ReleasePlan, key: bytes) -> np.ndarray:
        """See engine.task.Task."""
        net = _network(model)
        grouped = blocks(rows.unit, plan.max_rows_per_unit, key)
        return Clipped(net, float(plan.shape.clip)).sum(
            _loss, torch.from_numpy(rows.x), torch.from_numpy(rows.y), grouped
        )

    def split(self, rows: Rows, key: bytes) -> tuple[Rows, Rows]:
        """By keyed hash of the unit, so that a unit never stands on both sides."""
        held = holdout(rows.unit, key)
        return rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))

    def fit_alone(self, rows: Rows, schema: TableSchema) -> array[float]:
        """The same logistic on the member's own rows; the base rate if there is only one class."""
        base = float(np.clip((rows.y.sum() + 0.25) / (len(rows.y) + 5), 1e-4, 1 - 1e-4))
        net = _network(array("d", [0.0] * rows.x.shape[1] + [float(np.log(base / (1 - base)))]))
        if 0 < rows.y.sum() < len(rows.y):
            fit(net, _loss, torch.from_numpy(rows.x), torch.from_numpy(rows.y))
        return array("d", torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist())

    def evaluate(self, model: array[float], rows: Rows, schema: TableSchema) -> dict[str, float]:
        """Brier score as loss, AUROC (0.5 where it does not exist), units and positives."""
        p = _probability(model, rows.x)
        return {
            "loss": float(np.mean((p - rows.y) ** 2)) if len(p) else 0.0,
            "auroc": auroc(p, rows.y),
            "units": float(len(set(rows.unit))),
            "positives": float(rows.y.sum()),
        }

    def serve(self, model: array[float], frame: pl.DataFrame, schema: TableSchema) -> list[Served]:
        """Probability of default, with the three inputs that move the log-odds most."""
        x, named = inputs(frame, schema), input_names(schema)
        ids = schema.of_kind("id")
        who = frame[ids[0].name].to_list() if ids else list(range(len(frame)))
        weights = np.array(model[:-1])
        return [
            Served(str(name), {"probability": float(p)}, _reasons(row * weights, named))
            for name, p, row in zip(who, _probability(model, x), x, strict=True)
        ]


def _network(model: Sequence[float]) -> nn.Module:
    net = TapLinear(len(model) - 1, 1)
    load_flat(net, model)
    return net


def _loss(logit: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logit[:, 0], y, reduction="none")


def _probability(model: Sequence[float], x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(x @ np.array(model[:-1]) + model[-1])))


def _reasons(contributions: np.ndarray, named: list[str]) -> tuple[tuple[str, float], ...]:
    top = np.argsort(-np.abs(contributions), kind="stable")[:3]
    return tuple((named[i], float(contributions[i])) for i in top)


def auroc(score: np.ndarray, label: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties half; 0.5 if a class is absent (Mann-Whitney)."""
    positive, negative = score[label > 0.5], score[label < 0.5]
    if not len(positive) or not len(negative):
        return 0.5
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / 2 / len(positive) / len(negative))


TASK = Risk()
