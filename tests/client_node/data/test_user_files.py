"""Files as people really keep them: titles, totals, torn lines, workbooks that unpack to too
much; every fault is named."""

import json
import os
import sqlite3
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from client_node.commands.data import before_joining, write_map
from client_node.data import formats, member_table
from client_node.data.mapping import FILE, data_map
from client_node.data.member_table import read_table
from client_node.data.scored_rows import read_rows
from client_node.data.suggestions import closing_day, suggest, to_toml
from client_node.data.tables import tables_in, tables_of
from client_node.data.text import BEYOND, UNCLOSED
from client_node.home import create_home
from contracts.errors import Malformed, Unavailable
from engine.table import Column, TableSchema, shipped

RISK, DEMAND = shipped("engine.risk"), shipped("engine.demand")
KEY, SECRET = b"this node's own key", "泄密"
START = date(2023, 1, 5)


def decide(home, folder, schemas=(RISK, DEMAND)):
    found = [suggest(folder, schema) for schema in schemas]
    (home / FILE).write_text(to_toml(found, list(schemas)), encoding="utf-8")
    return found


class Planted:
    """A table under construction: rows, and for each planted fault (place, row, column, rule)."""

    def __init__(self, place, above):
        self.place, self.rows, self.faults, self._above = place, [], [], above

    def add(self, row, column=None, rule=None):
        self.rows.append(row)
        if rule:
            self.faults.append((self.place, self._above + len(self.rows), column, rule))


def invoices(path):
    """A sheet whose first row is empty, with a title, merged headings, faults and a total."""
    table = Planted("应收.xlsx:应收明细", 4)

    def one(number, customer="K1", issued="2024-03-05", due="2024-05-04", amount="1000"):
        return [number, "专票", customer, "某公司", issued, due, amount]

    for k in range(60):
        day = START + timedelta(days=11 * k)
        table.add(one(f"A{k:03d}", f"K{k % 7}", str(day), str(day + timedelta(days=60)), str(1000 + k)))
    for at, amount in enumerate((f"{SECRET}五万", "1.234,50", "12,34", "1O00.5", "1,23,456")):
        table.add(one(f"B{at}", amount=amount), "价税合计", "not-a-number")
    table.add(one("B5", amount="320000000000000"), "价税合计", "too-large")
    table.add(one("B6", customer="NULL"), "客户编码", "placeholder")
    table.add(one("B7", customer="\u3000\u3000"), "客户编码", "empty")
    table.add(one("B8", customer=f"K9\ufffd{SECRET}"), "客户编码", "damaged")
    table.add(one("B9", due="9999-12-31"), "到期日", "deadline-far-off")
    table.add(one("C0", due="2024-02-30"), "到期日", "not-a-date")
    table.add(one("C1", issued="5/3/2024"), "开票日期", "not-a-date")
    table.add(one("C2", issued="5-3-2024"), "开票日期", "not-a-date")
    table.add(one("C3", issued="24-03-05"), "开票日期", "date-out-of-range")
    table.add(one("C4", issued="2999-03-05", due="2999-05-05"), "开票日期", "date-out-of-range")
    table.faults.append((*table.faults[-1][:2], "到期日", "deadline-far-off"))
    table.add(one("C5", due="2024-01-01"), "到期日", "due-before-issued")
    table.add(one("A000", "K0", str(START), str(START + timedelta(days=60)), "1000"), "单据号码", "repeated")
    table.add(one("A001", amount="7777"), "单据号码", "conflicting")
    table.add(["号码", "类型", "编码", "名称", "开票日期", "到期日", "价税合计"], "*", "not-a-row")
    table.add(["合 计", "", "", "", "", "", "99999"], "*", "not-a-row")
    table.add([])
    table.add(one("2.5312E+19"), "单据号码", "damaged")
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("应收明细")
        sheet.merge_range(1, 0, 1, 6, "应收账款明细表")
        for first, text in ((0, "单据"), (2, "客户"), (4, "日期")):
            sheet.merge_range(2, first, 2, first + 1, text)
        sheet.write(2, 6, "金额")
        sheet.write_row(3, 0, ["号码", "类型", "编码", "名称", "开票日期", "到期日", "价税合计"])
        for at, row in enumerate(table.rows, 4):
            sheet.write_row(at, 0, row)
    return table.faults


