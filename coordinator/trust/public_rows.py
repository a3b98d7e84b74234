"""A table of rows that belong to no member, from which the office makes a public model."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import TableSchema


def read_rows(path: Path, schema: TableSchema) -> pl.DataFrame:
    """The schema's columns of a CSV (UTF-8) or Parquet file, numbers as Float64 with null where missing; Malformed
    names the first column that is not there, holds words, or is a label other than 0 and 1."""
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise _malformed(path, N_("it cannot be read as a table"), "*") from error
    made = []
    for column in schema.columns:
        if column.name not in frame.columns:
            raise _malformed(path, N_("the column is missing"), column.name)
        given = frame[column.name]
        if column.kind in ("number", "label"):
            given = given.replace("", None) if given.dtype == pl.String else given
            values = given.cast(pl.Float64, strict=False)
            if values.null_count() > given.null_count():
                raise _malformed(path, N_("the column holds what is no number"), column.name)
            if column.kind == "label" and not values.is_in([0.0, 1.0]).fill_null(False).all():
                raise _malformed(path, N_("the label is not 0 or 1 in every row"), column.name)
            made.append(values.fill_nan(None))
        else:
            made.append(given.cast(pl.String))
    return pl.DataFrame(made)


def _malformed(path: Path, why: str, column: str) -> Malformed:
    return Malformed(
        N_("{file}, column {column}: not a table of public rows"),
        why=why,
        do=N_("give a CSV in UTF-8 or a Parquet file with the columns of the task's table"),
        file=path.name,
        column=column,
    )
