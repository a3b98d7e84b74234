"""Risk: will this counterparty default within the horizon? Boosted trees, a logistic, or least squares."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Mapping
from datetime import date
from typing import Literal

import numpy as np
import polars as pl
import torch

from contracts.envelope import digest
from contracts.errors import Malformed
from contracts.statements.statements import GateDecision
from contracts.wording import N_
from engine.binary.models import BinaryModel, LabelledRows, cross_entropy, logistic, name_of, probability
from engine.binary.own import OWN, fit_own, out_of_fold
from engine.binary.scorer import RowScorer, logit
from engine.binary.weights import PUBLIC, SHARED, Weights, choose, decide
from engine.ensemble import AtHome, Ensemble, EnsembleMember, EnsembleResult, Record, reliability
from engine.risk import public, receipts
from engine.risk.books import RULE, present, training
from engine.scaling import columns, cut_points, input_names, inputs
from engine.split import MEMBER, holdout
from engine.table import TableSchema, shipped
from engine.task import Design, Judged, Model, Received, Settled
from privacy.gradients import Clipped
from privacy.moments import moment_sums
from privacy.plan import Adam, Boost, Gradients, Moments, ReleasePlan, Ridge, Trees
from privacy.trees import leaf_sums
from privacy.units import blocks, row_names

_WHOSE: dict[str, Literal["public", "shared"]] = {PUBLIC: "public", SHARED: "shared"}
# what a seller lowers by collecting sooner, or by delivering less on credit
ACTIONABLE = ("owed", "overdue_share", "mean_delay_days", "delay_trend")
_UNITS, _POSITIVES = 20, 5  # held out, below which a comparison says nothing
_FOREST = (  # (least nano-rho of a run, (rounds, trees a round, depth)): with less noise, more and deeper trees
    (2_000_000_000, (40, 20, 4)),
    (0, (10, 20, 3)),
)


class Risk:
    """See engine.task.Task."""

    name = N_("risk")
    families = ("trees", "gradients", "moments")
    classes = 2
    untold: GateDecision = "release"  # nothing shared serves before the first one, and nodes compare at home

    def schema(self) -> TableSchema:
        """The receivables ledger."""
        return shipped("engine.risk")

    def design(self, schema: TableSchema, family: str, rho_nano: int) -> Design:
        """Trees by a public table of size by budget; a logistic by gradients; least squares from moments."""
        width = len(input_names(schema))
        if family == "gradients":
            return Design(Gradients("gradients", ((width, 1),), "3"), 25, lambda sigma, members: Adam("adam", "0.2", 8))
        if family == "moments":
            clip = str((width + 2) / 4)  # inputs lie in [-1, 1], and few rows have them all at an end
            return Design(Moments("moments", width, clip), 1, _moment_step(clip, width))
        releases, trees, depth = next(size for least, size in _FOREST if rho_nano >= least)
        return Design(Trees("trees", secrets.token_hex(16), trees, depth), releases, _boost_step)

    def start(self, schema: TableSchema, family: str) -> array[float]:
        """No opinion; gradients at a public base rate of five in a hundred (a Newton step
        from there would overshoot)."""
        base = float(np.log(0.05 / 0.95))
        width = len(input_names(schema))
        return array("d", {"trees": [0.0], "gradients": [0.0] * width + [base]}.get(family, [0.0] * (width + 1)))

    def derive(
        self, tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See engine.task.Task and engine.risk.books."""
        if schema.rule != RULE:
            raise Malformed(N_("risk does not know the rule {rule}"), rule=schema.rule)
        return training(tables, schema, closed_on), present(tables, schema, closed_on)

    def settle(
        self,
        tables: Mapping[str, pl.DataFrame],
        unsure: pl.DataFrame,
        closed_on: date,
        tolerance: float,
        unpaid: tuple[str, ...],
    ) -> Settled:
        """See engine.risk.receipts."""
        return receipts.settle(tables, unsure, closed_on, tolerance, unpaid)

    def received(self, tables: Mapping[str, pl.DataFrame], closed_on: date) -> Received:
        """See engine.risk.receipts."""
        return receipts.received(tables, closed_on)

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> LabelledRows:
        """Scaled columns and labels; without an id column each row is a unit, named by its content, or all are one."""
        scaled, ids = columns(frame, schema), schema.of_kind("id")
        label = frame[schema.one("label").name].to_numpy().astype(np.float64)
        alone = (MEMBER,) * len(frame) if schema.unit == "member" else row_names(scaled, label)
        unit = tuple(map(str, frame[ids[0].name].to_list())) if ids else alone
        return LabelledRows(scaled, inputs(scaled, schema), label, unit, cut_points(schema))

    def contribute(
        self, plan: ReleasePlan, model: array[float], rows: LabelledRows, *, round: int, key: bytes, scale: float = 1.0
    ) -> np.ndarray:
        """See engine.task.Task."""
        units = blocks(rows.unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units, scale=scale)
        match plan.shape:
            case Trees() as shape:
                values = np.array(model)
                return leaf_sums(
                    shape, values, rows.columns, rows.y, units, round=round, cuts=rows.cuts, grid_bits=plan.grid_bits
                )
            case Moments() as shape:
                return moment_sums(shape, rows.x, rows.y, units, grid_bits=plan.grid_bits)
            case Gradients() as shape:
                clipped = Clipped(logistic(model), shape, plan.grid_bits)
                return clipped.sum(cross_entropy, torch.from_numpy(rows.x), torch.from_numpy(rows.y), units)
        raise Malformed(N_("risk is not learned by {family}"), family=plan.shape.family)

    def split(self, rows: LabelledRows, key: bytes) -> tuple[LabelledRows, LabelledRows]:
        """By keyed hash of the unit, so that a unit never stands on both sides."""
        held = holdout(rows.unit, key)
        return rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))

    def fit_alone(self, rows: LabelledRows, schema: TableSchema) -> Model:
        """A logistic on the member's own rows; the base rate if there is only one class."""
        made = fit_own("logistic", rows) or fit_own("base rate", rows)
        assert isinstance(made, Model)
        return made

    def evaluate(self, model: Model, rows: LabelledRows, schema: TableSchema) -> dict[str, float]:
        """Brier score as loss, AUROC (0.5 where it does not exist), units and positives."""
        p = probability(model, rows)
        return {
            "loss": float(np.mean((p - rows.y) ** 2)) if len(p) else 0.0,
            "auroc": auroc(p, rows.y),
            "units": float(len(set(rows.unit))),
            "positives": float(rows.y.sum()),
        }

    def judge(self, model: Model, rows: LabelledRows) -> Judged:
        """Probability, Brier loss and outcome."""
        p = probability(model, rows)
        return Judged(p, (p - rows.y) ** 2, np.where((rows.y == 0) | (rows.y == 1), rows.y, -1))

    def fit_public(self, frame: pl.DataFrame, schema: TableSchema, source: str) -> bytes:
        """See engine.task.FromPublic."""
        return public.fit(self.prepare(frame, schema), schema, source)

    def check_public(self, data: bytes, schema: TableSchema) -> None:
        """See engine.task.FromPublic."""
        public.read(data, schema)

    def vote(self, shared: Model | None, frame: pl.DataFrame, schema: TableSchema, home: AtHome) -> EnsembleResult:
        """The best of the member's own models, the public one and the shared score, each recalibrated on units that it
        was not fitted on, averaged in log-odds."""
        rows = self.prepare(frame, schema)
        train, held = self.split(rows, home.key)
        fitted = {name: fit_own(name, train) for name in OWN}
        models: dict[str, BinaryModel] = {name: model for name, model in fitted.items() if model}
        models |= {PUBLIC: public.forest(public.read(home.public, schema), schema)} if home.public else {}
        models |= {SHARED: shared} if shared else {}
        apart = {name: logit(p) for name, p in out_of_fold(rows).items() if name in models}
        odds = {name: logit(probability(model, held)) for name, model in models.items()}
        ballot = decide(odds, held.y, choose(apart, rows.y))
        models[ballot.own] = fit_own(ballot.own, rows) or models[ballot.own]  # what serves learns from all rows
        panel = RowScorer({name: models[name] for name in ballot.weights}, ballot, schema, ACTIONABLE)
        return EnsembleResult(
            _vote_set(schema, ballot, models, held),
            panel.score(frame if home.present is None else home.present),
            panel=panel,
            reliability=reliability(ballot.chance, held.y) if _is_enough(held) else (),
        )


