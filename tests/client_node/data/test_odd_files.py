"""Files of a stranger: old line ends, titles that name a unit, hidden sheets, months that there
are not, slips in data.toml."""

import json
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import xlsxwriter

from client_node.commands.data import write_map
from client_node.data.mapping import FILE, data_map
from client_node.data.member_table import read_table
from client_node.data.scored_rows import frame_of
from client_node.data.suggestions import suggest, to_toml
from client_node.data.tables import Table
from client_node.data.validation import TableFault
from client_node.home import create_home
from contracts.errors import Malformed
from engine.demand.offers import read as read_offers
from engine.table import shipped
from shell.language import translator

RISK, DEMAND, WARNING = (shipped(f"engine.{name}") for name in ("risk", "demand", "warning"))
KEY, SECRET = b"this node's own key", "泄密"
HEAD = ("单据号", "产品编码", "出库日期", "无税金额")
LINES = [("1", "P1", "2025-01-02", "5"), ("2", "P1", "2025-02-05", "6"), ("3", "P2", "2025-02-28", "7")]


def decide(home, data, schema=DEMAND):
    found = suggest(data, schema)
    (home / FILE).write_text(to_toml([found], [schema]), encoding="utf-8")
    return found


def read(home, data, schema=DEMAND):
    return read_table(data, schema, key=KEY, home=home)


def text(rows, separator=",", end="\n"):
    return "".join(separator.join(row) + end for row in rows)


def sold(table):
    return table.named(table.training).rows()


PLAIN = [("P1", "2025-01", 5.0), ("P1", "2025-02", 6.0), ("P2", "2025-02", 7.0)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("many", [1, 20_000])
def test_lines_that_end_in_cr_alone_are_lines(home, data, encoding, many):
    rows = [HEAD, *LINES, *[("4", "P3", "2025-02-28", "0")] * many]
    (data / "出库明细.csv").write_text(text(rows, end="\r"), encoding=encoding, newline="")
    decide(home, data)
    table = read(home, data)
    assert sold(table)[:3] == PLAIN and len(table.findings) == many - 1


@pytest.mark.parametrize("above", ["\n", "\n\n", "\r\n", "出库明细\n\n"])
def test_empty_lines_above_the_headings_cost_no_line_below_them(home, data, above):
    (data / "出库明细.csv").write_text(above + text([HEAD, *LINES]), encoding="utf-8", newline="")
    decide(home, data)
    assert sold(read(home, data)) == PLAIN


@pytest.mark.parametrize("many", [",", ";"])
def test_amounts_and_remarks_full_of_another_separator_are_cells(home, data, many):
    remark = ("摘要", *[many.join("货款运费保险装卸")] * 3)
    rows = [(*row, more) for row, more in zip((HEAD, *LINES), remark, strict=True)]
    (data / "出库明细.txt").write_text("出库明细\n" + text(rows, "\t"), encoding="utf-8")
    decide(home, data)
    assert sold(read(home, data)) == PLAIN


@pytest.mark.parametrize(("day", "is_one"), [("2023111", False), ("20231101", True), ("2023 11 01", True)])
def test_a_day_that_may_be_two_days_is_none(home, data, day, is_one):
    (data / "出库明细.csv").write_text(text([HEAD, ("1", "P1", day, "5"), ("2", "P1", "2023-12-31", "5")]), "utf-8")
    decide(home, data)
    assert [(f.row, f.rule) for f in read(home, data).findings] == ([] if is_one else [(2, "not-a-date")])


@pytest.mark.parametrize(
    ("title", "heading", "unit"),
    [
        ("出库明细（单位：万元）", "无税金额", "万元"),
        ("金额单位：人民币千元", "无税金额", "千元"),
        ("单位:万元", "无税金额(元)", "元"),
        ("某某单位", "无税金额", "元"),
        ("", "无税金额(百万元)", "百万元"),
        ("", "无税金额(亿元)", "亿元"),
    ],
)
def test_the_unit_of_amounts_is_taken_from_the_heading_or_from_the_title_above(home, data, title, heading, unit):
    (data / "出库明细.csv").write_text(text([(title,), (*HEAD[:3], heading), *LINES]), encoding="utf-8")
    assert decide(home, data).origins["sales"].fields["sold"].unit == unit
    factor = {"元": 1, "千元": 1e3, "万元": 1e4, "百万元": 1e6, "亿元": 1e8}[unit]
    assert [row[2] for row in sold(read(home, data))] == [5 * factor, 6 * factor, 7 * factor]


def test_a_sheet_that_its_workbook_hides_comes_after_those_that_it_shows(home, data):
    with xlsxwriter.Workbook(data / "出库明细.xlsx") as book:
        for name, number in (("出库明细", "9"), ("出库", "5")):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, HEAD), sheet.write_row(1, 0, ["1", "P1", "2025-01-31", number])
            sheet.activate() if number == "5" else sheet.hide()
        book.get_worksheet_by_name("出库").set_first_sheet()
    assert decide(home, data).others == {"sales": "出库明细.xlsx:出库明细"}
    assert sold(read(home, data)) == [("P1", "2025-01", 5.0)]


