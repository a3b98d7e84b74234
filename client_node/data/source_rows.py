"""The rows of one source, checked part by part: a long export is never in memory as text as a whole.

A source may be several tables (exports by year or month). Each further table's rows are numbered from NEXT on, so that
every row has a number of its own until `placed` says where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl

from client_node.data.mapping import Origin
from client_node.data.text import BEYOND, Tick
from client_node.data.validation import Checked, Checker, TableFault
from engine.table import Column, TableSchema

NEXT = 1 << 32
_ROWS = 1 << 17  # checked at once
_PERIODS = {12: "month", 52: "week"}  # by the season of a schema


def kind_of(column: Column, schema: TableSchema) -> str:
    """How a column of a task's own table is read."""
    if column.kind == "period":
        return _PERIODS.get(schema.options.get("season", 0), "period")
    return "optional" if column.kind == "number" and column.missing == "flag" else column.kind


def check_source(origin: Origin, fields: Mapping[str, str], closed_on: date, tick: Tick) -> tuple[Checker, Checked]:
    """The sound rows of all tables of a source, amounts in yuan without tax, and the checker that marks more of them."""
    headings = {name: origin.fields[name].heading for name in fields}
    parts = []
    for number, table in enumerate(origin.tables):
        texts = table.read(list(dict.fromkeys(headings.values())), origin.heading, tick)
        torn = [pl.col(BEYOND)] if BEYOND in texts.columns else []
        texts = texts.select(*(pl.col(heading).alias(name) for name, heading in headings.items()), *torn)
        for at in range(0, max(len(texts), 1), _ROWS):
            part = Checker(table.place, origin.heading + at + number * NEXT, fields, headings, closed_on)
            parts.append(part.check(texts.slice(at, _ROWS)))
            tick(min(at + _ROWS, len(texts)), len(texts))
    checker = Checker(origin.tables[0].place, origin.heading, fields, headings, closed_on)
    return checker, _together(parts, origin, fields)


def _together(parts: list[Checked], origin: Origin, fields: Mapping[str, str]) -> Checked:
    frame = pl.concat([part.frame for part in parts]).with_columns(
        pl.col(name) * origin.fields[name].factor() for name, kind in fields.items() if kind in ("amount", "net")
    )
    findings = [finding for part in parts for finding in part.findings]
    return Checked(frame, findings, tuple(name for part in parts for name in part.left_out))


def placed(findings: list[TableFault], origin: Origin) -> list[TableFault]:
    """In the order of tables and rows, each with the table that it stands in and the row there."""
    inside = sorted(findings, key=lambda finding: finding.row)
    return [replace(f, place=origin.tables[f.row // NEXT].place, row=f.row % NEXT) for f in inside]
