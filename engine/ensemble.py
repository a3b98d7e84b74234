"""What a node serves is an average of votes: the member's own models and the shared one, each calibrated at home.

An `Ensemble` is one value a task: which votes, what each weighs, by what it was calibrated, and what its validation
rows showed. The node replaces it as a whole, and the receipt of every served number names its digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import polars as pl

from contracts.envelope import canonical, digest
from contracts.fields import Digest, Name, Strict
from engine.drift import Drift
from engine.table import TableSchema

Level = Literal["row", "series", "family", "member"]


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of a result: whom it is about, the numbers, what weighed most (column, log-odds or share), and what kind
    of line it is: a series, a family of series or the whole member may have the same name."""

    id: str
    outcome: dict[str, float]
    reasons: tuple[tuple[str, float], ...] = ()
    level: Level = "row"


class EnsembleMember(Strict):
    """One vote: `model` names the bytes behind it (for a method that is fitted anew, its recipe); the vote counts
    with `weight`; `calibration` is what the task fitted on this member's validation rows."""

    name: Name
    whose: Literal["own", "public", "shared"]
    model: Digest
    weight: float
    calibration: tuple[float, ...]


class Record(Strict):
    """Loss on this member's validation rows: its own votes, the shared one, and what is used; `excess` of the average
    with the shared vote over the average without it, and its standard error. None: too little to tell."""

    units: int
    alone: float | None
    shared: float | None
    used: float | None
    excess: float
    error: float


class Ensemble(Strict):
    """The votes of one task; `rows` is the digest of the validation rows that decided."""

    format: Literal["mengbang-votes/1"]
    task: Name
    table: Digest
    rows: Digest
    votes: tuple[EnsembleMember, ...]
    correction: tuple[float, ...] = ()
    record: Record

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Name of these bytes."""
        return digest(self.to_bytes())

    def shares(self) -> list[tuple[str, float]]:
        """(name, part of the average) of each vote that has one."""
        whole = sum(vote.weight for vote in self.votes)
        return [(vote.name, vote.weight / whole) for vote in self.votes if vote.weight]


@dataclass(frozen=True, slots=True)
class AtHome:
    """What a node lends a task while it votes: the key that splits units, a folder for what is slow to fit,
    whom to tell how far it is (`progress(done, all)`), the rows to serve where they are not those that teach, and the
    public model that the agreement names."""

    key: bytes
    cache: Path
    progress: Callable[[int, int], None]
    present: pl.DataFrame | None = None
    public: bytes | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Inputs moved (name, from, to), and the probability that follows."""

    moves: tuple[tuple[str, float, float], ...]
    probability: float


class Scorer(Protocol):
    """The votes as they stand, ready for further rows: `(rows, columns)` of the task's table, label or not."""

    @property
    def schema(self) -> TableSchema:
        """The table's schema."""

    def score(self, frame: pl.DataFrame) -> list[ResultLine]:
        """One line a row, in order, with its reasons."""

    def change(self, row: pl.DataFrame, line: float) -> Change | None:
        """The smallest change of actionable inputs of one row that brings it below `line`; None if none does."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Held-out rows that were told about the same: the mean of what was told, the share that came, and the 95 %
    interval of that share (Wilson 1927)."""

    told: float
    came: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """The votes of a member and the results that they serve; `total` is the sum of all lines, where a task has one, and
    `families` are those of some of them; `panel` scores further rows, where a task scores rows; `reliability` is empty
    where there is too little to tell, and so is `drift`, how today's series differ from those that taught, where a task
    serves series; `ahead` are the periods to come that the numbers of a line end in 1, 2, ... for: YYYY-MM, or the
    Monday of a week; `note` is to be said wherever a line is shown; `offers` whether the promotions and prices that a
    member says beforehand are used, None where it says nothing of them."""

    votes: Ensemble
    lines: list[ResultLine]
    total: ResultLine | None = None
    panel: Scorer | None = None
    reliability: tuple[Bin, ...] = ()
    drift: tuple[Drift, ...] = ()
    ahead: tuple[str, ...] = ()
    families: tuple[ResultLine, ...] = ()
    note: str = ""
    offers: bool | None = None

    def all_lines(self) -> list[ResultLine]:
        """The lines, then the totals of families and of the member: what a receipt commits to and files hold."""
        return [*self.lines, *self.families, *([] if self.total is None else [self.total])]


def reliability(chance: np.ndarray, came: np.ndarray) -> tuple[Bin, ...]:
    """Bins of about equal size over held-out `chance` `(rows,)` and what `came` (0 or 1), ten at most."""
    order, made = np.argsort(chance, kind="stable"), []
    for part in np.array_split(order, max(1, min(10, len(order) // 10))):
        n, share, z = len(part), float(came[part].mean()), 1.96
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        made.append(Bin(float(chance[part].mean()), share, max(0.0, centre - half), min(1.0, centre + half), n))
    return tuple(made)


def excess(with_shared: Sequence[float], without: Sequence[float]) -> tuple[float, float]:
    """(mean, standard error) of the loss that the shared vote adds, over validation units."""
    added = np.asarray(with_shared) - np.asarray(without)
    if len(added) < 2:
        return 0.0, 0.0
    return float(added.mean()), float(added.std(ddof=1) / math.sqrt(len(added)))


def keeps_shared(added: float, error: float) -> bool:
    """A member drops the shared vote only if its own validation rows show it worse by one standard error."""
    return added <= error
