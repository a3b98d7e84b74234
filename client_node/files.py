"""Files as members have them -> text tables: CSV in UTF-8 or GB18030, XLSX and XLS with merged headings, Parquet, SQLite.

Every cell stays text here; what it means is decided by the mapping and the task. Columns that are not asked for
are never read further than their heading.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

TEXT, SHEETS, COLUMNS, BOOKS = (
    (".csv", ".txt"),
    (".xlsx", ".xls", ".xlsb"),
    (".parquet",),
    (".sqlite", ".db", ".sqlite3"),
)
HEADING_ROWS = 8
_CHUNK = 2**22
Tick = Callable[[int, int], None]


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
            return _possible_headings(_sheet(self, HEADING_ROWS + 1))
        if suffix in COLUMNS:
            return [(1, pl.scan_parquet(self.path).collect_schema().names())]
        if suffix in BOOKS:
            return [(1, [str(row[1]) for row in _query(self.path, f"PRAGMA table_info({_quoted(self.part)})")])]
        return [(1, _scan_text(self.path, HEADING_ROWS).collect_schema().names())]

    def read(self, columns: Sequence[str], heading: int, tick: Tick = lambda done, every: None) -> pl.DataFrame:
        """The named columns as text, without the headings. `tick` is told how many bytes of how many were decoded."""
        suffix = self.path.suffix.lower()
        if suffix in SHEETS:
            names = dict(_possible_headings(_sheet(self, HEADING_ROWS + 1)))[heading]
            body = _sheet(self, None).slice(heading)
            return body.select([pl.col(body.columns[names.index(name)]).alias(name) for name in columns])
        if suffix in COLUMNS:
            return pl.scan_parquet(self.path).select(pl.col(list(columns)).cast(pl.String)).collect()
        if suffix in BOOKS:
            wanted = ", ".join(_quoted(name) for name in columns)
            rows = _query(self.path, f"SELECT {wanted} FROM {_quoted(self.part)}")
            texts = [[None if cell is None else str(cell) for cell in row] for row in rows]
            return pl.DataFrame(texts, schema=dict.fromkeys(columns, pl.String), orient="row")
        with tempfile.TemporaryDirectory() as folder:
            plain = _as_utf8(self.path, Path(folder) / "plain.csv", tick)
            return _scan_text(plain, None).select(list(columns)).collect()


def tables_in(folder: Path) -> list[Table]:
    """Every table of every readable file of a folder, in order of name."""
    if not folder.is_dir():
        raise Unavailable(
            N_("there is no folder {folder}"), do=N_("name the folder of the exports in config.toml"), folder=folder
        )
    return [table for path in sorted(folder.iterdir()) if path.is_file() for table in tables_of(path)]


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


def _as_utf8(path: Path, target: Path, tick: Tick) -> Path:
    """The file itself if it is UTF-8, else a copy decoded from GB18030; Malformed (ENCODING) if it is neither."""
    for encoding in ("utf-8", "gb18030"):
        size = path.stat().st_size if path.exists() else 0
        try:
            with (
                path.open(encoding=encoding, newline="") as source,
                target.open("w", encoding="utf-8", newline="") as copy,
            ):
                while text := source.read(_CHUNK):
                    if "\x00" in text or "\ufffd" in text:
                        raise UnicodeError("binary")
                    if encoding != "utf-8":
                        copy.write(text)
                    tick(source.buffer.tell(), size)
        except UnicodeError:
            continue
        except FileNotFoundError as error:
            raise absent(path) from error
        return path if encoding == "utf-8" else target
    raise Malformed(
        N_("{file} is neither UTF-8 nor GB18030 text"),
        do=N_("save it as CSV (UTF-8) and try again"),
        file=path,
        code="ENCODING",
    )


def absent(path: Path) -> Unavailable:
    """The error for a file that is not there."""
    return Unavailable(
        N_("there is no file {file}"), do=N_("put the export there, or name another folder in config.toml"), file=path
    )


def _scan_text(path: Path, rows: int | None) -> pl.LazyFrame:
    """A CSV as text columns; `rows` limits how much of an undecoded file is looked at for its headings."""
    try:
        with path.open("rb") as file:
            first = file.readline()
        encoding = "utf-8-sig" if _is_utf8(first) else "gb18030"
        heading = first.decode(encoding, "replace")
        separator = max(",;\t", key=heading.count)
        if rows is not None:
            names = pl.read_csv(heading.encode(), separator=separator, infer_schema=False).columns
            return pl.LazyFrame(schema=dict.fromkeys(names, pl.String))
        frame = pl.scan_csv(path, separator=separator, infer_schema=False, quote_char='"')
        frame.collect_schema()
        return frame
    except FileNotFoundError as error:
        raise absent(path) from error
    except pl.exceptions.PolarsError as error:
        raise Malformed(
            N_("{file} is not a table: {error}"),
            do=N_("export the table again"),
            file=path,
            error=str(error).partition("\n")[0][:120],
        ) from error


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _workbook(path: Path):  # type: ignore[no-untyped-def]
    import fastexcel

    try:
        return fastexcel.read_excel(path)
    except (fastexcel.FastExcelError, OSError) as error:
        raise Malformed(
            N_("{file} is not a table: {error}"),
            do=N_("export the table again"),
            file=path,
            error=str(error).partition("\n")[0][:120],
        ) from error


def _sheet(table: Table, rows: int | None) -> pl.DataFrame:
    sheet = _workbook(table.path).load_sheet(table.part, header_row=None, n_rows=rows, dtypes="string")
    return sheet.to_polars()


def _possible_headings(top: pl.DataFrame) -> list[tuple[int, list[str]]]:
    """Each of the first rows as headings; an empty cell takes the merged cell above it, which reaches to the right."""
    found, above = [], [""] * top.width
    for number, row in enumerate(top.rows()[:HEADING_ROWS], 1):
        cells = [(cell or "").strip() for cell in row]
        found.append((number, [low or high for low, high in zip(cells, above, strict=True)]))
        above = [cells[max((i for i in range(at + 1) if cells[i]), default=0)] for at in range(len(cells))]
    return found


def _query(path: Path, sql: str) -> list[tuple[object, ...]]:
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        raise Malformed(
            N_("{file} is not a table: {error}"), do=N_("export the table again"), file=path, error=error
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
