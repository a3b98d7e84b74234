"""A table's schema as data: what columns mean and the public bounds by which they are scaled.

The agreement pins the digest of these bytes. Everything that turns a row into model input comes from here
or from the row itself, never from other rows: a unit's inputs depend on that unit and public constants only.
"""

from __future__ import annotations

import json
from importlib.resources import files
from math import isfinite
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from contracts.envelope import canonical, digest
from contracts.errors import Malformed
from contracts.fields import Name, Strict
from contracts.wording import N_


class Column(Strict):
    """One column; `low`, `high` and `cuts` are decimal strings: what the model sees after `transform` is bounded by
    the first two, and trees ask about the cuts (evenly spaced if there are none). A table may do without a column whose
    `missing` is `absent`, and its cells may be empty."""

    name: Name
    aliases: tuple[Name, ...] = ()
    kind: Literal["id", "period", "number", "label", "group", "promotion", "price"]
    transform: Literal["none", "linear", "signed_log"] = "none"
    low: Name = "0"
    high: Name = "1"
    missing: Literal["refuse", "flag", "absent"] = "refuse"
    cuts: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _bounds_are_numbers(self) -> Column:
        """A table that no member can prepare is no table: a node would end at it."""
        low, high, *cuts = (float(text) for text in (self.low, self.high, *self.cuts))
        if not (low < high and all(map(isfinite, (low, high, *cuts)))):
            raise ValueError("bounds and cuts are finite numbers, the low bound below the high one")
        return self


class SourceColumn(Strict):
    """One column of a member's export. `document` names the row, once; `reference` names a document of another source;
    a `deadline` may lie after the day on which the books were closed; a `net` amount is without tax. What may be
    `absent` is left out where no heading fits."""

    name: Name
    aliases: tuple[Name, ...] = ()
    kind: Literal["document", "reference", "id", "date", "deadline", "amount", "net", "group", "price"]
    missing: Literal["refuse", "absent"] = Field(default="refuse", exclude_if=lambda said: said == "refuse")


class Source(Strict):
    """A table as bookkeeping programs export it, from which the task's named rule derives its rows. One that may be
    `absent` is left out where no table fits."""

    name: Name
    aliases: tuple[Name, ...] = ()
    columns: tuple[SourceColumn, ...]
    missing: Literal["refuse", "absent"] = Field(default="refuse", exclude_if=lambda said: said == "refuse")

    def needed(self) -> set[str]:
        """Names of the columns that no export may lack."""
        return {column.name for column in self.columns if column.missing == "refuse"}


class TableSchema(Strict):
    """A table of one task: which file, whose presence is hidden, and the columns in order.

    With `sources` there is no such file: `rule` derives the rows, label included, from what the member's books say.
    Columns called like one of `identifiers` are never read.
    """

    format: Literal["mengbang-table/1"]
    task: Name
    dataset: Name
    file: Name
    unit: Literal["row", "counterparty", "series", "member"]
    purpose: Literal["demand-forecast", "early-risk-warning", "research"]
    row_meaning: Name
    row_meaning_zh: Name | None = Field(default=None, exclude_if=lambda said: said is None)
    max_units: int
    max_rows_per_unit: int
    columns: tuple[Column, ...]
    options: dict[Name, int] = {}
    sources: tuple[Source, ...] = ()
    rule: Name | None = None
    identifiers: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _unit_is_as_coarse_as_the_table(self) -> TableSchema:
        """k rows of one customer are a group, which costs k^2 times as much: `row` is for tables without ids, and so is
        `member`, where all rows are one unit."""
        if (self.unit in ("row", "member")) == bool(self.of_kind("id")):
            raise ValueError("a table with an id column is protected by that id, one without by row or by member")
        if self.unit == "member" and self.max_units != 1:
            raise ValueError("a member is one unit")
        return self

    def to_bytes(self) -> bytes:
        """Canonical JSON: the document that the agreement names."""
        return canonical(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Name of these bytes."""
        return digest(self.to_bytes())

    def of_kind(self, kind: str) -> list[Column]:
        """Columns of one kind, in order."""
        return [column for column in self.columns if column.kind == kind]

    def one(self, kind: str) -> Column:
        """The one column of a kind that a task needs exactly once."""
        found = self.of_kind(kind)
        if len(found) != 1:
            raise Malformed(
                N_("the schema of {dataset} needs exactly one column of kind {kind}"), dataset=self.dataset, kind=kind
            )
        return found[0]


def read_schema(data: bytes) -> TableSchema:
    """A schema from JSON; Malformed names the first wrong field."""
    try:
        return TableSchema.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Malformed(
            N_("the table schema has a wrong field {place}: {problem}"), place=place, problem=first["msg"]
        ) from error


def shipped(package: str) -> TableSchema:
    """The schema that ships with a task."""
    text = files(package).joinpath("schema.json").read_bytes()
    return read_schema(json.dumps(json.loads(text), ensure_ascii=False).encode())
