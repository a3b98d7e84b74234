"""This member's rows and what a round computes from them: a sum over training units, or counts over the holdout."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from client_node.data.mapping import FILE
from client_node.data.member_table import read_table
from client_node.data.tables import stamps
from client_node.ledger.ledger import Budget
from client_node.link.mirror import Mirror, document
from client_node.link.uplink import Uplink
from client_node.settings import Settings
from contracts.errors import Malformed, Refused, TrustError, Unavailable
from contracts.fields import time_text
from contracts.rules.state import RunRecord
from contracts.statements.artefact import read_artefact
from contracts.statements.statements import Evaluates, RunOrder
from contracts.terms.agreement import Weighted
from contracts.wording import N_
from engine.evaluation import holdout_counts
from engine.table import TableSchema, read_schema
from engine.task import Model, Task, check_fit, load
from privacy.plan import PlanError
from privacy.units import secret_scale
from shell.log_lines import log_event

UNFORESEEN = (Exception, pl.exceptions.PanicException)  # a panic of a library written in Rust is no Exception


class OwnRows:
    """Rows of the ordered table, prepared and split by keyed hash of the unit; cached until a file of the data
    folder or data.toml changes."""

    def __init__(self, settings: Settings, uplink: Uplink, mirror: Mirror, budget: Budget):
        self._settings, self._uplink, self._mirror, self._budget = settings, uplink, mirror, budget
        self._cached: dict[tuple[str, str, object], tuple[Any, Any]] = {}
        self._schemas: dict[str, TableSchema] = {}
        self._compared: dict[Evaluates, list[Model]] = {}

    def ready(self, order: RunOrder) -> None:
        """Read all that the order needs, so that a missing model or a plan that the installed code cannot compute
        costs no budget. Faults in the data stop nothing: see `_prepared`."""
        try:
            check_fit(load(order.task), self._schema(order), order.plan)
            self._split(order)
        except (PlanError, Malformed) as error:
            raise Refused(
                N_("the plan of this run does not fit the table"), why=str(error), code="GUARD", reason="plan"
            ) from error
        if order.evaluates:
            self._others(order.evaluates)

    def sum(self, order: RunOrder, model: array[float], round: int) -> np.ndarray:
        """The exact grid sum of one round, flat int64; zeros if it cannot be formed, for whatever reason: the round is
        paid for, and what made the task fail may be a row."""
        try:
            return self._summed(order, model, round)
        except TrustError:
            raise
        except UNFORESEEN as failure:
            error = unforeseen(failure)
            log_event.error("this member's rows cannot be summed: only noise is sent", what=str(error))
            self._budget.note_refused(time_text(datetime.now(UTC)), error)
            return np.zeros(order.plan.length(), dtype=np.int64)

    def _summed(self, order: RunOrder, model: array[float], round: int) -> np.ndarray:
        train, held = self._split(order)
        task, key = load(order.task), self._budget.unit_key()
        weighted = isinstance(self._mirror.state.agreements[order.agreement].terms.totals, Weighted)
        scale = secret_scale(key) if weighted else 1.0
        if order.evaluates is None:
            return task.contribute(order.plan, model, train, round=round, key=key, scale=scale)
        candidate = Model(self._run(order.evaluates.run).order.plan.shape, model)
        judged = [task.judge(one, held) for one in (candidate, *self._others(order.evaluates))]
        return holdout_counts(order.plan, judged, held.unit, key, scale)

    def _others(self, judged: Evaluates) -> list[Model]:
        """Start of the judged run, and the model that serves; kept until another run is judged."""
        if judged not in self._compared:
            run = self._run(judged.run)
            others = [Model(run.order.plan.shape, self._values(run.order.model_start))]
            if judged.incumbent:
                incumbent = self._run(judged.incumbent)
                others.append(Model(incumbent.order.plan.shape, self._values(incumbent.model)))
            self._compared = {judged: others}
        return self._compared[judged]

    def _run(self, name: str) -> RunRecord:
        return self._mirror.state.runs[name]

    def _values(self, name: str) -> array[float]:
        return read_artefact(document(self._settings, self._uplink, name), "model", "d").values

    def _schema(self, order: RunOrder) -> TableSchema:
        if order.schema_digest not in self._schemas:
            self._schemas[order.schema_digest] = schema_of(self._settings, self._uplink, order.schema_digest)
        return self._schemas[order.schema_digest]

    def _split(self, order: RunOrder) -> tuple[Any, Any]:
        """(training, holdout). A table without ids has no stable units: one could stand on both sides over time."""
        schema = self._schema(order)
        if order.evaluates and not schema.of_kind("id"):
            raise Refused(
                N_("a table without ids has no holdout"),
                why=N_("a record could move between training and holdout when it changes"),
                do=N_("name an id column in the task's table"),
                code="GUARD",
                reason="plan",
            )
        place = order.task, order.schema_digest, stamps(self._settings.data, self._settings.home / FILE)
        if place not in self._cached:
            task, key = load(order.task), self._budget.unit_key()
            self._cached = {place: task.split(self._prepared(task, schema, key), key)}
        return self._cached[place]

    def _prepared(self, task: Task, schema: TableSchema, key: bytes) -> Any:
        """The member's training rows; none if its files cannot be used, for whatever reason. This member is
        in the round by then: to stay away because of what its files look like would tell something about
        them, so it sends noise alone."""
        try:
            return task.prepare(
                read_table(self._settings.data, schema, key=key, home=self._settings.home).training, schema
            )
        except UNFORESEEN as failure:
            error = failure if isinstance(failure, TrustError) else unforeseen(failure)
            log_event.error(
                "this member's data cannot be read: only noise is sent", what=str(error), do=error.lines()[2]
            )
            self._budget.note_refused(time_text(datetime.now(UTC)), error)
            numbers = {c.name: pl.Float64 if c.kind in ("number", "label") else pl.String for c in schema.columns}
            return task.prepare(pl.DataFrame(schema=numbers), schema)


def unforeseen(failure: BaseException) -> TrustError:
    """A failure of a library by its kind alone: what it says of a file may quote it."""
    return Unavailable(
        N_("the files cannot be read: {kind}"), do=N_("client-node data check"), kind=type(failure).__name__
    )


def schema_of(settings: Settings, uplink: Uplink | None, name: str) -> TableSchema:
    """A task's table schema by the digest that the agreement pins."""
    return read_schema(document(settings, uplink, name))
