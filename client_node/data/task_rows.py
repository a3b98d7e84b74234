"""The rows of a task: as they stand in a table of its own, or as its rule derives them from what bookkeeping exports."""

from __future__ import annotations

import polars as pl

from client_node.data.mapping import DataMap
from client_node.data.row_rules import linked, not_foreseen, one_each
from client_node.data.source_rows import check_source, kind_of, placed
from client_node.data.text import Tick
from client_node.data.validation import Checked, TableFault
from engine.table import TableSchema
from engine.task import load

TaskRows = tuple[pl.DataFrame, pl.DataFrame, list[TableFault]]  # rows that teach, rows to be served, what was left out


def given(found: DataMap, schema: TableSchema, tick: Tick) -> TaskRows:
    """Rows of a table that is the task's own."""
    origin = found.origins[schema.dataset]
    fields = {column.name: kind_of(column, schema) for column in schema.columns if column.name in origin.fields}
    checker, checked = check_source(origin, fields, found.closed_on, tick)
    checked = not_foreseen(checker, checked, schema, found.closed_on)
    checked = one_each(checker, checked, schema, fields)
    frame = checked.frame.drop("row")
    return frame, frame, checked.findings


def derived(found: DataMap, schema: TableSchema, tick: Tick) -> TaskRows:
    """Rows that the task's rule makes from what bookkeeping programs export."""
    tables: dict[str, Checked] = {}
    for source in (one for one in schema.sources if one.name in found.origins):
        origin = found.origins[source.name]
        fields = {column.name: column.kind for column in source.columns if column.name in origin.fields}
        checker, checked = check_source(origin, fields, found.closed_on, tick)
        tables[source.name] = linked(checker, checked, fields, tables)
    frames = {name: checked.frame.drop("row") for name, checked in tables.items()}
    training, present = load(schema.task).derive(frames, schema, found.closed_on)
    told = [finding for name, checked in tables.items() for finding in placed(checked.findings, found.origins[name])]
    return training, present, told
