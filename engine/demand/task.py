"""Demand: quantile forecasts of many series. A network made from generated series is the public start; what members
may tune together is its head, and what a node serves is an average in which that network is one vote.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl
import torch

from contracts.envelope import canonical, digest
from contracts.errors import Malformed
from contracts.statements.statements import GateDecision
from contracts.wording import N_
from engine.demand import offers, start
from engine.demand.drift import drift
from engine.demand.home import moving_average, names, simple
from engine.demand.lines import RULE, by_period, with_offers
from engine.demand.network import WIDTH, Head, layer_loss, pinball
from engine.demand.totals import correlation, total
from engine.demand.weights import SHARED, SeriesWeights, decide
from engine.demand.windows import (
    Frequency,
    Series,
    Windows,
    families,
    frequency,
    period_text,
    training_origins,
    windows,
)
from engine.ensemble import AtHome, Ensemble, EnsembleMember, EnsembleResult, Level, Record, ResultLine
from engine.split import holdout
from engine.table import TableSchema, shipped
from engine.task import Design, Judged, Model
from privacy.gradients import Clipped, layers_of
from privacy.plan import Adam, Gradients, ReleasePlan
from privacy.units import blocks

_CLIP, _ROUNDS, _RATE, _TAIL = "0.05", 25, "0.0005", 8  # chosen on validation origins of public sets
_VALIDATION = 3  # newest origins that decide the votes
_ENOUGH = 20  # series with a validation value, below which a comparison says nothing


@dataclass(frozen=True, slots=True)
class WindowRows:
    """`read` `(windows, WIDTH + horizon)` what the head sees, `y` `(windows, horizon)` in units of each window's scale
    with NaN where not observed, and the series of each window."""

    kind: Frequency
    read: np.ndarray
    y: np.ndarray
    unit: tuple[str, ...]

    def take(self, chosen: np.ndarray) -> WindowRows:
        """The chosen windows."""
        return WindowRows(self.kind, self.read[chosen], self.y[chosen], tuple(self.unit[i] for i in chosen))


class Demand:
    """See engine.task.Task."""

    name = N_("demand")
    families = ("gradients",)
    classes = 1
    untold: GateDecision = "keep"  # the public start serves from the first day

    def schema(self) -> TableSchema:
        """Monthly sales of products."""
        return shipped("engine.demand")

    def design(self, schema: TableSchema, family: str, rho_nano: int) -> Design:
        """The head alone is tuned: a few thousand numbers, whatever the budget."""
        shape = Gradients("gradients", layers_of(Head(frequency(schema))), _CLIP)
        return Design(shape, _ROUNDS, lambda sigma, members: Adam("adam", _RATE, _TAIL))

    def start(self, schema: TableSchema, family: str) -> array[float]:
        """The head of the public start."""
        return start.head(frequency(schema))

    def derive(
        self, tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """See engine.task.Task and engine.demand.lines: what was sold teaches, and is what forecasts go on from."""
        if schema.rule != RULE:
            raise Malformed(N_("demand does not know the rule {rule}"), rule=schema.rule)
        made = with_offers(by_period(tables["sales"], schema, closed_on), tables, schema)
        return made, made

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> WindowRows:
        """All training windows, as the frozen body of the public start reads them."""
        kind, series = frequency(schema), offers.read(frame, schema)
        usual, _moved = offers.foreseen(series, series.values.shape[1], kind)
        return rows_of(kind, usual, windows(usual, training_origins(usual), kind))

    def contribute(
        self, plan: ReleasePlan, model: array[float], rows: WindowRows, *, round: int, key: bytes, scale: float = 1.0
    ) -> np.ndarray:
        """See engine.task.Task."""
        if not isinstance(plan.shape, Gradients):
            raise Malformed(N_("demand is not learned by {family}"), family=plan.shape.family)
        units = blocks(rows.unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units, scale=scale)
        clipped = Clipped(start.head_of(rows.kind, model).out, plan.shape, plan.grid_bits)
        read, y = torch.from_numpy(rows.read), torch.from_numpy(rows.y)
        return clipped.sum(layer_loss, read[:, :WIDTH], torch.cat([read[:, WIDTH:], y], 1), units)

    def split(self, rows: WindowRows, key: bytes) -> tuple[WindowRows, WindowRows]:
        """By keyed hash of the series."""
        held = holdout(rows.unit, key)
        return rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))

    def judge(self, model: Model, rows: WindowRows) -> Judged:
        """Mean pinball loss of each window in units of its scale, at most 1, as score and loss; there is one class."""
        if not len(rows.unit):
            return Judged(np.zeros(0), np.zeros(0), np.zeros(0))
        with torch.no_grad():
            forecast = start.head_of(rows.kind, model.values)(torch.from_numpy(rows.read))
        loss = np.clip(pinball(forecast, torch.from_numpy(rows.y)).numpy(), 0.0, 1.0)
        return Judged(loss, loss, np.zeros(len(loss)))

    def vote(self, shared: Model | None, frame: pl.DataFrame, schema: TableSchema, home: AtHome) -> EnsembleResult:
        """Three simple forecasts and the shared network (the public start before anything was released)."""
        kind, series = frequency(schema), offers.read(frame, schema)
        head = shared.values if shared else start.head(kind)
        uses, series = _tried(series, kind, head)
        origins = validation_origins(series, kind)
        known = [offers.foreseen(series, t, kind) for t in (*origins, series.values.shape[1])]
        pasts, moved = [past for past, _moved in known], np.stack([moved for _past, moved in known], 1)
        made = simple([past.values for past in pasts], kind, cache=home.cache, progress=home.progress)
        made[SHARED] = np.stack([zero_shot(past, past.values.shape[1], kind, head) for past in pasts], 1)
        made = {name: forecast * offers.factor(moved) for name, forecast in made.items()}
        y = np.stack([_later(series, t, kind) for t in origins], 1) if origins else _nothing(series, kind)
        ballot = decide({name: m[:, : len(origins)] for name, m in made.items()}, y)
        served = ballot.combine(made)
        now = offers.factor(moved[:, -1])
        final = with_launches(pasts[-1], kind, served[:, -1] / now) * now
        votes = _vote_set(kind, schema, ballot, made, y, model=digest(np.array(head).tobytes()), said=series.offers)
        lines = [
            _served(name, path, "series", offers.reasons(why))
            for name, path, why in zip(series.names, final, moved[:, -1], strict=True)
        ]
        *sums, whole = _totals(
            series, families(frame, schema), final, lambda rows: correlation(y[rows], served[rows, :-1])
        )
        ahead = tuple(period_text(series.first + series.values.shape[1] + step, kind) for step in range(kind.horizon))
        return EnsembleResult(
            votes, lines, whole, drift=drift(series, kind), ahead=ahead, families=tuple(sums), offers=uses
        )


def _tried(series: Series, kind: Frequency, head: array[float]) -> tuple[bool | None, Series]:
    """(are the offers used, None where there are none; the series, without them where they did not help)."""
    if series.offers is None:
        return None, series
    uses = offers.helps(series, kind, lambda past: zero_shot(past, past.values.shape[1], kind, head))
    return uses, series if uses else replace(series, offers=None)


def rows_of(kind: Frequency, series: Series, made: Windows) -> WindowRows:
    """Windows as the head sees them; those without a later value are left out."""
    used = np.isfinite(made.y).any(1)
    return WindowRows(
        kind, start.read(kind, made.x[used]), made.y[used], tuple(series.names[i] for i in made.row[used])
    )


def zero_shot(series: Series, origin: int, kind: Frequency, head: array[float]) -> np.ndarray:
    """`(series, horizon, 5)` from origin on; zero where a series has no past."""
    rows = windows(series, [origin], kind, at_least=1)
    made = np.zeros((len(series.values), kind.horizon, 5))
    if len(rows.row):
        made[rows.row] = start.forecast(kind, head, rows)
    return made


def validation_origins(series: Series, kind: Frequency) -> tuple[int, ...]:
    """The newest origins whose targets have all come, with at least one period before them."""
    last = series.values.shape[1] - kind.horizon
    return tuple(range(max(1, last - _VALIDATION + 1), last + 1))


def with_launches(series: Series, kind: Frequency, forecast: np.ndarray) -> np.ndarray:
    """A new product of a member that has older ones starts on the member's own moving average.

    A member of which everything is new is itself new: it stays on the votes.
    """
    fresh = series.observed() < kind.launch
    if fresh.all() or not fresh.any():
        return forecast
    made = forecast.copy()
    made[fresh] = moving_average(series.values, kind)[fresh]
    return made


def _later(series: Series, origin: int, kind: Frequency) -> np.ndarray:
    return series.values[:, origin : origin + kind.horizon]


def _nothing(series: Series, kind: Frequency) -> np.ndarray:
    return np.zeros((len(series.values), 0, kind.horizon))


def _totals(
    series: Series, family: Mapping[str, str], forecast: np.ndarray, common: Callable[[np.ndarray], float]
) -> list[ResultLine]:
    """Each family by name, then the member; `common(rows)` is how much these series err together."""
    of = np.array([family.get(name, "") for name in series.names])
    groups: list[tuple[str, Level, np.ndarray]]
    groups = [(name, "family", np.flatnonzero(of == name)) for name in sorted(set(family.values()))]
    groups.append(("total", "member", np.arange(len(of))))
    return [_served(name, total(forecast[rows], common(rows)), level) for name, level, rows in groups]


def _served(name: str, path: np.ndarray, level: Level, reasons: tuple[tuple[str, float], ...] = ()) -> ResultLine:
    return ResultLine(
        name,
        {
            f"{label}_{step + 1}": float(path[step, q])
            for step in range(len(path))
            for label, q in (("low", 0), ("median", 2), ("high", 4))
        },
        reasons,
        level,
    )


def _vote_set(
    kind: Frequency,
    schema: TableSchema,
    ballot: SeriesWeights,
    made: dict[str, np.ndarray],
    y: np.ndarray,
    *,
    model: str,
    said: np.ndarray | None,
) -> Ensemble:
    beside, how = (b"", []) if said is None else (said.tobytes(), ["offers"])
    rows = digest(canonical([list(y.shape)]) + y.tobytes() + beside)
    recipe = {name: digest(canonical([name, kind.season, kind.horizon, *how])) for name in names(kind)}
    return Ensemble(
        format="mengbang-votes/1",
        task="demand",
        table=schema.digest(),
        rows=rows,
        votes=tuple(
            EnsembleMember(
                name=name,
                whose="shared" if name == SHARED else "own",
                model=recipe.get(name, model),
                weight=ballot.weights.get(name, 0.0),
                calibration=(ballot.spreads[name],),
            )
            for name in made
        ),
        correction=(ballot.band,),
        record=_record(ballot, y),
    )


def _record(ballot: SeriesWeights, y: np.ndarray) -> Record:
    """Loss in shares of what was sold; None for members with too few series."""
    known, total = int(np.isfinite(y).any((1, 2)).sum()), float(np.abs(y[np.isfinite(y)]).sum())
    told = {name: float(each.sum() / total) for name, each in ballot.losses.items()} if total else {}
    enough = known >= _ENOUGH
    alone, shared, used = (told.get(name) if enough else None for name in ("alone", "shared", "used"))
    return Record(units=known, alone=alone, shared=shared, used=used, excess=ballot.added, error=ballot.error)


TASK = Demand()