def payments(path):
    table = Planted("收款单.csv", 1)
    for k in range(60):
        table.add(f'SK{k},{date(2023, 3, 1) + timedelta(days=11 * k)},A{k:03d},"{1000 + k:,}.00",货款')
    table.add(f"SK90,2024-05-01,Z77{SECRET},5,x", "核销单据号", "unknown-document")
    table.add("SK91,2024-05-01,A001,1,234.50,货款", "*", "more-cells")
    table.add('SK92,2024-05-01,A002,"5000,货款', "*", "unclosed")
    table.add("SK93,2024-05-01,A003", "收款金额", "empty")
    table.add("SK94,0000-00-00,A004,5,x", "单据日期", "not-a-date")
    table.add("SK95,1900-01-01,A005,5,x", "单据日期", "date-out-of-range")
    table.add("SK96,2024-05-01,A006,-,x", "收款金额", "not-a-number")
    table.add("SK98,2024-05-01,2.0E+11,5,x", "核销单据号", "damaged")
    table.add("SK99,2099-05-01,A008,5,x", "单据日期", "date-out-of-range")
    table.add('SK00,2024-05-01,A009,5 2",x', "收款金额", "not-a-number")
    text = "单据编号,单据日期,核销单据号,收款金额,摘要\n" + "".join(f"{row}\n" for row in table.rows)
    path.write_text(text, encoding="gb18030")
    return table.faults


def sales(path):
    table = Planted("销售出库.csv", 3)
    for k in range(80):
        table.add(f"CK{k},P{k % 3},{date(2023, 1, 3) + timedelta(days=9 * k)},{100 + k}")
    table.add("CK79,P1,2024-12-14,179", "出库单号", "repeated")
    table.add("CK81,未知,2024-06-01,100", "存货编码", "placeholder")
    table.add('CK82,"P\n1",2024-06-01,100', "存货编码", "damaged")
    table.add("CK83,P1,2024年6月31日,100", "出库日期", "not-a-date")
    table.add("CK85,P1,2024-06-01,￥10块", "无税金额", "not-a-number")
    table.add("出库单号,存货编码,出库日期,无税金额", "*", "not-a-row")
    heading = "销售出库明细表,,,\n制表人：张三,,,\n出库单号,存货编码,出库日期,无税金额\n"
    path.write_text(heading + "".join(f"{row}\n" for row in table.rows), encoding="utf-8")
    return table.faults


def test_thirty_eight_faults_of_three_files_are_each_named_and_nothing_of_them_is_kept(home, data):
    planted = [*invoices(data / "应收.xlsx"), *payments(data / "收款单.csv"), *sales(data / "销售出库.csv")]
    found = decide(home, data)
    assert closing_day(found) == date(2024, 12, 14), "the last day that is not a slip of the pen"
    risk, demand = (read_table(data, schema, key=KEY, home=home) for schema in (RISK, DEMAND))
    findings = risk.findings + demand.findings
    assert len(planted) == 38
    assert sorted((f.place, f.row, f.column, f.rule) for f in findings) == sorted(planted)
    assert risk.training.height > 5 and set(demand.names.values()) == {"P0", "P1", "P2"}
    kept = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert SECRET not in repr(findings) and not any(SECRET.encode() in held for held in kept)
    assert set(risk.names.values()) == {f"K{k}" for k in range(7)}, "no customer comes from a faulty row alone"


def test_before_a_member_joins_it_is_told_what_it_would_join_with(tmp_path, data, capsys):
    invoices(data / "应收.xlsx"), payments(data / "收款单.csv")
    settings = create_home(tmp_path / "node", data)
    write_map(settings, [RISK])
    before_joining(settings.home)
    said = capsys.readouterr().out
    assert "demand" in said and "sales" in said, "what is missing is said, and stops nothing"
    assert "32 " in said and SECRET not in said and "[U+" not in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_text_table_below_a_title_is_read_whatever_its_encoding_and_separator(data, encoding, separator):
    rows = [["发票号码", "客户编码", "金额"], ["A1", "K1", "5"], ["A2", "K2", "6"]]
    text = "应收明细\n\n" + "".join(separator.join(row) + "\r\n" for row in rows)
    (data / "a.txt").write_text(text, encoding=encoding, newline="")
    [table] = tables_in(data)
    assert (3, rows[0]) in table.headings()
    assert table.read(["金额", "发票号码"], 3).rows() == [("5", "A1"), ("6", "A2")]


