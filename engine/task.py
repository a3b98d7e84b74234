"""What a task is: a folder with a `task.py`. Nothing else has to change to add one."""

from __future__ import annotations

import pkgutil
from array import array
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import engine
from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import TableSchema
from privacy.plan import Adam, ReleasePlan

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True, slots=True)
class Served:
    """One line of a result: whom it is about, the numbers, and what weighed most (column, log-odds or share)."""

    id: str
    outcome: dict[str, float]
    reasons: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Tuning:
    """Public constants of private training, chosen on public and synthetic data only."""

    clip: str
    step: Adam
    releases: int


class Task(Protocol):
    """What nodes, coordinator and benchmarks need of a task. `Rows` is the task's own value for prepared rows."""

    name: str
    tuning: Tuning

    def schema(self) -> TableSchema:
        """The schema that ships with the task."""

    def length(self, schema: TableSchema) -> int:
        """How many numbers a model has."""

    def start(self, schema: TableSchema) -> array[float]:
        """The public start model."""

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> Any:
        """Rows ready for training; one row's values depend on its own unit and public constants only."""

    def clipped_sum(self, model: array[float], rows: Any, plan: ReleasePlan, key: bytes) -> np.ndarray:
        """Sum of clipped per-unit gradients, flat float64."""

    def split(self, rows: Any, key: bytes) -> tuple[Any, Any]:
        """(training, holdout): about a fifth of the units, by keyed hash, for comparison at home."""

    def fit_alone(self, rows: Any, schema: TableSchema) -> Any:
        """The member's own model, which never leaves."""

    def evaluate(self, model: Any, rows: Any, schema: TableSchema) -> dict[str, float]:
        """Measures on held-out rows; keys `loss` (lower is better), `units` and the task's own."""

    def serve(self, model: array[float], frame: pl.DataFrame, schema: TableSchema) -> list[Served]:
        """Results for a member's rows."""


def names() -> list[str]:
    """Every installed task: folders of `engine` that hold a `task.py`."""
    return sorted(m.name for m in pkgutil.iter_modules(engine.__path__) if m.ispkg and _has_task(m.name))


def _has_task(name: str) -> bool:
    return any(m.name == "task" for m in pkgutil.iter_modules(import_module(f"engine.{name}").__path__))


def load(name: str) -> Task:
    """The task of that name; Malformed if it is not installed."""
    if name not in names():
        raise Malformed(
            N_("there is no task {name} here"),
            why=N_("installed: {installed}"),
            name=name,
            installed=", ".join(names()),
        )
    task: Task = import_module(f"engine.{name}.task").TASK
    return task