def test_an_amount_with_and_without_tax_below_one_heading_is_found(home, data):
    with xlsxwriter.Workbook(data / "出库明细.xlsx") as book:
        sheet = book.add_worksheet()
        for column, name in ((0, "单据号"), (3, "出库日期")):
            sheet.merge_range(0, column, 1, column, name)
        sheet.merge_range(0, 1, 0, 2, "产品"), sheet.write_row(1, 1, ["编码", "名称"])
        sheet.merge_range(0, 4, 0, 5, "金额"), sheet.write_row(1, 4, ["不含税", "含税"])
        sheet.write_row(2, 0, ["1", "P1", "阀", "2025-01-31", 5, 6])
    fields = decide(home, data).origins["sales"].fields
    assert (fields["series"].heading, fields["sold"].heading, fields["sold"].tax_percent) == (
        "产品编码",
        "金额不含税",
        "0",
    )
    assert sold(read(home, data)) == [("P1", "2025-01", 5.0)]


def test_a_cell_of_a_database_that_is_no_text_is_a_finding_and_is_quoted_nowhere(home, data):
    with sqlite3.connect(data / "业务.db") as connection:
        connection.execute("CREATE TABLE 出库明细 (单据号, 产品编码, 出库日期, 无税金额)")
        rows = [("1", b"P1", "2025-01-31", 5), ("2", "P1", "2025-01-31", 6)]
        connection.executemany("INSERT INTO 出库明细 VALUES (?, ?, ?, ?)", rows)
        torn = f"INSERT INTO 出库明细 VALUES ('3', CAST(x'{SECRET.encode('gb18030').hex()}' AS TEXT), '2025-01-31', 7)"
        connection.execute(torn)
    decide(home, data)
    table = read(home, data)
    assert table.findings == (TableFault("业务.db:出库明细", 4, "产品编码", "damaged", "text"),)
    assert sold(table) == [("P1", "2025-01", 11.0)], "bytes that are text are text"


@pytest.mark.parametrize("broken", ["list", "bytes", "page"])
def test_a_parquet_file_that_cannot_be_read_is_refused_in_words(home, data, broken):
    frame = pl.DataFrame([row for row in LINES], schema=HEAD, orient="row")
    if broken != "page":
        cell = [[5.0]] * 3 if broken == "list" else [b"\xff\xfe"] * 3
        frame = frame.with_columns(pl.Series("无税金额", cell))
    path = data / "出库明细.parquet"
    frame.write_parquet(path, compression="uncompressed")
    if broken == "page":
        content = path.read_bytes()
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        path.write_bytes(b"PAR1" + b"\xff" * (footer - 4) + content[footer:])
    found = decide(home, data)
    assert [error.code for error in found.unread] == ([] if broken != "page" else ["MALFORMED"]), "the map goes on"
    with pytest.raises(Malformed, match="cannot be read as a table") as caught:
        read(home, data)
    assert all(caught.value.lines())


