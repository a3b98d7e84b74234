"""Files as members have them -> text tables: CSV as `text_files` reads it, XLSX and XLS with
merged headings, Parquet, SQLite.

Every cell stays text here; what it means is decided by the mapping and the task. Columns that are not asked for
are never read further than their heading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl

from client_node.data.apart import READER_APART
from client_node.data.formats import check_rows
from client_node.data.reading import FROM_1900, FROM_1904
from client_node.data.text import Tick, read_cells, top_rows
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

TEXT, SHEETS, COLUMNS, BOOKS = (
    (".csv", ".txt", ".tsv"),
    (".xlsx", ".xlsm", ".xls", ".xlsb"),
    (".parquet",),
    (".sqlite", ".db", ".sqlite3"),
)
HEADING_ROWS, MOST_HEADINGS = 8, 16_384  # columns: as many as a sheet has
_BARE = {
    "编码",
    "代码",
    "编号",
    "名称",
    "号码",
    "号",
    "含税",
    "不含税",
    "无税",
    "code",
    "name",
    "number",
}  # say nothing without the heading above them


class Table:
    """One table inside a file: the file itself, a sheet of it, or a table of a database."""

    def __init__(self, path: Path, part: str = ""):
        self.path, self.part = path, part

    @property
    def place(self) -> str:
        """How findings name it: file, and sheet or table after a colon."""
        return self.path.name + (f":{self.part}" if self.part else "")

    def headings(self) -> list[tuple[int, list[str]]]:
        """Possible rows of headings: (number of the last heading row, names). Row 1 is the first."""
        suffix = self.path.suffix.lower()
        if suffix in SHEETS:
            return _possible_headings(self.path, _called("sheet", self.path, self.part, HEADING_ROWS).rows())
        if suffix in COLUMNS:
            return [(1, _called("columns", self.path))]
        if suffix in BOOKS:
            return [(1, _called("database_columns", self.path, self.part))]
        return _possible_headings(self.path, top_rows(self.path, HEADING_ROWS))

    def read(
        self,
        columns: Sequence[str],
        heading: int,
        tick: Tick = lambda done, every: None,
        also: Callable[[str], bool] = lambda name: False,
    ) -> pl.DataFrame:
        """The named columns as text, without the headings, and those that are there of which `also` holds; and BEYOND,
        if a line of a text file says more or is broken. `tick` is told how many bytes of how many were decoded.
        Malformed if a heading is not there."""
        suffix = self.path.suffix.lower()
        if suffix in SHEETS:
            body: pl.DataFrame = _called("sheet", self.path, self.part, None)
            names = self._known(columns, heading, _possible_headings(self.path, body.head(HEADING_ROWS).rows()))
            chosen = [pl.col(body.columns[names.index(name)]).alias(name) for name in _with(columns, names, also)]
            return body.slice(heading).select(chosen)
        names = self._known(columns, heading, self.headings())
        columns = _with(columns, names, also)
        if suffix in COLUMNS:
            return pl.DataFrame(_called("column_cells", self.path, list(columns)))
        if suffix in BOOKS:
            return pl.DataFrame(_called("database_cells", self.path, self.part, list(columns)))
        return read_cells(self.path, names, columns, heading, tick)

    def is_hidden(self) -> bool:
        """Is it a sheet that its workbook does not show?"""
        return self.path.suffix.lower() in SHEETS and bool(_called("is_hidden", self.path, self.part))

    def first_day(self) -> date:
        """Day 0 of the serial numbers that stand here for days."""
        is_1904 = self.path.suffix.lower() in SHEETS and _called("counts_from_1904", self.path)
        return FROM_1904 if is_1904 else FROM_1900

    def _known(self, columns: Sequence[str], heading: int, found: list[tuple[int, list[str]]]) -> list[str]:
        """The names in row `heading`, all of `columns` among them."""
        names = dict(found).get(heading, [])
        if missing := [name for name in columns if name not in names]:
            raise Malformed(
                N_("{place} has no heading {columns} in row {heading}"),
                why=N_("that row says: {found}"),
                do=N_("name its own headings in data.toml, or: client-node data map --force"),
                place=self.place,
                columns=", ".join(missing),
                heading=heading,
                found=", ".join(filter(None, names[:30])) or "-",
                code="COLUMN",
            )
        return names


def _with(columns: Sequence[str], names: Sequence[str], also: Callable[[str], bool]) -> list[str]:
    return [*columns, *(name for name in names if name and name not in columns and also(name))]


def stamps(folder: Path, *others: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of each file that a member's table may be made from: another answer may mean another table.
    None of a folder that is not there now, such as a share that is not mounted."""
    try:
        found = [(path.name, path.stat()) for path in (*folder.iterdir(), *others) if path.exists()]
    except OSError:
        return ()
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in found))


