"""Days, money and identifiers: one table of cases, read by every reader. `[rule]` is the sentence
that names what is not read."""

import csv
import sqlite3
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import xlsxwriter

from client_node.data.reading import amount_of, amounts, day_of, days
from client_node.data.tables import Table
from client_node.data.validation import Checker, Columns, clean

HEAD = "值"
WHERE = Path(__file__).with_name("reading_cases.csv")


def cases():
    """(kind, reader, [(raw, read)]) of the table, one group a file."""
    groups = {}
    with WHERE.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(line for line in file if not line.startswith("# "))
        for row in lines:
            readers = ("csv", "gb18030", "xlsx", "parquet", "sqlite") if row["reader"] == "text" else (row["reader"],)
            for reader in readers:
                groups.setdefault((row["kind"], reader), []).append((row["raw"], row["read"]))
    return [(kind, reader, held) for (kind, reader), held in groups.items()]


def typed(raw, what):
    """The value of a cell that is no text."""
    made = {"float": float, "real": float, "int": int, "date": date.fromisoformat, "decimal": Decimal}
    if what in made:
        return made[what](raw)
    at = datetime.fromisoformat(raw)
    return at if what == "local" else at.replace(tzinfo=ZoneInfo(what))


def write_csv(path, raws, what):
    with path.open("w", encoding=what or "utf-8", newline="") as file:
        csv.writer(file).writerows([[HEAD, "备注"], *([raw, "x"] for raw in raws)])


def write_xlsx(path, raws, what, is_1904=False):
    with xlsxwriter.Workbook(path, {"date_1904": is_1904}) as book:
        sheet = book.add_worksheet()
        sheet.write_string(0, 0, HEAD)
        shown = book.add_format()
        shown.set_num_format(int(what or 0))
        for row, raw in enumerate(raws, 1):
            if what:
                sheet.write_number(row, 0, float(raw), shown)
            else:
                sheet.write_string(row, 0, raw)


def write_parquet(path, raws, what):
    kinds = {"decimal": pl.Decimal(18, 2)}
    pl.DataFrame(
        {HEAD: [typed(raw, what) if what else raw for raw in raws]}, schema={HEAD: kinds.get(what)}
    ).write_parquet(path)


def write_sqlite(path, raws, what):
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE 表 ({HEAD})")
        connection.executemany("INSERT INTO 表 VALUES (?)", [(typed(raw, what) if what else raw,) for raw in raws])


def table_of(folder, reader, raws):
    kind, _, what = reader.partition(":")
    if kind in ("csv", "gb18030"):
        write_csv(folder / "a.csv", raws, "gb18030" if kind == "gb18030" else "")
        return Table(folder / "a.csv")
    if kind == "sqlite":
        write_sqlite(folder / "a.db", raws, what)
        return Table(folder / "a.db", "表")
    if kind == "parquet":
        write_parquet(folder / "a.parquet", raws, what)
        return Table(folder / "a.parquet")
    write_xlsx(folder / "a.xlsx", raws, what, kind == "xlsx1904")
    return Table(folder / "a.xlsx", "Sheet1")


@pytest.mark.parametrize(("kind", "reader", "held"), [pytest.param(*one, id="-".join(one[:2])) for one in cases()])
def test_a_cell_means_the_same_in_every_reader(tmp_path, kind, reader, held):
    if reader == "gb18030":  # signs that this encoding lacks cannot stand in such a file
        held = [(raw, read) for raw, read in held if raw.encode("gb18030", "ignore").decode("gb18030") == raw]
    table = table_of(tmp_path, reader, [raw for raw, _read in held])
    columns = Columns({"value": kind}, {"value": HEAD}, start=table.first_day())
    checked = Checker("a", 1, columns, date(2099, 1, 1)).check(table.read([HEAD], 1).rename({HEAD: "value"}))
    values = dict(checked.frame.rows())
    faults = {finding.row: f"[{finding.rule}]" for finding in checked.findings}
    found = [(raw, faults.get(row) or _said(kind, values[row])) for row, (raw, _read) in enumerate(held, 2)]
    assert found == [(raw, read if read.startswith("[") else _said(kind, read)) for raw, read in held]
    assert len(values) + len(faults) == len(held), "each cell is read, or named once"


def test_what_is_read_all_at_once_is_what_is_read_one_by_one():
    with WHERE.open(encoding="utf-8", newline="") as file:
        raws = [row["raw"] for row in csv.DictReader(line for line in file if not line.startswith("# "))]
    raws += [
        "2025-02-30 10:00",
        "2025/13/01",
        "2025-03-05 24:00",
        "2025-03-05 10:60",
        "2025-3/5",
        "1,000",
        "-1,000.5",
        "1,00",
    ]
    texts = clean(pl.DataFrame({"cell": raws}))["cell"]
    assert days(texts).to_list() == [day_of(text) for text in texts]
    one_by_one = [amount_of(text) for text in texts]
    assert [a for a, text in zip(amounts(texts), texts, strict=True) if "e" not in text.lower()] == [
        a for a, text in zip(one_by_one, texts, strict=True) if "e" not in text.lower()
    ], "but for exponents, which the quick way reads alone"


def _said(kind, value):
    return float(value) if kind == "amount" else str(value)
