"""Rules between rows and between tables. A row that breaks one is left out and named; what becomes of a unit's rows
depends on that unit's rows alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import partial

import polars as pl

from client_node.data.reading import identifiers
from client_node.data.source_rows import NEXT
from client_node.data.validation import Checked, Checker, period
from engine.table import TableSchema
from engine.task import SEVERAL

_BETWEEN = r"[、,，;；/|+&\s]+|和|及|与"  # between the documents that one line names


def linked(checker: Checker, checked: Checked, fields: Mapping[str, str], earlier: Mapping[str, Checked]) -> Checked:
    """Of a source: no line stands twice, and no document of one customer; it is due after it was issued,
    and exists when referred to."""
    document = next((name for name, kind in fields.items() if kind == "document"), None)
    checked = _with_references(checked, fields, earlier)
    checked = checker.mark(checked, _again(checked.frame, fields), document or next(iter(fields)), "repeated")
    if document:
        whose = [name for name, kind in fields.items() if kind == "id"]
        another = ~pl.struct(document, *whose).is_first_distinct() & pl.struct(_but_amounts(fields)).is_first_distinct()
        checked = checker.mark(checked, another, document, "conflicting")
    if {"issued", "due"} <= set(fields):
        checked = checker.mark(checked, pl.col("due") < pl.col("issued"), "due", "due-before-issued")
    if {"begins", "ends"} <= set(fields):
        checked = checker.mark(checked, pl.col("ends") < pl.col("begins"), "ends", "ends-before-it-begins")
    for name, known in _known(fields, earlier).items():
        unknown = pl.col(name).str.split(SEVERAL).list.set_difference(pl.lit(known.implode())).list.len() > 0
        checked = checker.mark(checked, unknown, name, "unknown-document")
    return checked


def _known(fields: Mapping[str, str], earlier: Mapping[str, Checked]) -> dict[str, pl.Series]:
    """For each field that names documents of an earlier table: those that are there, rows that
    were left out among them."""
    found = {}
    for name in (name for name, kind in fields.items() if kind == "reference"):
        for table in [t for t in earlier.values() if name in t.frame.columns][:1]:
            found[name] = pl.concat([table.frame[name], table.left_out[name]]).drop_nulls().unique()
    return found


def _with_references(checked: Checked, fields: Mapping[str, str], earlier: Mapping[str, Checked]) -> Checked:
    """What a line names, as documents are spelled: one, or several that are all known
    (FP1、FP2), told apart by SEVERAL."""
    frame, left_out = checked.frame, checked.left_out
    for name, known in _known(fields, earlier).items():
        there = set(known.to_list())
        frame, left_out = (
            rows.with_columns(pl.col(name).map_batches(partial(_spelled, there=there), return_dtype=pl.String))
            for rows in (frame, left_out)
        )
    return Checked(frame, checked.findings, left_out)


def _spelled(texts: pl.Series, there: set[str]) -> pl.Series:
    """Each text as a known document or several, if it is that; else as one identifier."""
    plain = identifiers(texts)
    others = texts.filter(~plain.is_in(list(there)) & texts.str.contains(_BETWEEN)).unique()
    split = [[part for part in identifiers(pl.Series(re.split(_BETWEEN, text))).to_list() if part] for text in others]
    several = {
        text: SEVERAL.join(dict.fromkeys(parts))
        for text, parts in zip(others, split, strict=True)
        if there.issuperset(parts)
    }
    return plain if not several else texts.replace_strict(several, default=plain, return_dtype=pl.String)


def lines_together(checker: Checker, checked: Checked, fields: Mapping[str, str], paid: pl.DataFrame) -> Checked:
    """Lines of one document that differ in their amount alone: an invoice of three products, or one that was exported
    again with another amount. `paid` `(document, got)` decides: where it fits one line and not the sum, the others are
    conflicting. All else is one row, the sum."""
    document = next((name for name, kind in fields.items() if kind == "document"), None)
    amounts, same = [name for name, kind in fields.items() if kind == "amount"], _but_amounts(fields)
    if not document or len(amounts) != 1 or not checked.frame.select(pl.struct(same).is_duplicated().any()).item():
        return checked
    amount = pl.col(amounts[0])
    rows = checked.frame.join(paid, on=document, how="left", maintain_order="left")
    rows = rows.with_columns(sum=amount.sum().over(same), fits=(amount - pl.col("got")).abs() < 0.005)
    rows = rows.with_columns(
        one=pl.col("fits").any().over(same).fill_null(False) & (pl.col("sum") - pl.col("got")).abs().ge(0.005)
    )
    first = pl.col("fits").cum_sum().over(same)
    others = rows.filter(pl.struct(same).is_duplicated() & pl.col("one") & ~(pl.col("fits") & (first == 1)))
    left = checker.mark(checked, pl.col("row").is_in(others["row"].implode()), document, "conflicting")
    summed = left.frame.group_by(same, maintain_order=True).agg(pl.col("row").first(), amount.sum())
    return Checked(summed.select(left.frame.columns), left.findings, left.left_out)


def _but_amounts(fields: Mapping[str, str]) -> list[str]:
    return [name for name, kind in fields.items() if kind != "amount"]


def _again(frame: pl.DataFrame, fields: Mapping[str, str]) -> pl.Expr:
    """Rows that say the same as an earlier one; where rows name documents, as one of an earlier table: an invoice may
    be paid in equal parts on one day. Compared in full only where hashes agree: whole rows of a long export, side by
    side, would take more memory than all else."""
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
    """One row an id and period; where one id may have several rows, only whole repeats are faults, and where each row
    is a unit of its own, nothing is: what becomes of a row may not depend on others."""
    keys = [c.name for c in schema.columns if c.kind in ("id", "period")]
    if not keys or schema.unit == "row":
        return checked
    several = schema.max_rows_per_unit > 1 and not schema.of_kind("period")
    same = pl.struct(list(fields) if several else keys)
    return checker.mark(checked, ~same.is_first_distinct(), keys[0], "repeated")
