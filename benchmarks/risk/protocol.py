"""Splits, inputs and measures of the public risk sets, as their READMEs state them: the one place that knows them.

Inputs are what the product would use: public bounds and cut points (round numbers, or quantiles of a public pool), no
age, sex, marriage or schooling. The test part scores and does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from engine.binary.models import LabelledRows
from engine.risk.task import TASK, auroc
from engine.table import Column, TableSchema

DRAWS, ALPHA, MARGIN = 2000, 0.01, 0.002  # a member is worse: one-sided 1 % over its test units, and above .002 Brier
_STATUS = ("PAY_0", *(f"PAY_{i}" for i in range(2, 7)))
_LATE_YEAR = 2006  # SBA out of time: tested on loans approved in this fiscal year or later


@dataclass(frozen=True, slots=True)
class Member:
    """One member's rows by part; `units` is the file's row number of each test row; `books` are the rows of train and
    validation as a member would bring them."""

    name: str
    train: LabelledRows
    validation: LabelledRows
    test: LabelledRows
    units: np.ndarray
    books: pl.DataFrame

    @property
    def learn(self) -> LabelledRows:
        """Train and validation together."""
        return join([self.train, self.validation])

    @property
    def size(self) -> int:
        """Rows of all parts."""
        return len(self.train.y) + len(self.validation.y) + len(self.test.y)


@dataclass(frozen=True, slots=True)
class Table:
    """A risk set under one split: schema, members by size, then name (the order of the terciles), and the rows of its
    public pool, if it has one."""

    schema: TableSchema
    members: list[Member]
    public: LabelledRows | None = None

    def thirds(self) -> np.ndarray:
        """0 small, 1 middle, 2 large, for each member."""
        return np.arange(len(self.members)) * 3 // len(self.members)


def join(parts: Sequence[LabelledRows]) -> LabelledRows:
    """Rows of one table put together."""
    columns, x, y = (np.concatenate([getattr(one, name) for one in parts]) for name in ("columns", "x", "y"))
    return LabelledRows(columns, x, y, tuple(unit for one in parts for unit in one.unit), parts[0].cuts)


def uci(data: Path, seed: int, *, personal: bool = False) -> Table:
    """Card holders of Taiwan, columns of the README without age, sex, marriage and schooling, unless `personal`."""
    frame = pl.read_parquet(data / "uci_credit_default" / "clients.parquet")
    paid, late = [f"PAY_AMT{i}" for i in range(1, 7)], [f"late_{name}" for name in _STATUS]
    used = [f"used_{i}" for i in range(1, 7)]
    frame = frame.with_columns(
        *((pl.col(name) > 0).cast(pl.Float64).alias(f"late_{name}") for name in _STATUS),
        *((pl.col(f"BILL_AMT{i}") / pl.col("LIMIT_BAL")).alias(f"used_{i}") for i in range(1, 7)),
    )
    numbers = [
        *_numbers(["LIMIT_BAL"], "signed_log", "10000", "1000000", (3e4, 5e4, 8e4, 1.2e5, 1.6e5, 2.1e5, 2.8e5, 3.6e5)),
        *_numbers(used, "linear", "0", "1", (0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)),
        *_numbers(paid, "signed_log", "0", "100000", (0, 500, 1e3, 1.5e3, 2e3, 3e3, 5e3, 1e4)),
        *_numbers(list(_STATUS), "linear", "-2", "4", (-1.5, -0.5, 0.5, 1.5, 2.5)),
        *_numbers(late, "linear", "0", "1", (0.5,)),
    ]
    if personal:
        flags = frame.select(pl.col("SEX", "EDUCATION", "MARRIAGE").cast(pl.String)).to_dummies()
        frame = pl.concat([frame, flags], how="horizontal")
        numbers += [
            *_numbers(["AGE"], "linear", "21", "79", (25, 30, 35, 40, 50, 60)),
            *_numbers(flags.columns, "linear", "0", "1", (0.5,)),
        ]
    return _table(frame, _schema(numbers, "default_next_month"), _shares(frame, "default_next_month", seed))


def polish(data: Path, seed: int) -> Table:
    """Statements of Polish firms: 64 ratios, bounds and cuts from the public pool."""
    frame = pl.read_parquet(data / "polish_bankruptcy" / "statements.parquet")
    pool, numbers = frame.filter(pl.col("member").is_null()), []
    for i in range(1, 65):
        held = pool[f"Attr{i}"].drop_nulls()
        low, *cuts, high = (float(held.quantile(q) or 0.0) for q in np.linspace(0.02, 0.98, 15))
        flag = "flag" if i in (37, 27, 21, 45, 60, 64, 28, 53, 54) else "refuse"
        numbers += _numbers([f"Attr{i}"], "signed_log", f"{low:.6f}", f"{high:.6f}", tuple(dict.fromkeys(cuts)), flag)
    numbers += _numbers(["horizon_years"], "linear", "1", "5", (3,))
    own = frame.filter(pl.col("member").is_not_null())
    return _table(own, _schema(numbers, "bankrupt"), _shares(own, "bankrupt", seed), pool)


def sba(data: Path, seed: int, *, drawn: tuple[int, ...] = (1,), out_of_time: bool = False) -> Table:
    """Loans of 20 lenders; industry and programme as 0/1 columns, amounts and jobs as numbers."""
    frame = pl.read_parquet(data / "sba_loans" / "loans.parquet").filter(pl.col("natural").is_in(drawn))
    frame = frame.with_columns(sba_share=pl.col("sba_appv") / pl.col("gr_appv"), is_new=pl.col("new_business") == 1)
    coded = frame.select("urban_rural", "revolving", "lowdoc", "naics2", "state").with_columns(pl.all().cast(pl.String))
    flags = coded.to_dummies()
    frame = pl.concat([frame.drop("urban_rural", "revolving", "lowdoc", "naics2", "state"), flags], how="horizontal")
    names = ["franchise", "lender_out_of_state", "is_new", *flags.columns]
    numbers = [
        *_numbers(["gr_appv"], "signed_log", "5000", "2000000", (1e4, 2e4, 3e4, 5e4, 8e4, 1.5e5, 3e5, 6e5)),
        *_numbers(["sba_share"], "linear", "0.4", "1", (0.5, 0.6, 0.75, 0.8, 0.85)),
        *_numbers(["no_emp", "create_job", "retained_job"], "signed_log", "0", "100", (0, 1, 2, 3, 5, 10, 20)),
        *_numbers(names, "linear", "0", "1", (0.5,)),
    ]
    frame = frame.with_columns(pl.col(names).cast(pl.Float64))
    own, pool = frame.filter(pl.col("member").is_not_null()), frame.filter(pl.col("member").is_null())
    share = _shares(own, "default", seed)
    if out_of_time:  # the seed moves only what is validation
        share = np.where(own["approval_fy"].to_numpy() >= _LATE_YEAR, 1.0, np.where(share < 0.8, 0.0, 0.7))
        pool = pool.filter(pl.col("approval_fy") < _LATE_YEAR)
    return _table(own, _schema(numbers, "default"), share, pool)


TABLES: dict[str, Callable[[Path, int], Table]] = {
    "UCI": uci,
    "Polish": polish,
    "SBA": sba,
    "SBA, 2006 on": partial(sba, out_of_time=True),
}


def _numbers(
    names: list[str], transform: Any, low: str, high: str, cuts: tuple[float, ...], missing: Any = "refuse"
) -> Iterator[Column]:
    for name in names:
        yield Column(
            name=name,
            kind="number",
            transform=transform,
            low=low,
            high=high,
            missing=missing,
            cuts=tuple(f"{cut:.6f}" for cut in cuts),
        )


def _schema(numbers: list[Column], label: str) -> TableSchema:
    return TableSchema(
        format="mengbang-table/1",
        task="risk",
        dataset="credit",
        file="receivables.csv",
        unit="row",
        purpose="early-risk-warning",
        row_meaning="a borrower",
        max_units=10_000,
        max_rows_per_unit=1,
        columns=(*numbers, Column(name=label, kind="label")),
    )


def _shares(frame: pl.DataFrame, label: str, seed: int) -> np.ndarray:
    """The READMEs' split: a number in [0, 1) a row, by member and label."""
    random, share = np.random.RandomState(1000 + seed), np.zeros(len(frame))
    members, labels = frame["member"].cast(pl.String).to_numpy(), frame[label].to_numpy()
    for member in sorted(set(members)):
        for value in (0, 1):
            rows = np.flatnonzero((members == member) & (labels == value))
            random.shuffle(rows)
            share[rows] = (np.arange(len(rows)) + random.rand()) / len(rows)
    return share


