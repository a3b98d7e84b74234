"""What a task is: a folder with a `task.py`. Nothing else has to change to add one."""

from __future__ import annotations

import pkgutil
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import engine
from contracts.errors import Malformed
from contracts.statements.statements import GateDecision
from contracts.wording import N_
from engine.table import TableSchema, shipped
from privacy.plan import GRID_BITS, Adam, PlanError, ReleasePlan, Shape, Step, planned, sigma_for
from privacy.spend import Unit

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from engine.ensemble import AtHome, EnsembleResult


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is served: the shape that says what its numbers mean, and one flat float64 array."""

    shape: Shape
    values: array[float]


@dataclass(frozen=True, slots=True)
class Design:
    """Public constants of private training, chosen on public and synthetic data only. `step` may depend on sigma
    (in clip norms, of one member) and on how many members at least take part."""

    shape: Shape
    releases: int
    step: Callable[[float, int], Step]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of each row: `score` and `loss` `(rows,)` in [0, 1], and the row's own `label` (class)."""

    score: np.ndarray
    loss: np.ndarray
    label: np.ndarray


class Task(Protocol):
    """What nodes, coordinator and benchmarks need of a task. `Rows` is the task's own value for prepared rows."""

    name: str
    families: tuple[str, ...]  # the first is the default
    classes: int  # of the rows that a model is judged on
    untold: GateDecision  # what happens, unless an order says otherwise, to a model that members are too few to judge

    def schema(self) -> TableSchema:
        """The schema that ships with the task."""

    def design(self, schema: TableSchema, family: str, rho_nano: int) -> Design:
        """How a family is trained when a run may cost `rho_nano`."""

    def start(self, schema: TableSchema, family: str) -> array[float]:
        """The public start model of a family."""

    def derive(
        self, tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(rows that teach, rows of today) by the schema's rule; only called where the schema has `sources`."""

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> Any:
        """Rows ready for training; one row's values depend on its own unit and public constants only."""

    def contribute(
        self, plan: ReleasePlan, model: array[float], rows: Any, *, round: int, key: bytes, scale: float = 1.0
    ) -> np.ndarray:
        """The exact grid sum of one round over all units, flat int64 `(plan.length(),)`; total, whatever the rows.
        `scale` is what every unit counts (privacy.units.secret_scale)."""

    def split(self, rows: Any, key: bytes) -> tuple[Any, Any]:
        """(training, holdout): about a fifth of the units, by keyed hash, for comparison at home."""

    def judge(self, model: Model, rows: Any) -> Judged:
        """What a model says of each row of the holdout, for a histogram; see engine.evaluation."""

    def vote(self, shared: Model | None, frame: pl.DataFrame, schema: TableSchema, home: AtHome) -> EnsembleResult:
        """The member's own models and the shared one (None: nothing was released), calibrated and averaged."""


SEVERAL = "、"  # between the documents that one line names


@dataclass(frozen=True, slots=True)
class Settled:
    """Tables as a rule shall see them, and what stays doubtful in them: a row a document, `counterparty`, `invoice`,
    `row`, `rule`, and whether the `whole` counterparty is left out for it."""

    tables: Mapping[str, pl.DataFrame]
    doubts: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Received:
    """The share of what has been due for long that was received (None: nothing was due), and
    `months` with few receipts."""

    share: float | None
    months: tuple[str, ...]


@runtime_checkable
class Settling(Protocol):
    """A task whose rule takes silence for an answer, so that books have to be looked through before it."""

    def settle(
        self,
        tables: Mapping[str, pl.DataFrame],
        unsure: pl.DataFrame,
        closed_on: date,
        tolerance: float,
        unpaid: tuple[str, ...],
    ) -> Settled:
        """See engine.risk.receipts."""

    def received(self, tables: Mapping[str, pl.DataFrame], closed_on: date) -> Received:
        """What the books as a whole say of receipts."""


@runtime_checkable
class FromPublic(Protocol):
    """A task that can have a public model: of rows that belong to no member. Both raise Malformed."""

    def fit_public(self, frame: pl.DataFrame, schema: TableSchema, source: str) -> bytes:
        """The document of a model of these rows of the table; `source` says whose they are."""

    def check_public(self, data: bytes, schema: TableSchema) -> None:
        """Is this such a document, for this very table?"""


def plan_for(
    task: Task, schema: TableSchema, *, family: str, releases: int, rho_nano: int, delta: str, members: int
) -> ReleasePlan:
    """The plan of a run: the task's public design, and the noise with which all its releases cost `rho_nano`.

    `releases` 0 takes the design's own number; `members` is how many at least take part.
    """
    design = task.design(schema, family, rho_nano)
    releases = releases or design.releases
    sigma = sigma_for(rho_nano, releases=releases, shape=design.shape, grid_bits=GRID_BITS, max_units=schema.max_units)
    step = design.step(sigma / (1 << GRID_BITS), members)
    return planned(
        rho_nano,
        task=task.name,
        dataset=schema.dataset,
        unit=Unit(schema.unit),
        shape=design.shape,
        step=replace(step, tail=min(step.tail, releases)) if isinstance(step, Adam) else step,
        releases=releases,
        delta=delta,
        max_units=schema.max_units,
        max_rows_per_unit=schema.max_rows_per_unit,
    )


def check_fit(task: Task, schema: TableSchema, plan: ReleasePlan) -> None:
    """Raise PlanError unless this task's installed code can compute the plan's shape on this table, by its units."""
    if (plan.unit, plan.max_units, plan.max_rows_per_unit) != (schema.unit, schema.max_units, schema.max_rows_per_unit):
        raise PlanError("the units of the plan are not those of the table")
    if plan.shape.family not in (*task.families, "histogram"):
        raise PlanError(f"{task.name} is not learned by {plan.shape.family}")
    if plan.shape.family in ("gradients", "moments"):
        shape = task.design(schema, plan.shape.family, plan.rho_total_nano).shape
        if plan.length() != shape.length():
            raise PlanError(f"the plan releases {plan.length()} numbers, the model of this table has {shape.length()}")
        if plan.shape != shape:
            raise PlanError(f"the plan clips to {plan.shape.clip}, the task to {shape.clip}")


def names() -> list[str]:
    """Every installed task: folders of `engine` that hold a `task.py`."""
    return sorted(m.name for m in pkgutil.iter_modules(engine.__path__) if m.ispkg and _has_task(m.name))


def usual() -> list[str]:
    """Tasks that an agreement covers where none are named: not those whose unit is the whole member, since a run of
    those pays only among many members."""
    return [name for name in names() if shipped(f"engine.{name}").unit != "member"]


def _has_task(name: str) -> bool:
    return any(m.name == "task" for m in pkgutil.iter_modules(import_module(f"engine.{name}").__path__))


def load(name: str) -> Task:
    """The task of that name; Malformed if it is not installed."""
    if name not in names():
        raise Malformed(
            N_("there is no task {name} here"),
            why=N_("installed: {installed}"),
            do=N_("name one of these"),
            name=name,
            installed=", ".join(names()),
        )
    task: Task = import_module(f"engine.{name}.task").TASK
    return task