def _is_enough(held: LabelledRows) -> bool:
    """Are there enough held-out units and positives for a comparison to say something?"""
    return len(set(held.unit)) >= _UNITS and held.y.sum() >= _POSITIVES


def _vote_set(schema: TableSchema, ballot: Weights, models: dict[str, BinaryModel], held: LabelledRows) -> Ensemble:
    told = {name: float(each.mean()) for name, each in ballot.losses.items()} if _is_enough(held) else {}
    return Ensemble(
        format="mengbang-votes/1",
        task="risk",
        table=schema.digest(),
        rows=digest(held.columns.tobytes() + held.y.tobytes()),
        votes=tuple(
            EnsembleMember(
                name=name,
                whose=_WHOSE.get(name, "own"),
                model=name_of(model),
                weight=ballot.weights.get(name, 0.0),
                calibration=ballot.lines[name],
            )
            for name, model in models.items()
        ),
        record=Record(
            units=len(set(held.unit)),
            alone=told.get("alone"),
            shared=told.get("shared"),
            used=told.get("used"),
            excess=ballot.added,
            error=ballot.error,
        ),
    )


def _boost_step(sigma: float, members: int) -> Boost:
    """One unit of Hessian, and as many as the noise of all members together may feign."""
    return Boost("boost", "1.2", str(1 + round(sigma * members**0.5)))


def _moment_step(clip: str, width: int) -> Callable[[float, int], Ridge]:
    """Twice the square root of members and inputs times the noise of one: what noise alone adds to an eigenvalue."""
    return lambda sigma, members: Ridge("ridge", str(1 + round(2 * sigma * float(clip) * (members * width) ** 0.5)))


def auroc(score: np.ndarray, label: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties half; 0.5 if a class is absent (Mann-Whitney)."""
    positive, negative = score[label > 0.5], score[label < 0.5]
    if not len(positive) or not len(negative):
        return 0.5
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / 2 / len(positive) / len(negative))


TASK = Risk()
