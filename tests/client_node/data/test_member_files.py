"""A member's files as office programs write them: read, mapped, checked, pseudonymised, derived."""

import json
import sqlite3
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from client_node.data.mapping import FILE, data_map
from client_node.data.member_table import read_table
from client_node.data.suggestions import suggest, to_toml
from client_node.data.tables import Table, tables_in
from client_node.data.validation import RULES
from contracts.errors import Malformed, Unavailable
from demo.world import write
from engine.risk.books import present, training
from engine.table import Column, TableSchema, shipped

RISK = shipped("engine.risk")
KEY = b"this node's own key"
CLOSED = date(2025, 12, 31)
INVOICES = "发票号码,客户编码,客户名称,开票日期,到期日,价税合计(万元)\n"
PAYMENTS = "发票号码,收款日期,收款金额\n"

DIRECT = TableSchema(
    format="mengbang-table/1",
    task="risk",
    dataset="clients",
    file="clients.csv",
    unit="counterparty",
    purpose="research",
    row_meaning="a client",
    max_units=100,
    max_rows_per_unit=1,
    columns=(
        Column(name="counterparty", aliases=("客户",), kind="id"),
        Column(name="share", aliases=("占比",), kind="number"),
        Column(name="trend", aliases=("趋势",), kind="number", missing="flag"),
        Column(name="defaulted", aliases=("违约",), kind="label"),
    ),
)


def decide(home, folder, closed_on=CLOSED):
    """What a member does with `data map`: take the suggestion, state the closing day."""
    text = to_toml([suggest(folder, RISK)], [RISK])
    lines = [f"closed_on = {closed_on}" if line.startswith("closed_on") else line for line in text.splitlines()]
    (home / FILE).write_text("\n".join(lines), encoding="utf-8")


def invoice(number, customer="K1", issued="2025-01-05", due="2025-03-05", amount="1.5", name="某某公司"):
    return f"{number},{customer},{name},{issued},{due},{amount}\n"


@pytest.fixture
def books(tmp_path):
    """A folder, a home, and a way to write the two tables and read them as the node does."""
    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir(), home.mkdir()

    def read(invoices, payments="", encoding="gb18030"):
        (folder / "销售发票.csv").write_text(INVOICES + invoices, encoding=encoding, newline="")
        (folder / "收款.csv").write_text(PAYMENTS + payments, encoding=encoding, newline="")
        decide(home, folder)
        return read_table(folder, RISK, key=KEY, home=home)

    read.folder, read.home = folder, home
    return read


SOUND = "".join(invoice(f"A{i}", issued=f"2025-0{i}-05", due=f"2025-0{i + 1}-05") for i in range(1, 6))
PAID = "".join(f"A{i},2025-0{i + 1}-01,15000\n" for i in range(1, 6))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_exports_become_rows_under_pseudonyms_in_any_usual_encoding(books, encoding):
    table = books(SOUND, PAID, encoding)
    assert table.findings == () and table.present.height == 1
    pseudonym = table.present["counterparty"][0]
    assert pseudonym != "K1" and table.names[pseudonym] == "K1"
    assert table.present["owed"][0] == 0 and table.present["overdue_share"][0] == 0


def test_amounts_are_in_yuan_whatever_unit_the_heading_names(books):
    assert books(SOUND, "").present.is_empty(), (
        "nothing was ever paid: the customer has defaulted and is no case any more"
    )
    table = books(SOUND + invoice("A9", issued="2025-12-01", due="2026-02-01", amount="2"), PAID)
    assert table.present["owed"][0] == 20_000


def test_no_direct_identifier_reaches_a_frame_the_cache_or_a_finding(books):
    table = books(SOUND + invoice("A8", amount="many", name="泄密公司"), PAID)
    held = [table.training, table.present, *map(pl.read_parquet, books.home.rglob("*.parquet"))]
    assert len(held) == 4 and all(
        "泄密公司" not in frame.write_csv() and "某某公司" not in frame.write_csv() for frame in held
    )
    assert all("K1" not in frame.write_csv() for frame in held)
    assert "泄密公司" not in repr(table.findings) and "many" not in repr(table.findings)
    assert "客户名称" not in (books.home / FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "rule", "heading"),
    [
        (invoice("A8", amount="many"), "not-a-number", "价税合计(万元)"),
        (invoice("A8", amount=""), "empty", "价税合计(万元)"),
        (invoice("A8", amount="9e15"), "too-large", "价税合计(万元)"),
        (invoice("A8", amount="nan"), "not-a-number", "价税合计(万元)"),
        (invoice("", amount="1"), "empty", "发票号码"),
        (invoice("A8", customer=" "), "empty", "客户编码"),
        (invoice("A8", issued="31/12/2025"), "not-a-date", "开票日期"),
        (invoice("A8", issued="2026-02-01"), "date-out-of-range", "开票日期"),
        (invoice("A8", issued="1899-12-30"), "date-out-of-range", "开票日期"),
        (invoice("A8", due="2024-12-05"), "due-before-issued", "到期日"),
        (invoice("A1"), "repeated", "发票号码"),
        (invoice("A1", amount="7"), "conflicting", "发票号码"),
    ],
)
def test_every_kind_of_fault_is_named_with_file_row_column_and_only_its_row_is_left_out(books, line, rule, heading):
    first = invoice("A1")
    sound = first + "".join(SOUND.splitlines(keepends=True)[1:])
    table = books(sound + line, PAID)
    assert [(f.place, f.row, f.column, f.rule) for f in table.findings] == [("销售发票.csv", 7, heading, rule)]
    assert table.present.height == 1 and rule in RULES


