"""Rows that are to be scored: of a file, or given by a program. They are checked like the
member's own; nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from client_node.data.columns import fit, own_columns
from client_node.data.source_rows import check_source, kind_of
from client_node.data.tables import check_length, tables_of
from client_node.data.validation import Checked, Checker, Columns, listed
from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import Column, TableSchema

MOST_SCORED = 1 << 20  # rows of one file: a full sheet


def read_rows(path: Path, schema: TableSchema) -> Checked:
    """Sound rows of a file: the schema's columns without the label, and `row`, the row of the file that each stands in.
    All faults are found at once. Malformed if the rows are more than MOST_SCORED."""
    if not (tables := tables_of(path)):
        raise Malformed(
            N_("{file} is of a kind that is not read"),
            do=N_("use CSV, XLSX, Parquet or SQLite"),
            file=path,
            code="KIND",
        )
    check_length(path, MOST_SCORED)
    found = own_columns(max(tables, key=lambda table: fit(table, _scored(schema))), schema, _scored(schema))
    origin = found.origins[schema.dataset]
    checked = check_source(origin, _kinds(schema), found.closed_on, lambda done, every: None)[1]
    check_length(path, MOST_SCORED, len(checked.frame))
    return checked


def frame_of(rows: Sequence[Mapping[str, object]], schema: TableSchema) -> pl.DataFrame:
    """Rows given as name -> value, checked like a file; Malformed names the first fault, never the value."""
    fields = _kinds(schema)
    texts = [[None if (cell := row.get(name)) is None else str(cell) for name in fields] for row in rows]
    frame = pl.DataFrame(texts, schema=dict.fromkeys(fields, pl.String), orient="row")
    checked = Checker(schema.dataset, 0, Columns(fields, {name: name for name in fields}), date.max).check(frame)
    unknown = sorted({name for row in rows for name in row} - {column.name for column in schema.columns})
    if checked.findings or unknown or len(checked.frame) < len(rows):  # results are told in the order of the rows
        why = N_("there is no such column: {unknown}") if unknown else N_("a row is empty")
        raise Malformed(
            N_("the rows cannot be scored"),
            why=N_("{faults}") if checked.findings else why,
            do=N_("columns of the table: {columns}"),
            faults=listed(checked.findings),
            unknown=", ".join(unknown[:5]),
            columns=", ".join(fields),
            code="ROW",
        )
    return checked.frame.drop("row")


def _scored(schema: TableSchema) -> list[Column]:
    return [column for column in schema.columns if column.kind in ("id", "number")]


def _kinds(schema: TableSchema) -> dict[str, str]:
    return {column.name: kind_of(column, schema) for column in _scored(schema)}
