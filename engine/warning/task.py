"""Early warning: will the member itself be unable to pay within six months? A logistic that
begins from simulated firms."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from datetime import date
from typing import Literal

import numpy as np
import polars as pl
import torch

from contracts.envelope import digest
from contracts.errors import Malformed
from contracts.statements.statements import GateDecision
from contracts.wording import N_
from engine.binary.models import LabelledRows, cross_entropy, logistic, name_of, probability
from engine.binary.scorer import RowScorer
from engine.binary.weights import SHARED, unweighed
from engine.ensemble import AtHome, Ensemble, EnsembleMember, EnsembleResult, Record
from engine.scaling import columns, cut_points, input_names, inputs
from engine.split import MEMBER
from engine.table import TableSchema, shipped
from engine.task import Design, Judged, Model
from engine.warning.months import present, ratios, teaching
from engine.warning.start import prior
from privacy.gradients import Clipped
from privacy.plan import Adam, Gradients, ReleasePlan
from privacy.units import blocks

START = N_("prior made from simulated firms, not checked on real ones")
NOTE = N_("this score comes from a prior made from simulated firms, not checked on real ones")
ACTIONABLE = ("receivable_days", "overdue_share", "debt_months")  # what a firm lowers by collecting sooner or repaying
_CLIP, _ROUNDS, _RATE = "0.1", 10, "0.05"  # chosen on simulated firms of seeds that no benchmark uses


class EarlyWarning:
    """See engine.task.Task. The whole member is one unit: all its months together move a sum by one clip norm."""

    name = N_("warning")
    families = ("gradients",)
    classes = 2
    untold: GateDecision = "release"  # a single unit has no holdout, and so no order has a gate

    def schema(self) -> TableSchema:
        """The member's own months."""
        return shipped("engine.warning")

    def design(self, schema: TableSchema, family: str, rho_nano: int) -> Design:
        """Few rounds, begun from the prior."""
        shape = Gradients("gradients", ((len(input_names(ratios(schema))), 1),), _CLIP)
        return Design(shape, _ROUNDS, lambda sigma, members: Adam("adam", _RATE, _ROUNDS // 2))

    def start(self, schema: TableSchema, family: str) -> array[float]:
        """The prior that ships with the product."""
        return prior()

    def derive(
        self, tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The table is one file."""
        raise Malformed(N_("warning learns from one file and has no sources"))

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> LabelledRows:
        """The months that teach, with what came; see engine.warning.months."""
        seen, taught = ratios(schema), teaching(frame, schema)
        scaled, label = columns(taught, seen), taught["distressed"].to_numpy(writable=True)
        return LabelledRows(scaled, inputs(scaled, seen), label, (MEMBER,) * len(taught), cut_points(seen))

    def contribute(
        self, plan: ReleasePlan, model: array[float], rows: LabelledRows, *, round: int, key: bytes, scale: float = 1.0
    ) -> np.ndarray:
        """See engine.task.Task: one gradient, that of the mean loss over the member's months, clipped."""
        units = blocks(rows.unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units, scale=scale)
        assert isinstance(plan.shape, Gradients)
        clipped = Clipped(logistic(model), plan.shape, plan.grid_bits)
        return clipped.sum(cross_entropy, torch.from_numpy(rows.x), torch.from_numpy(rows.y), units)

    def split(self, rows: LabelledRows, key: bytes) -> tuple[LabelledRows, LabelledRows]:
        """All of it teaches: a single unit stands on one side."""
        return rows, rows.take(np.arange(0))

    def judge(self, model: Model, rows: LabelledRows) -> Judged:
        """Probability, Brier loss and outcome."""
        p = probability(model, rows)
        return Judged(p, (p - rows.y) ** 2, rows.y)

    def vote(self, shared: Model | None, frame: pl.DataFrame, schema: TableSchema, home: AtHome) -> EnsembleResult:
        """The prior, or what a run made of it: one member's months, most without any distress, can neither fit a model
        nor judge one. Every month in which its bills were paid has a line, the newest first."""
        seen, whose = ratios(schema), SHARED if shared else START
        model = shared or Model(self.design(schema, "gradients", 1).shape, self.start(schema, "gradients"))
        panel = RowScorer({whose: model}, unweighed(whose), seen, ACTIONABLE)
        return EnsembleResult(
            _vote_set(schema, whose, model, self.prepare(frame, schema)),
            panel.score(present(frame, schema)),
            panel=panel,
            note=NOTE,
        )


def _vote_set(schema: TableSchema, name: str, model: Model, rows: LabelledRows) -> Ensemble:
    whose: Literal["public", "shared"] = "shared" if name == SHARED else "public"
    return Ensemble(
        format="mengbang-votes/1",
        task="warning",
        table=schema.digest(),
        rows=digest(rows.columns.tobytes() + rows.y.tobytes()),
        votes=(EnsembleMember(name=name, whose=whose, model=name_of(model), weight=1.0, calibration=(1.0, 0.0)),),
        record=Record(units=0, alone=None, shared=None, used=None, excess=0.0, error=0.0),
    )


TASK = EarlyWarning()