def test_thirty_faults_of_all_kinds_in_two_files_give_thirty_findings_in_the_order_of_the_rows(books):
    amounts = [
        invoice(f"B{i}", amount=amount) for i, amount in enumerate(("", "约五万", "9e15", "nan", "1.2.3", "#REF!"))
    ]
    days = ("", "31/12/2025", "2025-02-30", "2025-13-01", "1899-12-30", "2027-02-01")
    issued = [invoice(f"C{i}", issued=day, due="2027-03-01") for i, day in enumerate(days)]
    due = [invoice(f"D{i}", due=day) for i, day in enumerate(("", "下月底", "2024-12-05"))]
    whose = [invoice(""), invoice("E1", customer=""), invoice("E2", customer="  ")]
    again = [invoice("A1"), invoice("A1", amount="7")]
    paid = ["Z99,2025-05-01,5\n", ",2025-05-01,5\n"]
    paid += [f"A3,{day},5\n" for day in ("", "某天", "1980-01-01", "2030-01-01")]
    paid += [f"A3,2025/5/1,{amount}\n" for amount in ("", "五", "1e15", "n/a")]
    wrong = [*amounts, *issued, *due, *whose, *again]
    first = invoice("A1")
    table = books(first + "".join(SOUND.splitlines(keepends=True)[1:]) + "".join(wrong), PAID + "".join(paid))
    assert len(wrong) + len(paid) == 30 and table.present.height == 1
    places = [("销售发票.csv", 7 + i) for i in range(len(wrong))] + [("收款.csv", 7 + i) for i in range(len(paid))]
    assert [(f.place, f.row) for f in table.findings] == places
    elsewhere = {"more-cells", "unclosed", "not-a-row", "damaged", "deadline-far-off", "not-a-period", "not-0-or-1"}
    elsewhere |= {"foreign-currency", "voided", "not-chosen"}
    elsewhere |= {"not-a-share", "not-a-price", "ends-before-it-begins", "period-out-of-range"}
    assert {f.rule for f in table.findings} == set(RULES) - elsewhere - {"placeholder"}


def test_a_row_with_several_faults_has_a_finding_for_each(books):
    faults = "".join(invoice(f"B{i}", amount="x" if i % 3 else "", issued="never") for i in range(15))
    table = books(SOUND + faults, PAID)
    assert len(table.findings) == 30 and table.present.height == 1
    assert {f.row for f in table.findings} == set(range(7, 22))


@pytest.mark.parametrize("wrong", [{"amount": "many"}, {"due": "2024-12-05"}])
def test_a_fault_of_an_invoice_is_no_fault_of_its_payments(books, wrong):
    table = books(SOUND + invoice("A8", **wrong), PAID + "A8,2025-05-01,5\n")
    assert [(f.place, f.row) for f in table.findings] == [("销售发票.csv", 7)]


@pytest.mark.parametrize("first", [True, False])
def test_what_a_customer_teaches_does_not_depend_on_another_whose_documents_have_the_same_numbers(books, first):
    theirs = "".join(invoice(f"A{i}", "K2", f"2024-0{i}-07", f"2025-0{i + 1}-20", "1.2") for i in range(1, 6))
    alone, both = books(SOUND, PAID), books(theirs + SOUND if first else SOUND + theirs, PAID)
    assert both.findings == ()
    for one, two in ((alone.training, both.training), (alone.present, both.present)):
        assert len(one) and one.rows() == [row for row in two.rows() if both.names[row[0]] == "K1"]
    assert set(both.names.values()) == {"K1", "K2"}


