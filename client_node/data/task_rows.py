"""The rows of a task: as they stand in a table of its own, or as its rule derives them from
what bookkeeping exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from client_node.data.doubts import Doubt
from client_node.data.mapping import DataMap
from client_node.data.row_rules import lines_together, linked, not_foreseen, one_each
from client_node.data.source_rows import NEXT, check_source, kind_of, placed
from client_node.data.text import Tick
from client_node.data.validation import Checked, Checker, TableFault
from engine.table import TableSchema
from engine.task import SEVERAL, Settling, load


@dataclass(frozen=True, slots=True)
class TaskRows:
    """Rows that teach, rows to be served, what was left out, and doubtful invoices; of the books as a whole the share
    of what was due that was `received` (None where nothing says so), and months with `few` receipts."""

    training: pl.DataFrame
    present: pl.DataFrame
    findings: list[TableFault]
    doubts: tuple[Doubt, ...] = ()
    received: float | None = None
    few: tuple[str, ...] = ()


def given(found: DataMap, schema: TableSchema, tick: Tick) -> TaskRows:
    """Rows of a table that is the task's own."""
    origin = found.origins[schema.dataset]
    fields = {column.name: kind_of(column, schema) for column in schema.columns if column.name in origin.fields}
    checker, checked = check_source(origin, fields, found.closed_on, tick)
    checked = not_foreseen(checker, checked, schema, found.closed_on)
    checked = one_each(checker, checked, schema, fields)
    frame = checked.frame.drop("row")
    return TaskRows(frame, frame, checked.findings)


def derived(found: DataMap, schema: TableSchema, tick: Tick) -> TaskRows:
    """Rows that the task's rule makes from what bookkeeping programs export."""
    task, tables = load(schema.task), dict[str, Checked]()
    checkers: dict[str, Checker] = {}
    for source in (one for one in schema.sources if one.name in found.origins):
        origin = found.origins[source.name]
        fields: dict[str, str] = {column.name: column.kind for column in source.columns if column.name in origin.fields}
        checkers[source.name], checked = check_source(
            origin, fields, found.closed_on, tick, _whose(found, schema, fields)
        )
        tables[source.name] = linked(checkers[source.name], checked, fields, tables)
    if isinstance(task, Settling):
        return _settled(task, tables, checkers["invoices"], found, schema)
    frames = {name: checked.frame.drop("row") for name, checked in tables.items()}
    return TaskRows(*task.derive(frames, schema, found.closed_on), _told(tables, found))


def _settled(
    task: Settling, tables: dict[str, Checked], checker: Checker, found: DataMap, schema: TableSchema
) -> TaskRows:
    """Rows of a task that looks through the books first: without customers whose receipts
    leave it open what they paid."""
    kinds: dict[str, str] = {
        c.name: c.kind for source in schema.sources for c in source.columns if source.name == "invoices"
    }
    paid = tables["payments"].frame.group_by("invoice").agg(got=pl.col("amount").sum())
    tables["invoices"] = lines_together(checker, tables["invoices"], kinds, paid)
    frames, said = {name: checked.frame for name, checked in tables.items()}, found.receipts
    settled = task.settle(
        frames, _unsure(tables, found.closed_on), found.closed_on, said.tolerance(), said.really_unpaid
    )
    books = {name: frame.select(frames[name].drop("row").columns) for name, frame in settled.tables.items()}
    whole = task.received(frames, found.closed_on)
    training, present = load(schema.task).derive(books, schema, found.closed_on)
    told, doubts = _told(tables, found), _named(settled.doubts, found)
    return TaskRows(training, present, told, doubts, whole.share, whole.months)


def _told(tables: Mapping[str, Checked], found: DataMap) -> list[TableFault]:
    return [finding for name, checked in tables.items() for finding in placed(checked.findings, found.origins[name])]


def _whose(found: DataMap, schema: TableSchema, fields: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Headings under which a table that names documents of another one may say whose a line is."""
    if "reference" not in fields.values():
        return {}
    known: dict[str, tuple[str, ...]] = {}
    for source in schema.sources:
        for column in (one for one in source.columns if one.kind == "id" and source.name in found.origins):
            heading = found.origins[source.name].fields[column.name].heading
            known[column.name] = tuple(dict.fromkeys((heading, column.name, *column.aliases)))
    return {name: headings for name, headings in known.items() if name not in fields}


def _unsure(tables: Mapping[str, Checked], closed_on: date) -> pl.DataFrame:
    """Receipts that were left out: the invoices that each names if they are there, day, amount, and whose it is if it
    says so. One of a day after the books were closed is sound: what it paid was open on that day."""
    invoices, payments = tables["invoices"], tables["payments"]
    known = pl.concat([invoices.frame["invoice"], invoices.left_out["invoice"]]).drop_nulls().unique()
    is_later = (pl.col("rule") == "date-out-of-range") & pl.col("paid").is_between(closed_on, datetime.now(UTC).date())
    missed = payments.missed().filter(~is_later.fill_null(False))
    names = pl.col("invoice").str.split(SEVERAL)
    is_known = names.list.set_difference(pl.lit(known.implode())).list.len() == 0
    whose = pl.col("counterparty") if "counterparty" in missed.columns else pl.lit(None, dtype=pl.String)
    return missed.select("paid", "amount", invoice=pl.when(is_known).then("invoice"), counterparty=whose)


def _named(doubts: pl.DataFrame, found: DataMap) -> tuple[Doubt, ...]:
    tables = found.origins["invoices"].tables
    return tuple(
        Doubt(tables[row // NEXT].place, row % NEXT, customer, document, rule, whole)
        for row, customer, document, rule, whole in doubts.select(
            "row", "counterparty", "invoice", "rule", "whole"
        ).rows()
    )
