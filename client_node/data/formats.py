"""Readers of formats whose libraries can be made to fail: workbooks, Parquet, SQLite. They run in a process apart.

Every cell becomes text. Only `client_node.data.apart` calls them, by the names in READERS.
"""

from __future__ import annotations

import re
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from client_node.data.text import absent
from contracts.errors import Malformed
from contracts.wording import N_

CHINA = "Asia/Shanghai"
MOST_UNPACKED, MOST_CELLS, MOST_SHEET_ROWS, MOST_ROWS = 2**29, 2**25, 2**20, 2 * 10**7
_XML = (".xlsx", ".xlsm")
_LONG, _FROM_1904 = r"^\d{16,}$", re.compile(rb"""date1904=["'](1|true)["']""")
_NUMBER = re.compile(
    rb"""<(?:\w+:)?c(?:\s+(?!t=)\w+="[^"]*"|\s+t="n")*\s*>(?:<(?:\w+:)?f[^>]*/>|<(?:\w+:)?f[^>]*>[^<]*</(?:\w+:)?f>)?"""
    rb"""<(?:\w+:)?v>([0-9.]{10,30}(?:[eE]\+?\d{1,2})?)</"""
)
_WIDE, _ROWS = re.compile(rb"""r=["']([A-Z]{2,3})\d"""), re.compile(rb"""r=["'][A-Z]{1,3}(\d{1,7})["']""")


def sheet_names(path: Path) -> list[str]:
    """Names of a workbook's sheets."""
    return list(_workbook(path).sheet_names)


def sheet(path: Path, part: str, rows: int | None) -> pl.DataFrame:
    """Cells from row 1 on, also where the first rows are empty: findings count as spreadsheets do. A number of more
    digits than a spreadsheet keeps is written as one shows it (1.23457E+17): it is no code any more."""
    frame = pl.DataFrame(_loaded(path, part, rows).to_polars())
    if not frame.width or not frame.select(pl.any_horizontal(pl.all().str.contains(_LONG).any())).item():
        return frame
    cells = {text for column in frame for text in column.filter(column.str.contains(_LONG))}
    numbers = (
        _long_numbers(path) if zipfile.is_zipfile(path) and path.suffix.lower() in _XML else set(map(float, cells))
    )
    shown = {text: f"{float(text):.5E}" for text in cells if float(text) in numbers and int(float(text)) == int(text)}
    return frame.with_columns(pl.all().replace(shown)) if shown else frame


def _long_numbers(path: Path) -> set[float]:
    """Numbers of sixteen digits and more that stand in a workbook as numbers, not as text."""
    found: set[float] = set()
    with zipfile.ZipFile(path) as packed:
        for part in (name for name in packed.namelist() if "worksheets/" in name):
            for block in _blocks(packed, part, 512):
                found |= {value for said in _NUMBER.findall(block) if (value := float(said)) >= 1e15}
    return found


def counts_from_1904(path: Path) -> bool:
    """Do the serial numbers of a workbook begin in 1904, as those of old Apple computers?"""
    if path.suffix.lower() not in _XML or not zipfile.is_zipfile(path):
        return False
    with _as_workbook(path), zipfile.ZipFile(path) as packed:
        parts = [name for name in packed.namelist() if name.endswith("workbook.xml")]
        return any(_FROM_1904.search(packed.read(name)) for name in parts)


def is_hidden(path: Path, part: str) -> bool:
    """Is it a sheet that its workbook does not show?"""
    return bool(_loaded(path, part, 0).visible != "visible")


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
    """Malformed if a workbook unpacks to more than a spreadsheet program would show. What it says of its own size is
    not asked: it is unpacked and thrown away. A cell far off makes readers keep all the empty ones before it."""
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


def _blocks(packed: zipfile.ZipFile, part: str, again: int = 32) -> Iterator[bytes]:
    """What a part unpacks to; each block begins with the end of the one before, so that no cell's name is torn."""
    with zipfile.Path(packed, part).open("rb") as file:
        end = b""
        while block := file.read(2**20):
            yield end + block
            end = block[-again:]


def _number(letters: bytes) -> int:
    """A -> 1, Z -> 26, AA -> 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _loaded(path: Path, part: str, rows: int | None):  # type: ignore[no-untyped-def]
    book = _workbook(path)
    with _as_workbook(path):
        return book.load_sheet(part, header_row=None, skip_rows=0, n_rows=rows, dtypes="string")


def columns(path: Path) -> list[str]:
    """Names of a Parquet file's columns."""
    with _as_columns(path):
        return list(_parquet(path).collect_schema().names())


def column_cells(path: Path, names: Sequence[str]) -> pl.DataFrame:
    """Some columns of a Parquet file."""
    with _as_columns(path):
        held = _parquet(path).select(names)
        return held.select(
            _in_china(name, kind).cast(pl.String) for name, kind in held.collect_schema().items()
        ).collect()


def _in_china(name: str, kind: pl.DataType) -> pl.Expr:
    """An instant is of a time zone and is shown at its time in China; what has no zone is a local time already."""
    column = pl.col(name)
    zoned = isinstance(kind, pl.Datetime) and kind.time_zone
    return column.dt.convert_time_zone(CHINA).dt.replace_time_zone(None) if zoned else column


def length(path: Path) -> int:
    """How many rows a Parquet file says that it holds."""
    try:
        found: int = pl.scan_parquet(path).select(pl.len()).collect().item()
    except FileNotFoundError as error:
        raise absent(path) from error
    except pl.exceptions.PolarsError as error:
        raise Malformed(N_("{file} is not a table"), do=N_("export the table again"), file=path) from error
    return found


def _parquet(path: Path) -> pl.LazyFrame:
    check_rows(path, length(path), MOST_ROWS)
    return pl.scan_parquet(path)


@contextmanager
def _as_columns(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise Malformed(
            N_("{file} cannot be read as a table of texts, numbers and dates"),
            why=N_("it is damaged, or a column holds lists or bytes"),
            do=N_("export the table again"),
            file=path,
        ) from error


def check_rows(path: Path, rows: int, most: int) -> None:
    """Malformed if a table has more than so many rows."""
    if rows > most:
        raise Malformed(
            N_("{file} is too long"),
            why=N_("at most {rows} rows"),
            do=N_("export a shorter period, or in parts"),
            file=path,
            rows=most,
            code="TOO_LARGE",
        )


def database_tables(path: Path) -> list[str]:
    """Names of a database's tables and views."""
    sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    return [str(row[0]) for row in _query(path, sql)]


def database_columns(path: Path, part: str) -> list[str]:
    """Names of a table's columns."""
    return [str(row[1]) for row in _query(path, f"PRAGMA table_info({_quoted(part)})")]


def database_cells(path: Path, part: str, names: Sequence[str]) -> pl.DataFrame:
    """Some columns of a table."""
    rows = _query(path, f"SELECT {', '.join(map(_quoted, names))} FROM {_quoted(part)}")
    texts = [[_text_of(cell) for cell in row] for row in rows]
    return pl.DataFrame(texts, schema=dict.fromkeys(names, pl.String), orient="row")


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


READERS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        sheet_names,
        sheet,
        is_hidden,
        counts_from_1904,
        columns,
        column_cells,
        length,
        database_tables,
        database_columns,
        database_cells,
    )
}
