"""The rows of one source, checked part by part: a long export is never in memory as text as a whole.

A source may be several tables (exports by year or month). Each further table's rows are numbered from NEXT on, so that
every row has a number of its own until `placed` says where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType

import polars as pl

from client_node.data.mapping import Origin
from client_node.data.reading import UNITS
from client_node.data.side_columns import is_side, row_rules
from client_node.data.tables import Table
from client_node.data.text import BEYOND, Tick
from client_node.data.validation import AMOUNTS, Checked, Checker, Columns, TableFault
from engine.table import Column, TableSchema

NEXT = 1 << 32
_ROWS = 1 << 17  # checked at once
_PERIODS = {12: "month", 52: "week"}  # by the season of a schema


def kind_of(column: Column, schema: TableSchema) -> str:
    """How a column of a task's own table is read."""
    if column.kind == "period":
        return _PERIODS.get(schema.options.get("season", 0), "period")
    return "optional" if column.kind == "number" and column.missing == "flag" else column.kind


def check_source(
    origin: Origin,
    fields: Mapping[str, str],
    closed_on: date,
    tick: Tick,
    beside: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[Checker, Checked]:
    """The sound rows of all tables of a source, amounts in yuan without tax, and the checker that marks more of them. A
    field of `beside` is read under the first of its headings that is there."""
    headings = {name: origin.fields[name].heading for name in fields}
    needed = [*headings.values(), *origin.only, *filter(None, [origin.currency])]
    perhaps = {heading for known in beside.values() for heading in known}
    parts = []

    def also(name: str) -> bool:
        return name in perhaps or is_side(name)

    for number, table in enumerate(origin.tables):
        texts = table.read(list(dict.fromkeys(needed)), origin.heading, tick, also)
        columns, texts = _columns(origin, fields, headings, beside, table, texts)
        for at in range(0, max(len(texts), 1), _ROWS):
            part = Checker(table.place, origin.heading + at + number * NEXT, columns, closed_on)
            parts.append(part.check(texts.slice(at, _ROWS)))
            tick(min(at + _ROWS, len(texts)), len(texts))
    checker = Checker(origin.tables[0].place, origin.heading, Columns(fields, headings), closed_on)
    return checker, _together(parts, origin, fields)


def _columns(
    origin: Origin,
    fields: Mapping[str, str],
    headings: Mapping[str, str],
    beside: Mapping[str, tuple[str, ...]],
    table: Table,
    texts: pl.DataFrame,
) -> tuple[Columns, pl.DataFrame]:
    """How the columns of a table are read, and its texts under the names of fields."""
    amounts = [name for name, kind in fields.items() if kind in AMOUNTS]
    rules = tuple(row_rules(origin.only, origin.currency, texts.columns, [headings[name] for name in amounts]))
    found = {name: next((one for one in known if one in texts.columns), "") for name, known in beside.items()}
    found = {name: heading for name, heading in found.items() if heading}
    kinds = {**fields, **dict.fromkeys(found, "beside")}
    under = {**headings, **found}
    chosen = under | {one.name: one.heading for one in rules}
    torn = [pl.col(BEYOND)] if BEYOND in texts.columns else []
    units = {name: float(UNITS[origin.fields[name].unit]) for name in amounts if name in origin.fields}
    return (
        Columns(kinds, under, units, table.first_day(), rules),
        texts.select(*(pl.col(heading).alias(name) for name, heading in chosen.items()), *torn),
    )


def _together(parts: list[Checked], origin: Origin, fields: Mapping[str, str]) -> Checked:
    yuan = [pl.col(name) * origin.fields[name].factor() for name, kind in fields.items() if kind in AMOUNTS[:2]]
    findings = [finding for part in parts for finding in part.findings]
    frame, left_out = (
        pl.concat(frames, how="diagonal").with_columns(yuan)
        for frames in ([part.frame for part in parts], [part.left_out for part in parts])
    )
    return Checked(frame, findings, left_out)


def placed(findings: list[TableFault], origin: Origin) -> list[TableFault]:
    """In the order of tables and rows, each with the table that it stands in and the row there."""
    inside = sorted(findings, key=lambda finding: finding.row)
    return [replace(f, place=origin.tables[f.row // NEXT].place, row=f.row % NEXT) for f in inside]