def test_quotation_marks_that_do_not_fit_cost_their_own_line_and_no_other(data):
    lines = ['1,2 3/4" 法兰,x', '2,"大"号,x', '3,"open,x', "4,b,x", '5,"a\nb",x', '6,"end"",x', "7,,", "8,a,b,c"]
    (data / "a.csv").write_text("id,text,more\n" + "\n".join(lines), encoding="utf-8")
    [table] = tables_in(data)
    frame = table.read(["id", "text"], 1)
    assert frame["id"].to_list() == list("12345678")
    assert frame["text"].to_list()[3:5] == ["b", "a\nb"]
    assert [cell or None for cell in frame[BEYOND]] == [None, None, UNCLOSED, None, None, UNCLOSED, None, "c"]


def test_a_lost_character_does_not_turn_a_whole_file_into_another_encoding(data):
    body = "".join(f"A{i},客户{i}\n" for i in range(300))
    (data / "a.csv").write_bytes(("单据,客户\n" + body).encode() + b"A9,\xe5\xae\n")
    (data / "b.csv").write_bytes(("单据,客户\n" + body).encode("gb18030") + b"A9,\xff\n")
    for table in tables_in(data):
        read = table.read(["单据", "客户"], 1)
        assert read["客户"][299] == "客户299" and "\ufffd" in read["客户"][300]


def test_columns_of_one_name_go_by_the_heading_above_them_and_by_number(data):
    with xlsxwriter.Workbook(data / "a.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.merge_range(0, 0, 0, 1, "客户"), sheet.merge_range(0, 2, 0, 3, "存货"), sheet.write(0, 4, "本币")
        sheet.write_row(1, 0, ["编码", "名称", "编码", "名称", "金额", "金额"])
        sheet.write_row(2, 0, ["K1", "某公司", "P1", "法兰", 1, 2])
    [table] = tables_in(data)
    names = dict(table.headings())[2]
    assert names == ["客户编码", "客户名称", "存货编码", "存货名称", "本币金额", "本币金额 (2)"]
    assert table.read(["存货编码", "本币金额 (2)"], 2).rows() == [("P1", "2")]


def test_rows_of_a_sheet_count_as_the_spreadsheet_shows_them(data):
    with xlsxwriter.Workbook(data / "a.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(2, 1, ["编号", "日期"])
        sheet.write_row(5, 1, ["A1"]), sheet.write_datetime(5, 2, datetime(2025, 1, 31, 8, 30, 0, 500_000))
    [table] = tables_in(data)
    assert (3, ["编号", "日期"]) in table.headings()
    assert table.read(["编号"], 3)["编号"].to_list() == [None, None, "A1"]


def test_the_open_copy_of_a_workbook_and_hidden_files_are_no_tables(data):
    (data / "~$应收.xlsx").write_bytes(b"held by an office program")
    (data / ".hidden.csv").write_bytes(b"\x00")
    assert tables_in(data) == []


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2025-01-31 00:00:00.000", "2025-01-31"),
        ("2025-01-31T08:30:00+08:00", "2025-01-31"),
        ("2025/1/31 8:30", "2025-01-31"),
        ("２０２５－０１－３１", "2025-01-31"),
    ],
)
def test_days_with_a_time_or_in_full_width_are_days(home, data, text, same):
    for name, day in (("a", text), ("b", same)):
        (data / "出库明细.csv").write_text(
            f"单据号,产品编码,出库日期,无税金额\n1,P1,2025-01-02,1\n2,'P1,{day},５\n", encoding="utf-8"
        )
        decide(home, data, [DEMAND])
        table = read_table(data, DEMAND, key=KEY, home=home)
        assert not table.findings and list(table.names.values()) == ["P1"], name
        assert table.training.select("period", "sales").rows() == [("2025-01", 6.0)]


