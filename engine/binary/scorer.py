"""A member's votes as they stand: score rows at once, with reasons, and say what would change a score."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from engine.binary.models import BinaryModel, LabelledRows, by_column, probability
from engine.binary.weights import Weights
from engine.ensemble import Change, ResultLine
from engine.scaling import columns, cut_points, inputs, way_down
from engine.table import Column, TableSchema

_TOLD = 3
_STEPS, _PAIR_STEPS = 129, 17


@dataclass(frozen=True, slots=True)
class RowScorer:
    """See engine.ensemble.Scorer. `models` are those that `ballot` gives weight; `actionable` the
    inputs that can be lowered."""

    models: dict[str, BinaryModel]
    ballot: Weights
    schema: TableSchema
    actionable: tuple[str, ...]

    def chance(self, frame: pl.DataFrame) -> np.ndarray:
        """`(rows,)` probability of the outcome."""
        return self._chance(_unlabelled(frame, self.schema))

    def _chance(self, rows: LabelledRows) -> np.ndarray:
        return self.ballot.combine({name: logit(probability(model, rows)) for name, model in self.models.items()})

    def score(self, frame: pl.DataFrame) -> list[ResultLine]:
        """See engine.ensemble.Scorer. What weighs most are shares of the average's log-odds."""
        rows, ids = _unlabelled(frame, self.schema), self.schema.of_kind("id") or self.schema.of_kind("period")
        named = [c.name for c in self.schema.of_kind("number")]
        who = frame[ids[0].name].to_list() if ids and ids[0].name in frame else list(range(len(frame)))
        moved = sum(self.ballot.share(name) * by_column(one, rows, self.schema) for name, one in self.models.items())
        moved = np.asarray(moved)
        top = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :_TOLD]
        weights = np.take_along_axis(moved, top, 1).tolist()
        return [
            ResultLine(str(name), {"probability": p}, tuple((named[i], w) for i, w in zip(at, weight, strict=True)))
            for name, p, at, weight in zip(who, self._chance(rows).tolist(), top.tolist(), weights, strict=True)
        ]

    def change(self, row: pl.DataFrame, line: float) -> Change | None:
        """See engine.ensemble.Scorer. One input alone if that is enough, else two together; least in shares of the
        public ranges."""
        movable = [
            column
            for column in self.schema.of_kind("number")
            if column.name in self.actionable and row[column.name][0] is not None
        ]
        single = [found for column in movable if (found := self._least(row, line, (column,), _STEPS))]
        if not single:
            pairs = combinations(movable, 2)
            single = [found for pair in pairs if (found := self._least(row, line, pair, _PAIR_STEPS))]
        return min(single, key=lambda found: found[0])[1] if single else None

    def _least(
        self, row: pl.DataFrame, line: float, moved: tuple[Column, ...], steps: int
    ) -> tuple[float, Change] | None:
        """(share of the ranges, change) of the smallest move of these inputs that falls below the line."""
        ways = [way_down(float(row[column.name][0]), column, steps) for column in moved]
        mesh = np.meshgrid(*(np.arange(len(values)) for values, _shares in ways), indexing="ij")
        places = np.stack([axis.ravel() for axis in mesh], 1)
        cost = sum(shares[places[:, i]] for i, (_values, shares) in enumerate(ways))
        order = np.argsort(cost, kind="stable")
        tried = {column.name: ways[i][0][places[order, i]] for i, column in enumerate(moved)}
        frame = row.select(pl.exclude(*tried)).join(pl.DataFrame(tried), how="cross")
        chance = self.chance(frame)
        below = np.flatnonzero(chance < line)
        if not len(below):
            return None
        at = int(below[0])
        moves = tuple((name, float(row[name][0]), float(values[at])) for name, values in tried.items())
        return float(np.asarray(cost)[order[at]]), Change(moves, float(chance[at]))


def logit(chance: np.ndarray) -> np.ndarray:
    """Log-odds, held within reach."""
    held = np.clip(chance, 1e-6, 1 - 1e-6)
    odds: np.ndarray = np.log(held / (1 - held))
    return odds


def _unlabelled(frame: pl.DataFrame, schema: TableSchema) -> LabelledRows:
    scaled = columns(frame, schema)
    return LabelledRows(scaled, inputs(scaled, schema), np.zeros(len(frame)), ("",) * len(frame), cut_points(schema))