@pytest.mark.parametrize("name", ["出库明细.xlsx", "业务.db"])
def test_a_damaged_sheet_or_database_is_left_aside_by_name(home, data, name):
    path = data / name
    if name.endswith(".db"):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE 出库明细 (单据号, 产品编码, 出库日期, 无税金额)")
        content = path.read_bytes().replace("出库明细".encode(), b"\xe5" * 12)
        path.write_bytes(content.replace(b"CREATE", b"CREATX"))
    else:
        with xlsxwriter.Workbook(path) as book:
            book.add_worksheet("出库明细").write_row(0, 0, HEAD)
        with zipfile.ZipFile(path) as whole:
            held = {part: whole.read(part) for part in whole.namelist()}
        with zipfile.ZipFile(path, "w") as torn:
            for part, content in held.items():
                torn.writestr(part, content[: len(content) // 2] if "sheet1" in part else content)
    found = decide(home, data)
    assert [error.code for error in found.unread] == ["MALFORMED"] and name in str(found.unread[0])
    with pytest.raises(Malformed):
        Table(path, "出库明细").read(HEAD, 1)


@pytest.mark.parametrize(
    "column", ['family = "联系人"', 'series = "客户名称"', 'series = "客户名称 (2)"', 'familly = "产品编码"']
)
def test_a_direct_identifier_is_not_read_whoever_names_it_and_no_field_is_made_up(home, data, column):
    heads = (*HEAD, "联系人", "客户名称", "客户名称")
    (data / "出库明细.csv").write_text(text([heads, *((*row, SECRET, SECRET, SECRET) for row in LINES)]), "utf-8")
    decide(home, data)
    said = (home / FILE).read_text(encoding="utf-8").replace('series = "产品编码"', "") + column
    with_series = said if column.startswith("series") else f'{said}\nseries = "产品编码"'
    part, _, rest = with_series.partition("[promotions]")
    lines = [line for line in rest.splitlines() if line.startswith(("family", "familly", "series = "))]
    (home / FILE).write_text("\n".join([part.rstrip(), *lines]) + "\n", encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        read(home, data)
    assert caught.value.code == ("MALFORMED" if "familly" in column else "IDENTIFIER") and all(caught.value.lines())
    assert not any(SECRET.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("closed_on = 2025-02-28", "closed_on = 2025-02-28T00:00:00"),
        ("closed_on = 2025-02-28", "closed_on = 9999-12-31"),
        ("closed_on = 2025-02-28", f"closed_on = {datetime.now(UTC).date() + timedelta(days=9)}"),
        ("closed_on = 2025-02-28", "closed_on = 1900-01-01"),
        ("heading = 1", "heading = 99999999999999999999"),
        ('heading = "无税金额"', "heading = 5"),
        ('heading = "无税金额"', 'heading = ["无税金额"]'),
    ],
)
def test_slips_in_the_map_are_named_and_end_nothing_else(home, data, was, now):
    (data / "出库明细.csv").write_text(text([HEAD, *LINES]), encoding="utf-8")
    decide(home, data)
    said = (home / FILE).read_text(encoding="utf-8")
    assert was in said
    (home / FILE).write_text(said.replace(was, now), encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        data_map(data, home, DEMAND)
    assert all(caught.value.lines())


SALES = [("series", "period", "sales"), *(("P1", f"2024-{m:02d}", str(100 + m)) for m in range(1, 13))]
AHEAD = f"{datetime.now(UTC).year + 1}-12"


@pytest.mark.parametrize(
    ("period", "sales", "rule"),
    [
        ("2025-13", "5", "not-a-period"),
        ("2025-00", "5", "not-a-period"),
        ("2025-02-31", "5", "not-a-period"),
        ("2025-03-31", "5", "not-a-period"),
        ("1989-12", "5", "period-out-of-range"),
        ("0001-01", "5", "period-out-of-range"),
        ("2205-01", "5", "period-out-of-range"),
        ("2205-01", "", "period-out-of-range"),
        (AHEAD, "5", "period-out-of-range"),
        (AHEAD, "", None),
    ],
)
def test_a_month_that_there_is_not_or_that_has_not_come_is_a_finding(home, data, period, sales, rule):
    (data / "sales.csv").write_text(text([*SALES, ("P1", period, sales)]), encoding="utf-8")
    table = read(home, data)
    assert [(f.row, f.column, f.rule) for f in table.findings] == ([(14, "period", rule)] if rule else [])
    series = read_offers(table.training, DEMAND)
    assert series.values.shape == (1, 12), "what is empty ahead moves no forecast"


def test_in_a_table_by_week_a_period_is_a_day(home, data):
    weekly = DEMAND.model_copy(update={"options": {"season": 52, "horizon": 4}})
    rows = [SALES[0], ("P1", "2025-01-06", "5"), ("P1", "2025-01", "5")]
    (data / "sales.csv").write_text(text(rows), encoding="utf-8")
    assert [(f.row, f.rule) for f in read(home, data, weekly).findings] == [(3, "not-a-period")]


def test_the_months_of_a_member_itself_have_come(home, data):
    heads = [column.name for column in WARNING.columns]
    rows = [heads, *([month, *[""] * (len(heads) - 2), "0"] for month in ("2025-01", "2025-13", AHEAD))]
    (data / "firm.csv").write_text(text(rows), encoding="utf-8")
    assert [(f.row, f.rule) for f in read(home, data, WARNING).findings] == [
        (3, "not-a-period"),
        (4, "period-out-of-range"),
    ]


def test_lines_in_a_file_that_is_called_like_the_finished_table_are_told_what_to_do(home, data):
    (data / "sales.csv").write_text(text([HEAD, *LINES]), encoding="utf-8")
    with pytest.raises(Malformed, match="lacks the column") as caught:
        read(home, data)
    assert "single lines, give the file another name" in caught.value.lines()[2]


def test_every_fault_is_listed_also_where_no_row_is_sound_and_in_the_readers_language(tmp_path, data, run_command):
    rows = [HEAD, *((str(n), f"P{n}", "never", "5") for n in range(30)), ("31", "P1", "2025-01-31", "x{y}")]
    (data / "出库明细.csv").write_text(text([tuple(row) for row in rows]), encoding="utf-8")

    def client(*words):
        done = run_command("client_node", *words, "--home", str(tmp_path / "node"), "--lang", "zh")
        return done.returncode, done.stdout + done.stderr

    assert client("init", "--data", str(data))[0] == 0
    code, said = client("data", "check", "--json")
    demand = next(one for one in json.loads(said) if one["task"] == "demand")
    assert code == 2 and demand["rows"] == 0 and demand["error"] and len(demand["findings"]) == 31
    code, said = client("data", "check")
    assert code == 2 and said.count("[not-a-date, text]") == 30
    assert "row 2" not in said and "第 2 行" in said, "also what stands in an error"


@pytest.mark.parametrize("rows", [[{}], [{"counterparty": None}], [{"counterparty": "K1", "{odd}": 1}]])
def test_a_row_that_says_nothing_is_no_result_that_is_missing_later(rows):
    whole = {c.name: "1" for c in RISK.columns if c.kind in ("id", "number")}
    with pytest.raises(Malformed) as caught:
        frame_of([whole, *rows], RISK)
    assert all(caught.value.lines()) and all(caught.value.lines(translator("client_node", "zh")))
    assert frame_of([whole], RISK).height == 1


def test_a_finding_says_where_in_the_readers_language():
    told = TableFault("a.csv", 3, "金额{x}", "empty", "empty").text(translator("client_node", "zh"))
    assert told == "a.csv 第 3 行，列 金额{x}：为空"


def receivables(data, *payments):
    """Six invoices of one customer a year before the books were closed, five of them paid; and `payments` by file."""
    rows = [(f"A{n}", "K1", f"2024-0{n}-05", f"2024-0{n}-25", "1000") for n in range(1, 7)]
    rows.append(("B1", "K1", "2025-06-05", "2025-06-25", "1000"))
    (data / "发票.csv").write_text(text([("发票号码", "客户编码", "开票日期", "到期日", "价税合计"), *rows]), "utf-8")
    paid = [(f"A{n}", f"2024-0{n}-20", "1000") for n in range(1, 6)] + [("B1", "2025-06-25", "1000")]
    for year, more in enumerate(payments, 2024):
        rows = [("发票号码", "收款日期", "收款金额"), *(paid if year == 2024 else []), *more]
        (data / f"收款{year}.csv").write_text(text(rows), encoding="utf-8")


HALF = ("A6", "2024-06-20", "500")


@pytest.mark.parametrize(
    ("payments", "defaulted", "again"),
    [
        ([[HALF]], [1.0], []),
        ([[HALF, HALF]], [0.0, 0.0], []),
        ([[HALF], [HALF]], [1.0], [2]),
        ([[HALF, HALF], [HALF, HALF]], [0.0, 0.0], [2, 3]),
        ([[("A6", "2024-06-20", "1000"), ("A6", "2024-06-28", "-1000")]], [1.0], []),
        ([[("A6", "2024-06-20", "1000"), ("A6", "2024-09-28", "-1000"), ("A6", "2024-09-28", "1000")]], [0.0, 0.0], []),
    ],
    ids=["half", "two halves", "one half twice", "two halves twice", "taken back", "booked anew"],
)
def test_what_is_exported_twice_or_taken_back_does_not_pay(home, data, payments, defaulted, again):
    receivables(data, *payments)
    decide(home, data, RISK)
    table = read(home, data, RISK)
    assert sorted(table.training["defaulted"].to_list()) == defaulted
    assert [(f.place, f.row, f.rule) for f in table.findings] == [("收款2025.csv", row, "repeated") for row in again]


def test_what_is_taken_back_later_was_paid_in_the_eyes_of_the_day_before(home, data):
    receivables(data, [("A6", "2024-06-27", "1000"), ("A6", "2025-01-05", "-1000")])
    decide(home, data, RISK)
    table = read(home, data, RISK)
    [(owed, delay)] = table.training.select("owed", "mean_delay_days").rows()
    assert (owed, table.training["defaulted"].to_list()) == (0.0, [1.0]) and delay == pytest.approx(
        (5 * -5 + 2) / 6, abs=1
    )


def test_an_export_that_ends_long_before_the_others_is_named(tmp_path, data, capsys):
    receivables(data, [HALF])
    (data / "出库明细.csv").write_text(text([HEAD, *LINES]), encoding="utf-8")
    settings = create_home(tmp_path / "node", data)
    write_map(settings, [RISK, DEMAND])
    said = capsys.readouterr().out
    assert "sales 只到 2025-02-28：到 2025-06-25" in said and said.count("只到") == 1 and "最后一天" in said


def test_where_no_file_names_a_day_the_map_says_that_the_closing_day_is_none_of_theirs(tmp_path, data, capsys):
    (data / "出库明细.csv").write_text(text([HEAD]), encoding="utf-8")
    write_map(create_home(tmp_path / "node", data), [DEMAND])
    said = capsys.readouterr().out
    assert "文件中没有日期，这是今天" in said and "最后一天" not in said
