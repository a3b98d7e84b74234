"""Files as members have them -> text tables: CSV as `text_files` reads it, XLSX and XLS with merged headings, Parquet, SQLite.

Every cell stays text here; what it means is decided by the mapping and the task. Columns that are not asked for
are never read further than their heading.
"""

from __future__ import annotations

import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import polars as pl

from client_node.data.text import Tick, absent, read_cells, top_rows
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

TEXT, SHEETS, COLUMNS, BOOKS = (
    (".csv", ".txt", ".tsv"),
    (".xlsx", ".xlsm", ".xls", ".xlsb"),
    (".parquet",),
    (".sqlite", ".db", ".sqlite3"),
)
HEADING_ROWS = 8
MOST_UNPACKED, MOST_CELLS, MOST_SHEET_ROWS, MOST_ROWS = 2**29, 2**25, 2**20, 2 * 10**7
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
_WIDE, _ROWS = re.compile(rb"""r=["']([A-Z]{2,3})\d"""), re.compile(rb"""r=["'][A-Z]{1,3}(\d{1,7})["']""")


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
            return _possible_headings(_sheet(self, HEADING_ROWS).rows())
        if suffix in COLUMNS:
            return [(1, _parquet(self.path).collect_schema().names())]
        if suffix in BOOKS:
            return [(1, [str(row[1]) for row in _query(self.path, f"PRAGMA table_info({_quoted(self.part)})")])]
        return _possible_headings(top_rows(self.path, HEADING_ROWS))

    def read(self, columns: Sequence[str], heading: int, tick: Tick = lambda done, every: None) -> pl.DataFrame:
        """The named columns as text, without the headings; and BEYOND, if a line of a text file says more or is broken.
        `tick` is told how many bytes of how many were decoded. Malformed if a heading is not there."""
        suffix = self.path.suffix.lower()
        if suffix in SHEETS:
            body = _sheet(self, None)
            names = self._known(columns, heading, _possible_headings(body.head(HEADING_ROWS).rows()))
            chosen = [pl.col(body.columns[names.index(name)]).alias(name) for name in columns]
            return body.slice(heading).select(chosen)
        names = self._known(columns, heading, self.headings())
        if suffix in COLUMNS:
            return _as_text(self.path, columns)
        if suffix in BOOKS:
            wanted = ", ".join(_quoted(name) for name in columns)
            rows = _query(self.path, f"SELECT {wanted} FROM {_quoted(self.part)}")
            texts = [[_text_of(cell) for cell in row] for row in rows]
            return pl.DataFrame(texts, schema=dict.fromkeys(columns, pl.String), orient="row")
        return read_cells(self.path, names, columns, heading, tick)

    def is_hidden(self) -> bool:
        """Is it a sheet that its workbook does not show?"""
        return self.path.suffix.lower() in SHEETS and _loaded(self, 0).visible != "visible"

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
        return [Table(path, name) for name in _workbook(path).sheet_names]
    if suffix in BOOKS:
        return [
            Table(path, str(row[0]))
            for row in _query(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        ]
    return [Table(path)] if suffix in TEXT + COLUMNS else []


def _workbook(path: Path):  # type: ignore[no-untyped-def]
    import fastexcel

    if not path.is_file():
        raise absent(path)
    with _as_workbook(path):
        if zipfile.is_zipfile(path):
            _check_unpacked(path, path.stat().st_mtime_ns, path.stat().st_size)
        return fastexcel.read_excel(path)


@contextmanager
def _as_workbook(path: Path) -> Iterator[None]:
    """What a reader says of a damaged workbook, or of one of its sheets, as Malformed."""
    import fastexcel

    try:
        yield
    except (
        fastexcel.FastExcelError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise Malformed(
            N_("{file} is not a table: {error}"),
            do=N_("open it in a spreadsheet program without a password, save it as XLSX and try again"),
            file=path,
            error=str(error).partition("\n")[0].replace(str(path), path.name)[:120],
        ) from error


@lru_cache(maxsize=8)
def _check_unpacked(path: Path, changed: int, size: int) -> None:
    """Malformed if a workbook unpacks to more than a spreadsheet program would show. What it says of its own size is not
    asked: it is unpacked and thrown away. A cell far off makes readers keep all the empty ones before it."""
    unpacked = 0
    with zipfile.ZipFile(path) as packed:
        for part in packed.namelist():
            width = 0
            for block in _blocks(packed, part):
                unpacked += len(block)
                width = max([width, *map(_number, set(_WIDE.findall(block)))])
                if unpacked > MOST_UNPACKED:
                    raise _too_much(path)
            if width * MOST_SHEET_ROWS > MOST_CELLS:  # only then the rows have to be counted
                rows = (max(map(int, _ROWS.findall(block)), default=0) for block in _blocks(packed, part))
                if width * max(rows, default=0) > MOST_CELLS:
                    raise _too_much(path)


def _too_much(path: Path) -> Malformed:
    return Malformed(
        N_("{file} unpacks to more than is read"),
        why=N_("at most {bytes} bytes, and {cells} cells up to the last one of a sheet"),
        do=N_("delete what stands far off the table, or export it as CSV or Parquet"),
        file=path,
        bytes=MOST_UNPACKED,
        cells=MOST_CELLS,
        code="TOO_LARGE",
    )


def _blocks(packed: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """What a part unpacks to; each block begins with the end of the one before, so that no cell's name is torn."""
    with zipfile.Path(packed, part).open("rb") as file:
        end = b""
        while block := file.read(2**20):
            yield end + block
            end = block[-32:]


def _number(letters: bytes) -> int:
    """A -> 1, Z -> 26, AA -> 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _sheet(table: Table, rows: int | None) -> pl.DataFrame:
    """Cells from row 1 on, also where the first rows are empty: findings count as spreadsheets do."""
    return pl.DataFrame(_loaded(table, rows).to_polars())


def _loaded(table: Table, rows: int | None):  # type: ignore[no-untyped-def]
    book = _workbook(table.path)
    with _as_workbook(table.path):
        return book.load_sheet(table.part, header_row=None, skip_rows=0, n_rows=rows, dtypes="string")


def _possible_headings(top: Sequence[Sequence[str | None]]) -> list[tuple[int, list[str]]]:
    """Each of the first rows as headings; an empty cell takes the merged cell above it, which reaches to the right."""
    width = max(map(len, top), default=0)
    found, above = [], [""] * width
    for number, row in enumerate(top, 1):
        cells = [(cell or "").strip() for cell in row] + [""] * (width - len(row))
        found.append((number, _names(cells, above)[: len(row)]))
        above = [cells[max((i for i in range(at + 1) if cells[i]), default=0)] for at in range(len(cells))]
    return found


def _names(cells: list[str], above: list[str]) -> list[str]:
    """One name a column. What stands there twice, or says nothing alone (编码), goes with the heading above it; what is
    still not the only one is numbered."""
    plain = [low or high for low, high in zip(cells, above, strict=True)]
    joined = [
        high + low if high and low and (low.lower() in _BARE or cells.count(low) > 1) else name
        for low, high, name in zip(cells, above, plain, strict=True)
    ]
    earlier = [joined[:at].count(name) for at, name in enumerate(joined)]
    return [f"{name} ({again + 1})" if name and again else name for name, again in zip(joined, earlier, strict=True)]


def _parquet(path: Path) -> pl.LazyFrame:
    check_length(path, MOST_ROWS)
    return pl.scan_parquet(path)


def _as_text(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    try:
        return _parquet(path).select(pl.col(list(columns)).cast(pl.String)).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise Malformed(
            N_("{file} cannot be read as a table of texts, numbers and dates"),
            why=N_("it is damaged, or a column holds lists or bytes"),
            do=N_("export the table again"),
            file=path,
        ) from error


def check_length(path: Path, most: int, rows: int = 0) -> None:
    """Malformed if a table has more than so many rows: `rows` that were read, or what a Parquet file holds, known
    without reading them."""
    try:
        if path.suffix.lower() in COLUMNS:
            rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    except FileNotFoundError as error:
        raise absent(path) from error
    except pl.exceptions.PolarsError as error:
        raise Malformed(N_("{file} is not a table"), do=N_("export the table again"), file=path) from error
    if rows > most:
        raise Malformed(
            N_("{file} is too long"),
            why=N_("at most {rows} rows"),
            do=N_("export a shorter period, or in parts"),
            file=path,
            rows=most,
            code="TOO_LARGE",
        )


def _query(path: Path, sql: str) -> list[tuple[object, ...]]:
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            connection.text_factory = _decoded  # what cannot be decoded is a fault of its cell, and quoted nowhere
            return connection.execute(sql).fetchall()
    except (sqlite3.Error, UnicodeError) as error:  # of a damaged file, what is wrong may be no text itself
        raise Malformed(
            N_("{file} is not a table: {error}"), do=N_("export the table again"), file=path, error=error
        ) from error


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _text_of(cell: object) -> str | None:
    return None if cell is None else _decoded(cell) if isinstance(cell, bytes) else str(cell)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
