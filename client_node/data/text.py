"""Text tables -> cells: UTF-8, UTF-16 or GB18030, separated by commas, semicolons or tabs, perhaps under a title.

A line that says more than the headings, or in which a quotation mark is not closed, is told apart in the column BEYOND;
it never moves or swallows other lines, and no reader's message that could quote a value goes any further.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import polars as pl

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

BEYOND, UNCLOSED = "\x00beyond", "\x01"  # a column that no heading can be called like; what it says of a broken line
_CHUNK = 2**22
_LONGEST_LINE = 2**24  # characters: a line of a table has a few hundred, and every reader keeps a line whole
_TOP_BYTES = 2**18
_LONGEST_CELL = 20  # lines of one cell, where a quotation mark may be the fault
_LOST_SHARE = 20
_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PLAIN = ("utf-8", "strict", "")  # encoding, errors, newline of a file that needs no copy
Tick = Callable[[int, int], None]


def top_rows(path: Path, rows: int) -> list[list[str]]:
    """The cells of the first rows of the file."""
    text = _top(path).decode(_encoding(_top(path)), "replace").removeprefix("\ufeff")
    if "\x00" in text:
        raise _no_text(path)
    cells = islice(_rows(io.StringIO(text, newline=""), _separator(text)), rows)
    return [row[:-1] if row[-1:] == [UNCLOSED] else row for row in cells]


def _top(path: Path) -> bytes:
    """The first lines of a file, whole ones."""
    try:
        with path.open("rb") as file:
            data = file.read(_TOP_BYTES)
    except FileNotFoundError as error:
        raise absent(path) from error
    end = b"\r" if _ends_in_cr(data) else b"\n"
    return data if len(data) < _TOP_BYTES else data[: (data.rfind(end) + 1) // 2 * 2]


def _ends_in_cr(top: bytes) -> bool:
    """Do lines end in CR alone, as some spreadsheet programs still write them?"""
    return b"\r" in top and b"\n" not in top


def _encoding(data: bytes) -> str:
    """What the text is written in. Chinese in GB18030 read as UTF-8 is lost nearly whole; UTF-8 with a damaged
    character is lost there alone, and often reads as GB18030 without a fault, as other words."""
    if data[:2] in _BOMS:
        return "utf-16"
    text = data.decode("utf-8", "replace")
    wide = sum(character > "\x7f" for character in text)
    return "utf-8" if _lost(text) * _LOST_SHARE <= wide else "gb18030"


def read_cells(path: Path, names: Sequence[str], columns: Sequence[str], heading: int, tick: Tick) -> pl.DataFrame:
    """`columns` below row `heading`, whose cells are called `names`; and BEYOND, if any line needs it."""
    with tempfile.TemporaryDirectory() as folder:
        plain, lines = _as_utf8(path, Path(folder) / "plain.csv", tick)
        with plain.open(encoding="utf-8") as text:
            separator = _separator(text.read(_TOP_BYTES))
        try:
            frame = _scanned(plain, separator, names, columns, heading)
        except pl.exceptions.PolarsError:
            frame = None
        if frame is None or len(frame) != max(lines - heading, 0):  # some cell holds a line break, or swallowed lines
            mended = Path(folder) / "mended.csv"
            _mend(plain, mended, separator, len(names))
            frame = _scanned(mended, ",", names, columns, heading)
    return frame if frame[BEYOND].str.len_bytes().max() else frame.drop(BEYOND)


def _scanned(path: Path, separator: str, names: Sequence[str], columns: Sequence[str], heading: int) -> pl.DataFrame:
    schema = dict.fromkeys([str(at) for at in range(len(names))] + [BEYOND], pl.String)
    frame = pl.scan_csv(
        path,
        separator=separator,
        has_header=False,
        skip_rows=heading,
        schema=schema,
        truncate_ragged_lines=True,
        raise_if_empty=False,
        infer_schema=False,
    )
    chosen = [pl.col(str(names.index(name))).alias(name) for name in columns]
    return frame.select(*chosen, pl.col(BEYOND)).collect()


def _mend(path: Path, target: Path, separator: str, width: int) -> None:
    """A copy in which each row stands for itself, an empty one too: readers skip those that come first beside the rows
    they are told to skip. A quotation mark that no later line closes belongs to its line alone."""
    with (
        path.open(encoding="utf-8-sig", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        csv.writer(copy).writerows(row or [""] for row in _rows(source, separator, width))


def _rows(lines: Iterator[str], separator: str, width: int = 0) -> Iterator[list[str]]:
    """Cells of each row: a line, or as many as it takes to close a quotation mark."""
    waiting: deque[str] = deque()
    while line := waiting.popleft() if waiting else next(lines, ""):
        cells, more = _cells(line, separator), 0
        if cells is None:
            waiting.extend(islice(lines, _LONGEST_CELL - len(waiting)))
            cells, more = _closed(line, waiting, separator, width)
        yield cells
        for _ in range(more):
            waiting.popleft()


def _closed(line: str, following: Iterable[str], separator: str, width: int) -> tuple[list[str], int]:
    """The cells of a row that begins with `line`, and how many lines more it takes: none, and UNCLOSED beyond its
    cells, if a line that is a row of `width` cells by itself comes before the end of the quotation."""
    joined = line
    for more, another in enumerate(following, 1):
        alone, joined = _cells(another, separator), joined + another
        if width > 1 and alone is not None and len(alone) == width:
            break
        cells = _cells(joined, separator)
        if cells is not None and (not width or len(cells) <= width):
            return cells, more
    bare = line.rstrip("\r\n").split(separator)
    return [*bare[:width], *[""] * (width - len(bare)), UNCLOSED], 0


def _cells(text: str, separator: str) -> list[str] | None:
    """The cells of one row; None if it is none, or a quotation mark is open at its end."""
    for strict in (True, False):
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict))
            return rows[0] if len(rows) == 1 else None
        except csv.Error as error:
            if "unexpected end" in str(error):
                return None
    return None


def _separator(text: str) -> str:
    """What stands in most lines: amounts and remarks may be full of another one, headings are not."""
    lines = text.splitlines()
    return max(",;\t", key=lambda one: (sum(one in line for line in lines), text.count(one)))


def _lost(text: str) -> int:
    return text.count("\ufffd")


def _as_utf8(path: Path, target: Path, tick: Tick) -> tuple[Path, int]:
    """The file itself if it is UTF-8, else a copy decoded from what it is; and its lines. Malformed (ENCODING) if it is
    no text."""
    if not path.is_file():
        raise absent(path)
    top = _top(path)
    first, newline = _encoding(top), None if _ends_in_cr(top) else ""
    for encoding in (first, "gb18030") if top.isascii() else (first,):
        for errors in ("strict", "replace"):
            try:
                lines, lost = _copy(path, target, tick, (encoding, errors, newline))
            except UnicodeError:
                continue
            if lost * _LOST_SHARE <= lines:
                return (path if (encoding, errors, newline) == _PLAIN else target), lines
    raise _no_text(path)


def _copy(path: Path, target: Path, tick: Tick, how: tuple[str, str, str | None]) -> tuple[int, int]:
    """(lines, lost characters) of a file read by `how`: encoding, errors, newline. Nothing is
    written for what is plain."""
    size, lines, lost, end, open_line = path.stat().st_size, 0, 0, "\n", 0
    encoding, errors, newline = how
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline=newline) as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        while text := source.read(_CHUNK):
            if "\x00" in text:
                raise _no_text(path)
            open_line = open_line + len(text) if "\n" not in text else len(text) - text.rindex("\n")
            if open_line > _LONGEST_LINE:
                raise _too_long_a_line(path)
            lines, end = lines + text.count("\n"), text[-1]
            lost += _lost(text) if errors == "replace" else 0
            if how != _PLAIN:
                copy.write(text)
            tick(raw.tell(), size)
    return lines + (end != "\n"), lost


def _too_long_a_line(path: Path) -> Malformed:
    return Malformed(
        N_("{file} has a line of more than {limit} characters"),
        do=N_("export the table again, one row a line"),
        file=path,
        limit=_LONGEST_LINE,
        code="TOO_LARGE",
    )


def _no_text(path: Path) -> Malformed:
    return Malformed(
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