def tables_in(folder: Path, unread: list[Malformed] | None = None) -> list[Table]:
    """Every table of every readable file of a folder, in order of name. A file that cannot be read goes into `unread`;
    without that list it is an error."""
    if not folder.is_dir():
        raise Unavailable(
            N_("there is no folder {folder}"), do=N_("name the folder of the exports in config.toml"), folder=folder
        )
    found: list[Table] = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(("~$", ".")):
            try:
                found += tables_of(path)
            except Malformed as error:
                if unread is None:
                    raise
                unread.append(error)
    return found


def tables_of(path: Path) -> list[Table]:
    """The tables of one file; none if it is of another kind."""
    suffix = path.suffix.lower()
    if suffix in SHEETS:
        return [Table(path, name) for name in _called("sheet_names", path)]
    if suffix in BOOKS:
        return [Table(path, name) for name in _called("database_tables", path)]
    return [Table(path)] if suffix in TEXT + COLUMNS else []


def _possible_headings(path: Path, top: Sequence[Sequence[str | None]]) -> list[tuple[int, list[str]]]:
    """Each of the first rows as headings; an empty cell takes the merged cell above it, which reaches to the right."""
    width = max(map(len, top), default=0)
    if width > MOST_HEADINGS:
        raise _too_wide(path)
    found, above = list[tuple[int, list[str]]](), [""] * width
    for number, row in enumerate(top, 1):
        cells = [(cell or "").strip() for cell in row] + [""] * (width - len(row))
        found.append((number, _names(cells, above)[: len(row)]))
        above = list(accumulate(cells, _cell_or_left))
    return found


def _too_wide(path: Path) -> Malformed:
    return Malformed(
        N_("{file} has more than {limit} columns"),
        do=N_("export the table again, with the columns that are needed"),
        file=path,
        limit=MOST_HEADINGS,
        code="TOO_LARGE",
    )


def _names(cells: list[str], above: list[str]) -> list[str]:
    """One name a column. What stands there twice, or says nothing alone (编码), goes with the heading above it; what is
    still not the only one is numbered."""
    plain, times = [low or high for low, high in zip(cells, above, strict=True)], Counter(cells)
    joined = [
        high + low if high and low and (low.lower() in _BARE or times[low] > 1) else name
        for low, high, name in zip(cells, above, plain, strict=True)
    ]
    seen: Counter[str] = Counter()
    earlier = [seen.update([name]) or seen[name] - 1 for name in joined]
    return [f"{name} ({again + 1})" if name and again else name for name, again in zip(joined, earlier, strict=True)]


def check_length(path: Path, most: int, rows: int = 0) -> None:
    """Malformed if a table has more than so many rows: `rows` that were read, or what a Parquet file holds, known
    without reading them."""
    check_rows(path, _called("length", path) if path.suffix.lower() in COLUMNS else rows, most)


def _cell_or_left(left: str, cell: str) -> str:
    return cell or left


def _called(reader: str, path: Path, *words: object) -> Any:
    return READER_APART.call(reader, path, *words)
