"""Risk: will this counterparty default within the horizon? Boosted trees, a logistic, or least squares."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.envelope import digest
from contracts.errors import Malformed
from contracts.wording import N_
from engine.risk.ballot import Ballot, decide
from engine.risk.books import RULE, present, training
from engine.scaling import columns, cut_points, input_names, inputs
from engine.split import holdout
from engine.table import TableSchema, shipped
from engine.task import Design, Judged, Model, Served
from engine.training import fit
from engine.votes import AtHome, Record, Vote, Voted, VoteSet
from privacy.gradients import Clipped, TapLinear, load_flat
from privacy.moments import moment_sums
from privacy.plan import Adam, Boost, Gradients, Moments, ReleasePlan, Ridge, Trees
from privacy.trees import contributions, leaf_sums, score
from privacy.units import blocks, row_names

_TOLD = 3
_UNITS, _POSITIVES = 20, 5  # held out, below which a comparison says nothing
_FOREST = (  # (least nano-rho of a run, (rounds, trees a round, depth)): with less noise, more and deeper trees
    (2_000_000_000, (40, 20, 4)),
    (0, (10, 20, 3)),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """`columns` `(rows, columns)` with NaN where missing, `x` `(rows, inputs)` the same without NaN and with flags,
    `y` `(rows,)` 0/1, and the unit of each row."""

    columns: np.ndarray
    x: np.ndarray
    y: np.ndarray
    unit: tuple[str, ...]
    cuts: list[np.ndarray]

    def take(self, chosen: np.ndarray) -> Rows:
        """The chosen rows."""
        return Rows(
            self.columns[chosen], self.x[chosen], self.y[chosen], tuple(self.unit[i] for i in chosen), self.cuts
        )


class Risk:
    """See engine.task.Task."""

    name = "risk"
    families = ("trees", "gradients", "moments")
    classes = 2

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
        """No opinion; gradients at a public base rate of five in a hundred (a Newton step from there would overshoot)."""
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

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> Rows:
        """Scaled columns and labels; without an id column each row is a unit, named by its content."""
        scaled, ids = columns(frame, schema), schema.of_kind("id")
        label = frame[schema.one("label").name].to_numpy().astype(np.float64)
        unit = map(str, frame[ids[0].name].to_list()) if ids else row_names(scaled, label)
        return Rows(scaled, inputs(scaled, schema), label, tuple(unit), cut_points(schema))

    def contribute(self, plan: ReleasePlan, model: array[float], rows: Rows, *, round: int, key: bytes) -> np.ndarray:
        """See engine.task.Task."""
        units = blocks(rows.unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units)
        match plan.shape:
            case Trees() as shape:
                values = np.array(model)
                return leaf_sums(
                    shape, values, rows.columns, rows.y, units, round=round, cuts=rows.cuts, grid_bits=plan.grid_bits
                )
            case Moments() as shape:
                return moment_sums(shape, rows.x, rows.y, units, grid_bits=plan.grid_bits)
            case Gradients() as shape:
                clipped = Clipped(_network(model), shape, plan.grid_bits)
                return clipped.sum(_loss, torch.from_numpy(rows.x), torch.from_numpy(rows.y), units)
        raise Malformed(N_("risk is not learned by {family}"), family=plan.shape.family)

    def split(self, rows: Rows, key: bytes) -> tuple[Rows, Rows]:
        """By keyed hash of the unit, so that a unit never stands on both sides."""
        held = holdout(rows.unit, key)
        return rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))

    def fit_alone(self, rows: Rows, schema: TableSchema) -> Model:
        """A logistic on the member's own rows; the base rate if there is only one class."""
        base = float(np.clip((rows.y.sum() + 0.25) / (len(rows.y) + 5), 1e-4, 1 - 1e-4))
        net = _network(array("d", [0.0] * rows.x.shape[1] + [float(np.log(base / (1 - base)))]))
        if 0 < rows.y.sum() < len(rows.y):
            fit(net, _loss, torch.from_numpy(rows.x), torch.from_numpy(rows.y))
        shape = Gradients("gradients", ((rows.x.shape[1], 1),), "1")
        return Model(shape, array("d", torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist()))

    def evaluate(self, model: Model, rows: Rows, schema: TableSchema) -> dict[str, float]:
        """Brier score as loss, AUROC (0.5 where it does not exist), units and positives."""
        p = probability(model, rows)
        return {
            "loss": float(np.mean((p - rows.y) ** 2)) if len(p) else 0.0,
            "auroc": auroc(p, rows.y),
            "units": float(len(set(rows.unit))),
            "positives": float(rows.y.sum()),
        }

    def judge(self, model: Model, rows: Rows) -> Judged:
        """Probability, Brier loss and outcome."""
        p = probability(model, rows)
        return Judged(p, (p - rows.y) ** 2, np.where((rows.y == 0) | (rows.y == 1), rows.y, -1))

    def vote(self, shared: Model | None, frame: pl.DataFrame, schema: TableSchema, home: AtHome) -> Voted:
        """The member's own logistic and the shared score, each recalibrated on held-out units, averaged in log-odds."""
        train, held = self.split(self.prepare(frame, schema), home.key)
        models = {"own": self.fit_alone(train, schema)} | ({"shared": shared} if shared else {})
        ballot = decide({name: _logit(probability(model, held)) for name, model in models.items()}, held.y)
        return Voted(
            _vote_set(schema, ballot, models, held),
            self._voted(models, ballot, frame if home.present is None else home.present, schema),
        )

    def _voted(
        self, models: dict[str, Model], ballot: Ballot, frame: pl.DataFrame, schema: TableSchema
    ) -> list[Served]:
        rows, names = _to_score(frame, schema), [c.name for c in schema.of_kind("number")]
        ids = schema.of_kind("id")
        who = frame[ids[0].name].to_list() if ids else list(range(len(frame)))
        chance = ballot.combine({name: _logit(probability(model, rows)) for name, model in models.items()})
        moved = sum(ballot.share(name) * _by_column(model, rows, schema) for name, model in models.items())
        return [
            Served(str(name), {"probability": float(p)}, _reasons(row, names))
            for name, p, row in zip(who, chance, np.asarray(moved), strict=True)
        ]

    def serve(self, model: Model, frame: pl.DataFrame, schema: TableSchema) -> list[Served]:
        """Probability of default, with the three columns that move the log-odds most."""
        ids, named = schema.of_kind("id"), [c.name for c in schema.of_kind("number")]
        rows = _to_score(frame, schema)
        who = frame[ids[0].name].to_list() if ids else list(range(len(frame)))
        if isinstance(model.shape, Trees):
            moved = contributions(model.shape, np.array(model.values), rows.columns, rows.cuts)
        else:
            moved, named = rows.x * np.array(model.values[:-1]), input_names(schema)
        return [
            Served(str(name), {"probability": float(p)}, _reasons(row, named))
            for name, p, row in zip(who, probability(model, rows), moved, strict=True)
        ]


