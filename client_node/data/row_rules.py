"""Rules between rows and between tables. A row that breaks one is left out and named; what becomes of a unit's rows
depends on that unit's rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from client_node.data.source_rows import NEXT
from client_node.data.validation import Checked, Checker, period
from engine.table import TableSchema


def linked(checker: Checker, checked: Checked, fields: Mapping[str, str], earlier: Mapping[str, Checked]) -> Checked:
    """Of a source: no line stands twice, and no document of one customer; it is due after it was issued, and exists when
    referred to."""
    document = next((name for name, kind in fields.items() if kind == "document"), None)
    checked = checker.mark(checked, _again(checked.frame, fields), document or next(iter(fields)), "repeated")
    if document:
        whose = [name for name, kind in fields.items() if kind == "id"]
        checked = checker.mark(checked, ~pl.struct(document, *whose).is_first_distinct(), document, "conflicting")
    if {"issued", "due"} <= set(fields):
        checked = checker.mark(checked, pl.col("due") < pl.col("issued"), "due", "due-before-issued")
    if {"begins", "ends"} <= set(fields):
        checked = checker.mark(checked, pl.col("ends") < pl.col("begins"), "ends", "ends-before-it-begins")
    for name, kind in fields.items():
        named = next((t for t in earlier.values() if name in t.frame.columns), None) if kind == "reference" else None
        if named:
            known = pl.concat([named.frame[name], pl.Series(name, named.left_out, dtype=pl.String)])
            checked = checker.mark(checked, ~pl.col(name).is_in(known.implode()), name, "unknown-document")
    return checked


def _again(frame: pl.DataFrame, fields: Mapping[str, str]) -> pl.Expr:
    """Rows that say the same as an earlier one; where rows name documents, as one of an earlier table: an invoice may be paid
    in equal parts on one day. Compared in full only where hashes agree: whole rows of a long export, side by side, would
    take more memory than all else."""
    whole, table = pl.struct(list(fields)), pl.col("row") // NEXT
    again = ~whole.is_first_distinct()
    if "reference" in fields.values():
        again = table > table.min().over(list(fields))
    alike = frame.filter(whole.hash().is_duplicated())
    return pl.col("row").is_in(alike.filter(again)["row"].implode())


def not_foreseen(checker: Checker, checked: Checked, schema: TableSchema, closed_on: date) -> Checked:
    """Results of a period to come are a slip of the pen, and would have forecasts begin after it."""
    results = [c.name for c in schema.of_kind("number") if c.name in checked.frame.columns]
    for column in schema.of_kind("period"):
        known = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_not_null() for name in results))
        late = (period(pl.col(column.name)) > closed_on) & known
        checked = checker.mark(checked, late, column.name, "period-out-of-range")
    return checked


def one_each(checker: Checker, checked: Checked, schema: TableSchema, fields: Mapping[str, str]) -> Checked:
    """One row an id and period; where one id may have several rows, only whole repeats are faults, and where each row is a
    unit of its own, nothing is: what becomes of a row may not depend on others."""
    keys = [c.name for c in schema.columns if c.kind in ("id", "period")]
    if not keys or schema.unit == "row":
        return checked
    several = schema.max_rows_per_unit > 1 and not schema.of_kind("period")
    same = pl.struct(list(fields) if several else keys)
    return checker.mark(checked, ~same.is_first_distinct(), keys[0], "repeated")
