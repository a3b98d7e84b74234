"""Finding the columns of a table whose headings are the task's own names of them, or aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from client_node.data.mapping import DataMap, Field, Origin
from client_node.data.tables import Table
from client_node.data.text import absent
from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import Column, TableSchema


def own_columns(table: Table, schema: TableSchema, columns: Sequence[Column]) -> DataMap:
    """The mapping of a table that names `columns` of the schema; Malformed if it lacks one that the task needs."""
    if not table.path.exists():
        raise absent(table.path)
    tried: list[tuple[int, list[str], dict[str, Field]]]
    tried = [(heading, names, _headed(columns, names)) for heading, names in table.headings()]
    heading, names, found = max(tried, key=lambda one: (len(one[2]), -one[0]), default=(1, [], {}))
    missing = [" / ".join((c.name, *c.aliases)) for c in columns if c.name not in found and c.missing != "absent"]
    if missing:
        raise Malformed(
            N_("{file} lacks the column {columns}"),
            why=N_("the task needs it; found: {found}"),
            do=N_("export it too, under one of these names")
            if not schema.sources or columns is not schema.columns
            else N_(
                "export it too, under one of these names; if the rows are single lines, give the file another name"
            ),
            file=table.path,
            columns=", ".join(missing),
            found=", ".join(names),
            code="COLUMN",
        )
    return DataMap(_end_of_this_month(), {schema.dataset: Origin((table,), heading, found)})


def fit(table: Table, columns: Sequence[Column]) -> int:
    """How many of the columns one row of headings names, at best: the first sheet may be a cover."""
    return max((len(_headed(columns, names)) for _row, names in table.headings()), default=0)


def _headed(columns: Sequence[Column], names: Sequence[str]) -> dict[str, Field]:
    known = {c.name: next((n for n in (c.name, *c.aliases) if n in names), None) for c in columns}
    return {name: Field(heading) for name, heading in known.items() if heading}


def _end_of_this_month() -> date:
    """Until when a table without a closing day may know results; of tomorrow's, since it may be tomorrow elsewhere."""
    end: date = pl.Series([datetime.now(UTC).date() + timedelta(days=1)]).dt.month_end().item()
    return end