def _to_score(frame: pl.DataFrame, schema: TableSchema) -> Rows:
    """Rows without labels."""
    scaled = columns(frame, schema)
    return Rows(scaled, inputs(scaled, schema), np.zeros(len(frame)), ("",) * len(frame), cut_points(schema))


def _by_column(model: Model, rows: Rows, schema: TableSchema) -> np.ndarray:
    """`(rows, columns)` what each column adds to the log-odds; a flag counts for the column it stands for."""
    if isinstance(model.shape, Trees):
        return contributions(model.shape, np.array(model.values), rows.columns, rows.cuts)
    names = [c.name for c in schema.of_kind("number")]
    moved = np.zeros((len(rows.x), len(names)))
    for at, name in enumerate(input_names(schema)):
        moved[:, names.index(name.removesuffix("?"))] += rows.x[:, at] * model.values[at]
    return moved


def _logit(chance: np.ndarray) -> np.ndarray:
    held = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.log(held / (1 - held))


def _vote_set(schema: TableSchema, ballot: Ballot, models: dict[str, Model], held: Rows) -> VoteSet:
    units, enough = len(set(held.unit)), len(set(held.unit)) >= _UNITS and held.y.sum() >= _POSITIVES
    told = {name: float(each.mean()) for name, each in ballot.losses.items()} if enough else {}
    return VoteSet(
        format="mengbang-votes/1",
        task="risk",
        table=schema.digest(),
        rows=digest(held.columns.tobytes() + held.y.tobytes()),
        votes=tuple(
            Vote(
                name=name,
                whose="shared" if name == "shared" else "own",
                model=digest(model.values.tobytes()),
                weight=ballot.weights.get(name, 0.0),
                calibration=ballot.lines[name],
            )
            for name, model in models.items()
        ),
        record=Record(
            units=units,
            alone=told.get("own"),
            shared=told.get("shared"),
            used=told.get("used"),
            excess=ballot.added,
            error=ballot.error,
        ),
    )


def log_odds(model: Model, rows: Rows) -> np.ndarray:
    """`(rows,)` what the reasons of a score add up to: log-odds, or the probability itself from least squares."""
    values = np.array(model.values)
    if isinstance(model.shape, Trees):
        return score(model.shape, values, rows.columns, rows.cuts)
    linear: np.ndarray = rows.x @ values[:-1] + values[-1]
    return linear


def probability(model: Model, rows: Rows) -> np.ndarray:
    """`(rows,)` chance of default; least squares says it directly and is held within (0, 1)."""
    said = log_odds(model, rows)
    return np.clip(said, 0.001, 0.999) if isinstance(model.shape, Moments) else 1 / (1 + np.exp(-said))


def _boost_step(sigma: float, members: int) -> Boost:
    """One unit of Hessian, and as many as the noise of all members together may feign."""
    return Boost("boost", "1.2", str(1 + round(sigma * members**0.5)))


def _moment_step(clip: str, width: int) -> Callable[[float, int], Ridge]:
    """Twice the square root of members and inputs times the noise of one: what noise alone adds to an eigenvalue."""
    return lambda sigma, members: Ridge("ridge", str(1 + round(2 * sigma * float(clip) * (members * width) ** 0.5)))


def _network(model: Sequence[float]) -> nn.Module:
    net = TapLinear(len(model) - 1, 1)
    load_flat(net, model)
    return net


def _loss(logit: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logit[:, 0], y, reduction="none")


def _reasons(contributions: np.ndarray, named: list[str]) -> tuple[tuple[str, float], ...]:
    top = np.argsort(-np.abs(contributions), kind="stable")[:_TOLD]
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
