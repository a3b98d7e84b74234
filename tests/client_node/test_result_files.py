"""Files of results: what a spreadsheet opens is text and numbers, never a formula, and our own readers
get back what was written."""

import csv
import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from client_node.data.tables import tables_of
from client_node.data.validation import clean
from client_node.serving.result_files import write_result
from engine.ensemble import ResultLine

NAMES = [
    "=1+1",
    "+1",
    "-5",
    "-x",
    "@SUM(A1)",
    " =1",
    "'=1",
    "'x",
    "''",
    '=cmd|"/c"!A1',
    "x;=1+1",
    'a"b',
    "a,b",
    "K-1",
    "http://a.example",
    "file:///c",
    "001",
    "1e5",
    "＝1",
    "\u3000=1",
]
TORN = ["\t=1", "\r=1", "\n=1", "a\n=1"]  # control characters are shown as their numbers
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def written(folder, kind, names=NAMES):
    lines = [ResultLine(name, {"probability": -0.25}, (("=bad", -1.5),)) for name in names]
    result = SimpleNamespace(all_lines=lambda: lines, total=None, ahead=(), note="", receipt_id="R1")
    path = folder / f"out.{kind}"
    write_result(result, path)
    return path


def again(path):
    """The file as our own reader sees it."""
    [table] = tables_of(path)
    heading, names = table.headings()[0]
    return clean(table.read(names, heading))


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_our_own_readers_get_back_every_name_and_number(tmp_path, kind):
    read = again(written(tmp_path, kind))
    assert read["id"].to_list() == [name.replace("＝", "=") for name in NAMES]  # full width is read as plain
    assert read["probability"].cast(pl.Float64).to_list() == [-0.25] * len(NAMES)
    assert read["weight_1"].cast(pl.Float64).to_list() == [-1.5] * len(NAMES)


def test_no_text_in_a_csv_begins_a_formula_and_negative_numbers_are_numbers(tmp_path):
    text = written(tmp_path, "csv", NAMES + TORN).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row in rows:
        assert not row["id"].startswith(FORMULA) and not row["reason_1"].startswith(FORMULA)
        assert float(row["probability"]) == -0.25 and float(row["weight_1"]) == -1.5


def test_a_csv_that_is_split_at_semicolons_begins_no_formula_either(tmp_path):
    """Spreadsheets of some countries expect them: then a line is one cell, as long as it
    begins with a quotation mark."""
    text = written(tmp_path, "csv").read_text(encoding="utf-8-sig")
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=";"):
        assert not any(cell.startswith(FORMULA) for cell in row), row


def test_text_in_a_workbook_is_text_without_formulas_or_links(tmp_path):
    path = written(tmp_path, "xlsx")
    with zipfile.ZipFile(path) as packed:
        [sheet] = [name for name in packed.namelist() if "worksheets/sheet" in name and name.endswith(".xml")]
        xml = packed.read(sheet).decode()
        assert "<f>" not in xml and "<hyperlink" not in xml and "-0.25" in xml
    names = pl.read_excel(path)["id"].to_list()
    assert "=1+1" in names and "-5" in names, "no mark is needed where text is text"
    assert Path(path).suffix == ".xlsx"