def bomb(path, sheet, parts=1):
    """A workbook whose sheet is `sheet`, written so many times over."""
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("一").write(0, 0, "编号")
    with zipfile.ZipFile(path) as small:
        held = {name: small.read(name) for name in small.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as large:
        for name, content in held.items():
            with large.open(name, "w") as part:
                for block in [sheet] * parts if name == "xl/worksheets/sheet1.xml" else [content]:
                    part.write(block)


FAR = (
    b'<worksheet><sheetData><row r="1"><c r="A1"><v>1</v></c><c '
    b'r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
)


@pytest.mark.parametrize(("sheet", "parts"), [(bytes(2**20), 600), (FAR, 1)], ids=["bytes", "cells"])
def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(data, sheet, parts):
    path = data / "clients.xlsx"
    bomb(path, sheet, parts)
    assert path.stat().st_size < 2**21
    for read in (tables_of, lambda path: read_rows(path, RISK)):
        with pytest.raises(Malformed, match="unpacks to more than is read") as caught:
            read(path)
        assert caught.value.code == "TOO_LARGE" and all(caught.value.lines())


def test_what_a_workbook_says_of_its_own_size_is_not_believed(data, monkeypatch):
    monkeypatch.setattr(formats, "MOST_UNPACKED", 2**16)
    path = data / "a.xlsx"
    bomb(path, bytes(2**20))
    content = path.read_bytes().replace((2**20).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(Malformed):
        formats.sheet_names(path)


def test_a_table_of_too_many_rows_is_refused_before_it_is_unpacked(data, monkeypatch):
    rows = {c.name: ["K1", "K2", "K3"] if c.kind == "id" else [0.5] * 3 for c in RISK.columns if c.kind != "label"}
    pl.DataFrame(rows).write_parquet(data / "a.parquet"), pl.DataFrame(rows).write_csv(data / "b.csv")
    for name in ("a.parquet", "b.csv"):
        assert read_rows(data / name, RISK).frame.height == 3
    monkeypatch.setattr("client_node.data.scored_rows.MOST_SCORED", 2)
    for name in ("a.parquet", "b.csv"):
        with pytest.raises(Malformed, match=f"{name} is too long"):
            read_rows(data / name, RISK)
    monkeypatch.setattr(formats, "MOST_ROWS", 2)
    with pytest.raises(Malformed, match=r"a\.parquet is too long"):
        formats.columns(data / "a.parquet")


def test_a_map_that_names_what_is_not_there_says_which_headings_there_are(home, data):
    (data / "出库明细.csv").write_text("单据号,产品编码,出库日期,无税金额\n1,P1,2025-01-05,5\n", encoding="utf-8")
    with sqlite3.connect(data / "业务.db") as connection:
        connection.execute("CREATE TABLE 出库 (单据号, 产品编码, 出库日期, 无税金额)")
    decide(home, data, [DEMAND])
    said = (home / FILE).read_text(encoding="utf-8")
    wrong = [
        (said.replace('"产品编码"', '"货品"'), "no heading 货品 in row 1", "单据号, 产品编码"),
        (said.replace("heading = 1", "heading = 30"), "in row 30", "-"),
        (said.replace('"出库明细.csv"', '"业务.db"').replace('"产品编码"', '"货品"'), "no heading 货品", "单据号"),
        (said.replace('series = "产品编码"', ""), "does not say yet what series of", "no heading was recognised"),
        (said.replace('file = "出库明细.csv"', 'file = ""'), "does not say yet what file of", "recognised"),
        (said.replace("heading = 1", 'heading = "one"'), "wrong at sales", "heading = 1"),
    ]
    for text, what, why in wrong:
        (home / FILE).write_text(text, encoding="utf-8")
        with pytest.raises(Malformed) as caught:
            read_table(data, DEMAND, key=KEY, home=home)
        lines = caught.value.lines()
        assert what in lines[0] and why in lines[1] and lines[2]
    (home / FILE).write_text(said.replace("出库明细.csv", "没有.csv"), encoding="utf-8")
    with pytest.raises(Unavailable, match="there is no file"):
        data_map(data, home, DEMAND)


def test_one_task_without_days_does_not_move_the_closing_day_of_another(home, data):
    (data / "发票.csv").write_text(
        "发票号,客户编码,开票日期,到期日,金额\n1,K1,2024-01-05,2024-03-05,5\n", encoding="utf-8"
    )
    assert closing_day(decide(home, data)) == date(2024, 1, 5)


HEAD = "单据号,产品编码,出库日期,无税金额\n"


def test_exports_year_by_year_are_one_table_and_others_are_only_named(home, data, capsys):
    (data / "出库明细2024.csv").write_text(HEAD + "1,P1,2024-01-02,5\n2,P1,2024-02-05,x\n", encoding="utf-8")
    (data / "出库明细2025.csv").write_text(HEAD + "1,P1,2024-01-02,5\n3,P1,2025-01-31,7\n,P1,2025-01-05,1\n", "gb18030")
    (data / "出库明细(作废).csv").write_text(HEAD + "9,P1,2024-03-02,5\n", encoding="utf-8")
    [found] = decide(home, data, [DEMAND])
    assert 'more = ["出库明细2025.csv"]' in (home / FILE).read_text(encoding="utf-8")
    assert found.others == {"sales": "出库明细(作废).csv"}
    table = read_table(data, DEMAND, key=KEY, home=home)
    assert [(f.place, f.row, f.rule) for f in table.findings] == [
        ("出库明细2024.csv", 3, "not-a-number"),
        ("出库明细2025.csv", 2, "repeated"),
        ("出库明细2025.csv", 4, "empty"),
    ]
    assert table.training["period"].to_list()[::12] == ["2024-01", "2025-01"]
    assert table.training["sales"].sum() == 12
    (data / "出库明细2025.csv").write_text(HEAD + "3,P1,2025-01-31,8\n", encoding="utf-8")
    assert read_table(data, DEMAND, key=KEY, home=home).training["sales"].sum() == 13, "a change of either file counts"
    said = (home / FILE).read_text(encoding="utf-8")
    for wrong, error in (
        ('more = ["none.csv"]', Unavailable),
        ("more = [1]", Malformed),
        ('more = "a.csv"', Malformed),
    ):
        (home / FILE).write_text(said.replace('more = ["出库明细2025.csv"]', wrong), encoding="utf-8")
        with pytest.raises(error):
            read_table(data, DEMAND, key=KEY, home=home)


def test_sheets_month_by_month_are_one_table(home, data):
    with xlsxwriter.Workbook(data / "出库.xlsx") as book:
        for month in (1, 2, 3):
            sheet = book.add_worksheet(f"{month}月")
            sheet.write_row(0, 0, HEAD.strip().split(","))
            sheet.write_row(1, 0, [f"A{month}", "P1", f"2025-0{month}-01", 5 if month < 3 else "five"])
        book.add_worksheet("说明").write(0, 0, "出库")
    decide(home, data, [DEMAND])
    table = read_table(data, DEMAND, key=KEY, home=home)
    assert [(f.place, f.row) for f in table.findings] == [("出库.xlsx:3月", 2)]
    assert 'more = ["出库.xlsx:2月", "出库.xlsx:3月"]' in (home / FILE).read_text(encoding="utf-8")


def test_a_table_of_numbers_alone_is_checked_too(data):
    columns = tuple(Column(name=name, kind="number") for name in ("a", "b"))
    schema = TableSchema(
        format="mengbang-table/1", task="risk", dataset="rows", file="rows.csv", unit="row", purpose="research",
        row_meaning="a row", max_units=9, max_rows_per_unit=1, columns=columns,
    )  # fmt: skip
    (data / "rows.csv").write_text("a,b\n1,2\n1,x\na,b\n", encoding="utf-8")
    checked = read_rows(data / "rows.csv", schema)
    assert [(f.row, f.rule) for f in checked.findings] == [(4, "not-a-row"), (3, "not-a-number")]


def test_files_that_cannot_be_read_are_named_and_do_not_stand_in_the_way_of_others(tmp_path, data, run_command):
    (data / "出库明细.csv").write_text("单据号,产品编码,出库日期,无税金额\n1,P1,2025-01-05,5\n", encoding="utf-8")
    (data / "网页.xls").write_bytes(b"<html>an export that is none</html>")
    (data / "图.txt").write_bytes(bytes(9))

    def init(folder):
        words = ("init", "--data", folder, "--home", tmp_path / "node", "--lang", "en")
        done = run_command("client_node", *map(str, words))
        return done.returncode, done.stdout + done.stderr

    code, said = init(tmp_path / "none")
    assert code == 2 and "there is no folder" in said and not (tmp_path / "node").exists(), "nothing was made yet"
    code, said = init(data)
    assert code == 0 and "sales: 出库明细.csv, 4 fields" in said
    assert said.count("left aside: ") == 2 and "网页.xls is not a table" in said and "图.txt is neither" in said


@pytest.mark.parametrize(
    ("percent", "sound"), [("13", True), ("0", True), ("0.13", False), ("-1", False), ("x", False)]
)
def test_a_tax_is_written_in_per_cent(home, data, percent, sound):
    (data / "出库明细.csv").write_text("单据号,产品编码,出库日期,含税金额\n1,P1,2025-01-31,113\n", encoding="utf-8")
    decide(home, data, [DEMAND])
    said = (home / FILE).read_text(encoding="utf-8").replace('tax_percent = "13"', f'tax_percent = "{percent}"')
    (home / FILE).write_text(said, encoding="utf-8")
    if sound:
        data_map(data, home, DEMAND)
    else:
        with pytest.raises(Malformed, match=r"wrong at sales\.sold"):
            data_map(data, home, DEMAND)


def test_the_sheet_that_fits_is_scored_wherever_it_stands_in_the_workbook(data):
    names = [column.aliases[0] for column in RISK.columns if column.kind in ("id", "number")]
    with xlsxwriter.Workbook(data / "a.xlsx") as book:
        book.add_worksheet("封面").write(0, 0, "意向客户评估")
        book.add_worksheet("空")
        sheet = book.add_worksheet("数据")
        sheet.write_row(0, 0, ["说明", *names])
        sheet.write_row(1, 0, ["", "K1", 12, 5, 0.1, 3, 1, 0.2, 1]), sheet.write_row(2, 0, ["", "K2", "x"])
    checked = read_rows(data / "a.xlsx", RISK)
    assert checked.frame["counterparty"].to_list() == ["K1"]
    assert {(f.place, f.row) for f in checked.findings} == {("a.xlsx:数据", 3)}


def test_a_kept_table_is_made_anew_by_newer_code(home, data, monkeypatch):
    (data / "出库明细.csv").write_text("单据号,产品编码,出库日期,无税金额\n1,P1,2025-01-05,5\n", encoding="utf-8")
    decide(home, data, [DEMAND])
    read_table(data, DEMAND, key=KEY, home=home)
    [kept] = (home / "tables" / DEMAND.dataset).iterdir()
    about = json.loads((kept / "about.json").read_text(encoding="utf-8"))
    (kept / "about.json").write_text(json.dumps(about | {"names": {"old": "old"}}), encoding="utf-8")
    assert read_table(data, DEMAND, key=KEY, home=home).names == {"old": "old"}
    monkeypatch.setattr("client_node.data.member_table._code", lambda: "another")
    assert read_table(data, DEMAND, key=KEY, home=home).names != {"old": "old"}


def test_every_file_of_the_room_counts_as_the_code_that_made_a_kept_table(monkeypatch):
    told = []
    monkeypatch.setattr(member_table, "digest", lambda data: told.append(data) or "sha256:")
    member_table._code.__wrapped__()
    assert {path.read_bytes() for path in Path(member_table.__file__).parent.glob("*.py")} <= set(told)


def test_what_another_process_is_just_writing_is_left_alone_and_what_it_takes_away_is_made_anew(home, data):
    (data / "出库明细.csv").write_text("单据号,产品编码,出库日期,无税金额\n1,P1,2025-01-05,5\n", encoding="utf-8")
    decide(home, data, [DEMAND])
    folder = home / "tables" / DEMAND.dataset
    for name in ("new-fresh", "new-left-behind", "older"):
        (folder / name).mkdir(parents=True)
    os.utime(folder / "new-left-behind", (0, 0))
    first = read_table(data, DEMAND, key=KEY, home=home)
    assert [path.name for path in folder.iterdir() if path.name in ("new-left-behind", "older")] == []
    assert (folder / "new-fresh").is_dir()
    [kept] = (path for path in folder.iterdir() if path.name != "new-fresh")
    (kept / "present.parquet").unlink()
    assert read_table(data, DEMAND, key=KEY, home=home).names == first.names
