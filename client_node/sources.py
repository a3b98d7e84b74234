"""From a member's file to a checked table: encoding, columns, types, ranges, duplicates; all faults at once.

Messages name file, row and column, never a value.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from engine.table import Column, TableSchema

_SHOWN = 5


def read_table(folder: Path, schema: TableSchema) -> pl.DataFrame:
    """The schema's columns under their own names; Malformed lists the first faults with file, row and column."""
    path = folder / schema.file
    frame = _renamed(_read_csv(path), schema, path)
    if frame.is_empty():
        raise Malformed(N_("{file} has no rows"), do=N_("export the table again"), file=path)
    faults: list[str] = []
    columns = [_converted(frame[column.name], column, faults) for column in schema.columns]
    checked = pl.DataFrame(columns)
    _duplicates(checked, schema, faults)
    if faults:
        raise Malformed(
            N_("{file} has {n} faults"),
            why="{faults}",
            do=N_("mend these rows or leave them out, then: client-node check"),
            file=path,
            n=len(faults),
            faults="; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else ""),
        )
    return checked


def _read_csv(path: Path) -> pl.DataFrame:
    """All columns as text. UTF-8 (with or without BOM) first, then GB18030; anything else is refused."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise Unavailable(
            N_("there is no file {file}"),
            do=N_("put the export there, or name another folder in config.toml"),
            file=path,
        ) from error
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text or "\ufffd" in text:
            continue
        return _parsed(text, path)
    raise Malformed(
        N_("{file} is neither UTF-8 nor GB18030 text"),
        do=N_("save it as CSV (UTF-8) and try again"),
        file=path,
        code="ENCODING",
    )


def _parsed(text: str, path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(text.encode(), infer_schema=False, truncate_ragged_lines=False)
    except (pl.exceptions.ComputeError, pl.exceptions.NoDataError) as error:
        raise Malformed(
            N_("{file} is not a table: {error}"),
            do=N_("export the table again"),
            file=path,
            error=str(error).partition("\n")[0][:120],
        ) from error


def _renamed(frame: pl.DataFrame, schema: TableSchema, path: Path) -> pl.DataFrame:
    """Columns found by name or alias; Malformed names every missing one."""
    found, missing = {}, []
    for column in schema.columns:
        name = next((n for n in (column.name, *column.aliases) if n in frame.columns), None)
        if name is None:
            missing.append(" / ".join((column.name, *column.aliases)))
        else:
            found[name] = column.name
    if missing:
        raise Malformed(
            N_("{file} lacks the column {columns}"),
            why=N_("the task needs it; found: {found}"),
            do=N_("export it too, under one of these names"),
            file=path,
            columns=", ".join(missing),
            found=", ".join(frame.columns),
            code="COLUMN",
        )
    return frame.select(list(found)).rename(found)


def _converted(texts: pl.Series, column: Column, faults: list[str]) -> pl.Series:
    stripped = texts.str.strip_chars()
    empty = stripped.is_null() | (stripped == "")
    if column.kind in ("id", "period"):
        _note(empty, column, "empty", faults)
        if column.kind == "period":
            _note(
                ~empty & ~stripped.str.contains(r"^\d{4}-\d{2}(-\d{2})?$").fill_null(False),
                column,
                "not a date YYYY-MM or YYYY-MM-DD",
                faults,
            )
        return stripped.alias(column.name)
    numbers = stripped.cast(pl.Float64, strict=False)
    bad = ~empty & (numbers.is_null() | ~numbers.is_finite().fill_null(False))
    _note(bad, column, "not a number", faults)
    if column.missing == "refuse" or column.kind == "label":
        _note(empty, column, "empty", faults)
    if column.kind == "label":
        _note(~empty & ~bad & ~numbers.is_in([0.0, 1.0]).fill_null(False), column, "neither 0 nor 1", faults)
    return numbers.alias(column.name)


def _note(wrong: pl.Series, column: Column, what: str, faults: list[str]) -> None:
    # row numbers as a spreadsheet shows them: the header is row 1
    faults += [f"row {row + 2}, column {column.name}: {what}" for row in wrong.fill_null(False).arg_true().to_list()]


def _duplicates(frame: pl.DataFrame, schema: TableSchema, faults: list[str]) -> None:
    """One row an id and period; where rows of one id are allowed (max_rows_per_unit > 1), only identical rows are faults."""
    keys = [c.name for c in schema.columns if c.kind in ("id", "period")]
    if not keys:
        return
    whole = schema.max_rows_per_unit > 1 and not schema.of_kind("period")
    twice = _later_copies(frame if whole else frame.select(keys))
    faults += [f"row {row + 2}, column {keys[0]}: same as an earlier row" for row in twice.arg_true().to_list()]


def _later_copies(frame: pl.DataFrame) -> pl.Series:
    return ~frame.select(pl.struct(pl.all()).is_first_distinct()).to_series()