def test_where_a_row_is_the_unit_no_row_is_left_out_because_of_another(tmp_path):
    """Such a table may have a period: a row more in the same month must not take another one's place."""
    columns = (Column(name="month", kind="period"), *DIRECT.columns[1:])
    schema = DIRECT.model_copy(update={"unit": "row", "columns": columns})
    (tmp_path / "clients.csv").write_text("month,share,trend,defaulted\n" + "2025-01,0.5,,1\n2025-01,0.2,1,0\n" * 2)
    table = read_table(tmp_path, schema, key=KEY, home=tmp_path)
    assert table.training["share"].to_list() == [0.5, 0.2] * 2 and table.findings == ()


def test_a_payment_for_an_unknown_document_is_a_finding(books):
    table = books(SOUND, PAID + "Z99,2025-05-01,5\n")
    assert [(f.place, f.row, f.rule) for f in table.findings] == [("收款.csv", 7, "unknown-document")]


def test_two_spellings_of_dates_thousands_separators_and_brackets_are_understood(books):
    mixed = SOUND + '"A9",K1,x,2025/11/3,2026年1月3日,"¥1,000.5"\n' + "A10,K1,x,20251104,2026.1.4,(2)\n"
    table = books(mixed, PAID)
    assert table.findings == () and table.present["owed"][0] == 10_005_000


def test_the_result_is_kept_until_the_file_the_mapping_or_the_schema_changes(books, monkeypatch):
    first = books(SOUND, PAID)
    monkeypatch.setattr(Table, "read", lambda *_: pytest.fail("read again"))
    again = read_table(books.folder, RISK, key=KEY, home=books.home)
    assert again.training.equals(first.training) and again.names == first.names
    monkeypatch.undo()
    changed = books(SOUND + invoice("A9", issued="2025-12-01", due="2026-02-01"), PAID)
    assert changed.present["owed"][0] > 0 and len(list((books.home / "tables" / "receivables").iterdir())) == 1


def test_without_a_decision_about_columns_nothing_is_guessed(tmp_path):
    with pytest.raises(Unavailable, match="which column"):
        read_table(tmp_path, RISK, key=KEY, home=tmp_path)
    (tmp_path / FILE).write_text("closed_on = 1\n", encoding="utf-8")
    with pytest.raises(Malformed, match="closed_on"):
        data_map(tmp_path, tmp_path, RISK)
    (tmp_path / FILE).write_text(
        "closed_on = 2025-12-31\n[invoices]\nfile = 'none.csv'\n[invoices.columns]\n", encoding="utf-8"
    )
    with pytest.raises(Unavailable, match=r"none\.csv"):
        data_map(tmp_path, tmp_path, RISK)


def test_sheets_with_merged_titles_parquet_and_databases_give_the_same_table(tmp_path):
    import xlsxwriter

    frame = pl.DataFrame({"invoice_no": ["A1", "A2"], "customer": ["K1", "K2"], "total": ["10", "20"]})
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("明细")
        sheet.merge_range(0, 0, 0, 2, "2025 年应收明细")
        sheet.merge_range(1, 0, 2, 0, "invoice_no"), sheet.merge_range(1, 1, 1, 2, "单据")
        sheet.write_row(2, 1, ["customer", "total"])
        for at, row in enumerate(frame.rows(), 3):
            sheet.write_row(at, 0, row)
    frame.write_parquet(tmp_path / "b.parquet")
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        connection.execute("CREATE TABLE ar (invoice_no TEXT, customer TEXT, total TEXT)")
        connection.executemany("INSERT INTO ar VALUES (?, ?, ?)", frame.rows())
    tables = tables_in(tmp_path)
    assert [t.place for t in tables] == ["a.xlsx:明细", "b.parquet", "c.sqlite:ar"]
    for table, heading in zip(tables, (3, 1, 1), strict=True):
        assert (heading, frame.columns) in table.headings()
        assert table.read(frame.columns, heading).equals(frame)


def test_a_broken_workbook_and_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "broken.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(Malformed, match="not a table"):
        tables_in(tmp_path)
    (tmp_path / "broken.xlsx").unlink()
    (tmp_path / "clients.csv").write_bytes(b"counterparty,share,trend,defaulted\n\xff\xfe\x00\x01\x80,1,1,1\n")
    with pytest.raises(Malformed, match="neither UTF-8 nor GB18030"):
        read_table(tmp_path, DIRECT, key=KEY, home=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("客户,占比,趋势,违约\n", "have no rows"),
        ("客户,趋势,违约\nK1,0,1\n", "lacks the column share"),
        ("客户,占比,趋势,违约\nK1,lots,0,1\n", "row 2, column 占比: not a number"),
        ("客户,占比,趋势,违约\nK1,1,0,2\n", "row 2, column 违约: neither 0 nor 1"),
        ("客户,占比,趋势,违约\nK1,,0,1\n", "row 2, column 占比: empty"),
    ],
)
def test_a_table_that_is_one_file_is_read_by_its_headings(tmp_path, text, message):
    (tmp_path / "clients.csv").write_text(text, encoding="gb18030")
    with pytest.raises(Malformed) as caught:
        read_table(tmp_path, DIRECT, key=KEY, home=tmp_path).with_rows()
    assert message in " ".join(caught.value.lines()) and "lots" not in str(caught.value)


