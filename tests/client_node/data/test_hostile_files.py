"""Files of a few kilobytes that make their readers abort, ask for terabytes or never end: named to
the member, and survived."""

import sqlite3
import sys
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest

from client_node.data import apart
from client_node.data.tables import Table, tables_of
from contracts.errors import Malformed
from strangers import memory_mb

SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
    'Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="r2" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" '
    'Target="sharedStrings.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
}
CELL = '<c t="inlineStr"><is><t>x</t></is></c>'


def workbook(path, rows, strings=""):
    """An XLSX file of these rows, as XML."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in PARTS.items():
            packed.writestr(name, text)
        packed.writestr("xl/sharedStrings.xml", strings or "<sst/>")
        with packed.open("xl/worksheets/sheet1.xml", "w") as part:
            before, after = SHEET.split("{}")
            for text in (before, *rows, after):
                part.write(text.encode())


def far_off(path):
    workbook(
        path, ['<row><c r="XFD1" t="inlineStr"><is><t>x</t></is></c></row>', *[f"<row>{CELL}</row>" * 1000] * 1048]
    )


def bomb(path):
    workbook(path, [" " * 2**20] * 700)


def shared_strings(path):
    strings = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="4000000000" '
        'uniqueCount="4000000000"><si><t>a</t></si></sst>'
    )
    workbook(path, [f"<row>{CELL}</row>"], strings)


def deep(path):
    workbook(path, ["<row><c><is>" + "<r>" * 2_000_000])


def rows_of_one_value(path):
    text = pl.Series("a", ["y" * 4000], dtype=pl.String)
    pl.select(text.new_from_index(0, 3_000_000)).write_parquet(path, statistics=False)


def blobs(path):
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE VIEW t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20) "
            "SELECT hex(zeroblob(450000000)) AS a FROM n"
        )
    made.close()


def endless(path):
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE VIEW t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT max(i) AS a FROM n"
        )
    made.close()


def one_line(path):
    path.write_bytes(b"a,b\n" + b"x" * (40 * 2**20) + b",1\n")


def many_headings(path):
    path.write_bytes(b"a" + b"," * 200_000 + b"b\n" + b"1,2\n")


HOSTILE = [
    (far_off, "far.xlsx"),
    (bomb, "bomb.xlsx"),
    (shared_strings, "strings.xlsx"),
    (deep, "deep.xlsx"),
    (rows_of_one_value, "rows.parquet"),
    (blobs, "blobs.sqlite"),
    (endless, "endless.sqlite"),
    (one_line, "line.csv"),
    (many_headings, "headings.csv"),
]


def read(path):
    """Everything that a member's table is made of."""
    for table in tables_of(path):
        heading, names = table.headings()[0]
        table.read([name for name in names if name][:2], heading)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("make", "name"), HOSTILE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_file_that_makes_its_reader_fail_is_named_and_survived(tmp_path, monkeypatch, make, name):
    monkeypatch.setattr(apart, "READ_S", 40 if make is not endless else 3)
    path = tmp_path / name
    make(path)
    before, began = memory_mb("self"), time.monotonic()
    try:
        read(path)
    except Malformed as error:
        assert name in " ".join(error.lines(str))
    else:
        assert make in (shared_strings, deep, rows_of_one_value), "the reader is not impressed by these"
    assert time.monotonic() - began < 90
    assert memory_mb("self") - before < 400


def test_after_a_file_that_failed_the_next_one_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "READ_S", 3)
    endless(tmp_path / "endless.sqlite")
    with pytest.raises(Malformed) as caught:
        read(tmp_path / "endless.sqlite")
    assert caught.value.lines(str)[1] == "it took more than 3 seconds"
    with sqlite3.connect(tmp_path / "good.sqlite") as made:
        made.execute("CREATE TABLE t AS SELECT 7 AS a")
    made.close()
    assert Table(tmp_path / "good.sqlite", "t").read(["a"], 1)["a"].to_list() == ["7"]


def test_the_process_apart_ends_when_nothing_is_read(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    reader = apart.ReaderApart()
    assert reader.call("columns", tmp_path / "a.parquet") == ["a"]
    pid = reader._process.pid
    reader.end()
    assert not Path(f"/proc/{pid}").exists()