def _table(frame: pl.DataFrame, schema: TableSchema, share: np.ndarray, pool: pl.DataFrame | None = None) -> Table:
    """Train below .6, validation below .8, test from there."""
    names, made = frame["member"].cast(pl.String).to_numpy(), []
    every = TASK.prepare(frame, schema)
    for name in set(names):
        own = names == name
        cuts = (own & (share < 0.6), own & (share >= 0.6) & (share < 0.8), own & (share >= 0.8))
        train, validation, test = (np.flatnonzero(cut) for cut in cuts)
        books = frame.filter(pl.Series(own & (share < 0.8)))
        made.append(Member(name, every.take(train), every.take(validation), every.take(test), test, books))
    members = sorted(made, key=lambda member: (member.size, member.name))
    return Table(schema, members, None if pool is None else TASK.prepare(pool, schema))


@dataclass(frozen=True, slots=True)
class Score:
    """Measures of one method under one split. AUC, AP and Brier over the test rows of all members; `thirds` plain means
    of the members' Brier; `within` mean of the members' AUC weighted by rows (three of each class at least)."""

    auc: float
    ap: float
    brier: float
    within: float
    thirds: tuple[float, float, float]


Chances = list[np.ndarray]  # one (test rows,) a member, in the order of Table.members


def score(table: Table, chances: Chances) -> Score:
    """All measures of the READMEs."""
    p, y = np.concatenate(chances), np.concatenate([member.test.y for member in table.members])
    each = [float(np.mean((q - m.test.y) ** 2)) for q, m in zip(chances, table.members, strict=True)]
    judged = [
        (auroc(q, m.test.y), len(q))
        for q, m in zip(chances, table.members, strict=True)
        if min(m.test.y.sum(), len(q) - m.test.y.sum()) >= 3
    ]
    third = table.thirds()
    return Score(
        auc=auroc(p, y),
        ap=float(average_precision_score(y, p)),
        brier=float(np.mean((p - y) ** 2)),
        within=float(np.average([a for a, _ in judged], weights=[n for _, n in judged])),
        thirds=tuple(float(np.mean(np.array(each)[third == k])) for k in range(3)),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class Against:
    """A method beside another: members that gain, tie and lose, who loses most, and by how much the mean Brier of the
    small third differs, with its standard error."""

    gain: int
    tie: int
    lose: int
    worst: str
    small: float
    error: float


def against(tables: Sequence[Table], ours: Sequence[Chances], theirs: Sequence[Chances]) -> Against:
    """One `Chances` a seed on either side; a unit's loss is its mean over the seeds that tested it."""
    draw, counts = np.random.default_rng(0), {"gain": 0, "tie": 0, "lose": 0}
    rated, small = [], []
    for at, third in enumerate(tables[0].thirds()):
        more = _by_unit(tables, ours, theirs, at)
        means = more[draw.integers(0, len(more), (DRAWS, len(more)))].mean(1)
        mean = float(more.mean())
        lose = np.quantile(means, ALPHA) > 0 and mean > MARGIN
        gain = np.quantile(means, 1 - ALPHA) < 0 and mean < -MARGIN
        counts["lose" if lose else "gain" if gain else "tie"] += 1
        member = tables[0].members[at]
        rated.append((mean, f"{member.name} ({member.size} rows) {mean:+.4f}"))
        if third == 0:
            small.append((mean, float(means.std())))
    error = float(np.sqrt(sum(sd**2 for _, sd in small)) / len(small))
    return Against(**counts, worst=max(rated)[1], small=float(np.mean([m for m, _ in small])), error=error)


def _by_unit(tables: Sequence[Table], ours: Sequence[Chances], theirs: Sequence[Chances], at: int) -> np.ndarray:
    """`(units,)` Brier of ours above theirs for one member."""
    units, more = [], []
    for table, one, other in zip(tables, ours, theirs, strict=True):
        member = table.members[at]
        units.append(member.units)
        more.append((one[at] - member.test.y) ** 2 - (other[at] - member.test.y) ** 2)
    _, place = np.unique(np.concatenate(units), return_inverse=True)
    found: np.ndarray = np.bincount(place, np.concatenate(more)) / np.bincount(place)
    return found