def test_a_missing_value_is_kept_where_the_schema_flags_it_and_repeats_are_left_out(tmp_path):
    (tmp_path / "clients.csv").write_text("客户,占比,趋势,违约\nK1,1,,1\nK1,2,0,0\n", encoding="utf-8")
    table = read_table(tmp_path, DIRECT, key=KEY, home=tmp_path)
    assert table.training["trend"].to_list() == [None] and [f.rule for f in table.findings] == ["repeated"]


def customer(paid_after, *, invoices=8, last_unpaid=False):
    """Books of one customer with an invoice a month, each paid so many days after it was due."""
    first = CLOSED - timedelta(days=30 * invoices + 400)
    rows = [
        (f"A{i}", "K1", first + timedelta(days=30 * i), first + timedelta(days=30 * i + 30), 100.0)
        for i in range(invoices)
    ]
    paid = [(number, due + timedelta(days=paid_after), 100.0) for number, _, _, due, _ in rows]
    invoices_frame = pl.DataFrame(rows, schema=["invoice", "counterparty", "issued", "due", "amount"], orient="row")
    payments = paid[:-1] if last_unpaid else paid
    return {
        "invoices": invoices_frame,
        "payments": pl.DataFrame(payments, schema=["invoice", "paid", "amount"], orient="row"),
    }


def test_the_label_is_the_rule_unpaid_ninety_days_after_due():
    assert training(customer(89), RISK, CLOSED)["defaulted"].sum() == 0
    late = customer(0, last_unpaid=True)
    due = late["invoices"]["due"][-1]
    before = training(late, RISK, due + timedelta(days=90 + 179))
    assert before["defaulted"].to_list()[0] == 1, "the default falls into the 180 days after the first day looked at"
    assert training(late, RISK, due + timedelta(days=90 + 181)).filter(pl.col("defaulted") == 1).height == 1
    assert present(late, RISK, due + timedelta(days=91)).is_empty(), "who has defaulted is no case any more"


def test_one_customers_rows_do_not_depend_on_any_other_customer():
    alone = customer(10)
    other = {name: frame.with_columns(pl.col("invoice") + "x") for name, frame in customer(200).items()}
    other["invoices"] = other["invoices"].with_columns(counterparty=pl.lit("K2"), amount=pl.col("amount") * 1e6)
    both = {name: pl.concat([alone[name], other[name]]) for name in alone}
    kept = training(both, RISK, CLOSED).filter(pl.col("counterparty") == "K1")
    assert_frame_equal(kept, training(alone, RISK, CLOSED), rel_tol=1e-12)


def test_a_reversed_invoice_is_neither_owed_nor_a_default():
    books = customer(5, last_unpaid=True)
    last = books["invoices"].tail(1)
    reversal = last.with_columns(
        invoice=pl.lit("R1"), amount=-pl.col("amount"), issued=pl.col("issued") + timedelta(days=3)
    )
    # cancels the oldest invoice of that amount: so the amount must differ for the last one to be meant
    special = books["invoices"].with_columns(
        amount=pl.when(pl.col("invoice") == last["invoice"][0]).then(77.0).otherwise(pl.col("amount"))
    )
    books["invoices"] = pl.concat([special, reversal.with_columns(amount=pl.lit(-77.0))])
    assert present(books, RISK, CLOSED)["owed"].to_list() == [0.0]


def test_the_simulated_members_folders_are_understood_without_help(tmp_path):
    for number, (_, folder) in enumerate(write(tmp_path / "world", 3, "tiny")):
        home = tmp_path / f"home-{number}"
        home.mkdir()
        found = suggest(folder, RISK)
        (home / FILE).write_text(to_toml([found], [RISK]), encoding="utf-8")
        assert data_map(folder, home, RISK) == found or {
            n: o.fields for n, o in data_map(folder, home, RISK).origins.items()
        } == {n: o.fields for n, o in found.origins.items()}
        table = read_table(folder, RISK, key=KEY, home=home)
        assert table.findings == () and table.training["defaulted"].sum() > 0
        assert json.dumps(table.training.to_dicts()).find("客户") == -1
