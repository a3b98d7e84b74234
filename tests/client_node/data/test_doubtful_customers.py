"""Receipts that are missing, faulty or short make no defaulters of good customers: those are read
right, or left out by name."""

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.risk.receipts import measured
from client_node.commands.data import app
from client_node.data.mapping import FILE, data_map
from client_node.data.member_table import read_table
from client_node.data.suggestions import suggest, to_toml
from client_node.home import create_home
from contracts.errors import Malformed
from demo import world
from demo.world import build
from engine.table import shipped
from engine.task import Settling, load
from shell.language import translator

RISK = shipped("engine.risk")
CLOSED = date(2025, 12, 31)
FIRST = date(2024, 7, 5)
AT = 12  # the invoice that something is wrong with: number 7 of customer K1


class Books:
    """Monthly invoices of customers K0 to K3, each paid on the day it was due, as text that a test may change. FP0107
    is the seventh invoice of K1."""

    def __init__(self, data, home):
        self.data, self.home, self.said = data, home, []
        self.invoices = [
            [f"FP0{k}{n:02d}", f"K{k}", str(self.day(n)), str(self.day(n) + timedelta(days=30)), "1000.00"]
            for k in range(4)
            for n in range(1, 13)
        ]
        self.payments = [[number, due, "1000.00"] for number, _whose, _issued, due, _amount in self.invoices]
        self.heads = (["发票号码", "客户编码", "开票日期", "到期日", "价税合计"], ["发票号码", "收款日期", "收款金额"])

    @staticmethod
    def day(n):
        return FIRST + timedelta(days=30 * n)

    def invoice(self, number="FP0107"):
        return next(row for row in self.invoices if row[0] == number)

    def receipt(self, number="FP0107"):
        return next(row for row in self.payments if row[0] == number)

    def unpaid(self, *numbers):
        self.payments = [row for row in self.payments if row[0] not in numbers]

    def write(self, *said, **keys):
        for name, head, rows in zip(("销售发票", "收款单"), self.heads, (self.invoices, self.payments), strict=True):
            pl.DataFrame(rows, schema=head, orient="row").write_csv(self.data / f"{name}.csv")
        text = to_toml([suggest(self.data, RISK)], [RISK])
        lines = [f"closed_on = {CLOSED}" if line.startswith("closed_on") else line for line in text.splitlines()]
        for key, value in keys.items():
            lines = [f"{key} = {value}" if line.startswith(key) else line for line in lines]
        for source, line in said:
            lines.insert(lines.index(f"[{source}]") + 1, line)
        (self.home / FILE).write_text("\n".join(lines), encoding="utf-8")

    def read(self, *said, **keys):
        self.write(*said, **keys)
        return read_table(self.data, RISK, key=b"k", home=self.home)


@pytest.fixture
def books(home, data):
    return Books(data, home)


def left_out(table):
    """Customers that neither teach nor are served; nobody else may say a default."""
    assert table.training["defaulted"].sum() == 0, "no good customer is a defaulter"
    held = {table.names[name] for frame in (table.training, table.present) for name in frame["counterparty"]}
    assert {doubt.customer for doubt in table.doubts if doubt.whole} == {"K0", "K1", "K2", "K3"} - held
    return {"K0", "K1", "K2", "K3"} - held


def test_books_without_a_fault_leave_nobody_out(books):
    table = books.read()
    assert not left_out(table) and not table.doubts and not table.findings and len(table.present) == 4


@pytest.mark.parametrize("cell", [(1, "2025-02-30"), (1, "下月"), (1, ""), (2, "#VALUE!"), (2, ""), (2, "USD 1000")])
def test_a_receipt_that_cannot_be_used_makes_its_customer_doubtful_and_no_defaulter(books, cell):
    books.receipt()[cell[0]] = cell[1]
    table = books.read()
    assert left_out(table) == {"K1"} and len(table.findings) == 1
    [doubt] = table.doubts
    assert (doubt.place, doubt.row, doubt.document, doubt.rule) == ("销售发票.csv", 20, "FP0107", "receipt-faulty")
    assert "客户 K1" in doubt.text(translator("client_node", "zh"))


@pytest.mark.parametrize("number", ["", "预收款", "无", "FP9999", "2.5E+19"])
def test_a_prepayment_without_a_number_may_have_paid_what_is_open(books, number):
    books.receipt()[0] = number
    books.receipt("FP0207")[2] = books.invoice("FP0207")[4] = "777.00"
    table = books.read()
    assert left_out(table) == {"K1"} and {d.rule for d in table.doubts} == {"receipt-unmatched"}


def test_a_receipt_without_a_number_that_says_whose_it_is_is_not_asked_for_its_amount(books):
    books.heads[1].append("客户编码")
    books.payments = [[*row, f"K{row[0][3]}"] for row in books.payments]
    books.receipt()[:] = ["预收", books.receipt()[1], "5000", "K1"]
    table = books.read()
    assert left_out(table) == {"K1"} and {d.rule for d in table.doubts} == {"receipt-unmatched"}


def test_receipts_of_invoices_before_the_export_and_of_days_after_the_close_make_nobody_doubtful(books):
    books.heads[1].append("客户编码")
    books.payments = [[*row, f"K{row[0][3]}"] for row in books.payments]
    books.payments += [[f"FP00-{k}", str(FIRST - timedelta(days=20)), "1000.00", f"K{k}"] for k in range(4)]
    books.invoices.append(["FP0190", "K1", "2025-11-20", "2026-01-20", "1000.00"])
    books.payments.append(["FP0190", "2026-01-10", "1000.00", "K1"])
    table = books.read()
    assert not left_out(table) and not table.doubts and len(table.findings) == 5


@pytest.mark.parametrize(
    "number", ["FP0107、FP0108", "FP0107,FP0108", "FP0107 FP0108", "FP0107;FP0108", "ＦＰ０１０７／FP0108"]
)
def test_one_receipt_of_two_invoices_pays_both(books, number):
    books.unpaid("FP0108")
    books.receipt()[:] = [number, books.receipt()[1], "2000.00"]
    table = books.read()
    assert not left_out(table) and not table.findings and not table.doubts


def test_one_receipt_of_two_invoices_that_does_not_fit_them_leaves_both_in_doubt(books):
    books.unpaid("FP0108")
    books.receipt()[:] = ["FP0107、FP0108", books.receipt()[1], "1300.00"]
    assert left_out(books.read()) == {"K1"}


def test_an_isolated_unpaid_invoice_is_a_missing_receipt_unless_the_member_says_that_it_is_unpaid(books):
    books.unpaid("FP0107")
    table = books.read()
    assert left_out(table) == {"K1"} and not table.findings
    assert [(d.document, d.rule) for d in table.doubts] == [("FP0107", "receipt-missing")]
    table = books.read(really_unpaid='["FP 0107"]')
    assert not table.doubts and table.training["defaulted"].sum() == 1


def test_who_pays_nothing_any_more_is_a_defaulter(books):
    books.unpaid(*(f"FP01{n:02d}" for n in range(9, 13)))
    table = books.read()
    assert table.training["defaulted"].sum() == 1 and not table.doubts


def test_a_customer_without_any_receipt_that_is_supplied_on_is_doubtful(books):
    books.unpaid(*(f"FP01{n:02d}" for n in range(1, 13)))
    assert left_out(books.read()) == {"K1"}


def test_where_receipts_end_before_the_invoices_who_is_supplied_on_is_doubtful(books):
    books.payments = [row for row in books.payments if row[1] < str(books.day(6))]
    table = books.read()
    assert left_out(table) == {"K0", "K1", "K2", "K3"} and {d.rule for d in table.doubts} == {"receipt-missing"}


def test_an_old_doubtful_invoice_is_set_aside_alone(books):
    for n in range(13, 18):
        due = str(books.day(n) + timedelta(days=30))
        books.invoices.append([f"FP01{n:02d}", "K1", str(books.day(n)), due, "1000.00"])
        books.payments += [[f"FP01{n:02d}", due, "1000.00"]] if due <= str(CLOSED) else []
    books.unpaid("FP0103")
    table = books.read()
    assert not left_out(table) and [(d.document, d.whole) for d in table.doubts] == [("FP0103", False)]


@pytest.mark.parametrize(
    ("got", "tolerance", "is_out"),
    [("980.00", "1", True), ("980.00", "2", False), ("985", "2", False), ("600", "2", True)],
)
def test_a_discount_or_a_bank_fee_is_paid_within_the_members_tolerance_and_doubtful_beyond(
    books, got, tolerance, is_out
):
    books.receipt()[2] = got
    table = books.read(tolerance_percent=f'"{tolerance}"')
    assert left_out(table) == ({"K1"} if is_out else set())
    assert {d.rule for d in table.doubts} == ({"receipt-short"} if is_out else set())


@pytest.mark.parametrize("shares", [[0.1371], [0.0001], [0.45, 0.42, 0.38], [0.01, 0.0101]])
def test_receipts_by_the_same_small_share_of_each_invoice_are_doubtful_their_unit_may_be_another(books, shares):
    theirs = [row for row in books.payments if row[0].startswith("FP01")]
    for n, row in enumerate(theirs):
        row[2] = f"{1000 * shares[n % len(shares)]:.2f}"
    table = books.read()
    assert left_out(table) == {"K1"}
    assert "receipt-unit" in {doubt.rule for doubt in table.doubts}


@pytest.mark.parametrize("share", [0.97, 0.8, 0.55])
def test_a_discount_on_every_invoice_is_told_as_a_discount(books, share):
    for row in books.payments:
        row[2] = f"{1000 * share:.2f}" if row[0].startswith("FP01") else row[2]
    table = books.read()
    assert left_out(table) == {"K1"} and {doubt.rule for doubt in table.doubts} == {"receipt-short"}


def test_who_pays_other_parts_of_its_invoices_is_a_default(books):
    for n, row in enumerate(row for row in books.payments if row[0] > "FP0106" and row[0].startswith("FP01")):
        row[2] = ("400.00", "150.00", "300.00")[n % 3]
    table = books.read()
    assert not table.doubts and table.training["defaulted"].sum() > 0


@pytest.mark.parametrize(("years", "is_out"), [(1, True), (2, True), (0, False)])
def test_a_receipt_that_is_dated_a_year_early_is_doubtful(books, years, is_out):
    receipt = books.receipt()
    receipt[1] = str(date.fromisoformat(receipt[1]).replace(year=date.fromisoformat(receipt[1]).year - years))
    table = books.read()
    assert left_out(table) == ({"K1"} if is_out else set())
    assert [doubt.rule for doubt in table.doubts] == ["receipt-early"] * is_out


@pytest.mark.parametrize("early", [30, 90, 180])
def test_a_prepayment_pays(books, early):
    books.receipt()[1] = str(date.fromisoformat(books.invoice()[2]) - timedelta(days=early))
    assert not left_out(books.read())


@pytest.mark.parametrize("amount", ["1,000.00", "1000.00元", "￥1,000.00", "0.1万元", "１０００"])
def test_a_receipt_is_read_however_its_amount_is_written(books, amount):
    books.receipt()[2] = amount
    table = books.read()
    assert not left_out(table) and not table.findings


@pytest.mark.parametrize("amount", ["-1000.00", "1,000.00-", "(1,000.00)"])
def test_a_receipt_that_takes_back_what_never_came_in_makes_its_customer_doubtful_and_no_defaulter(books, amount):
    books.receipt()[2] = amount
    table = books.read()
    assert left_out(table) == {"K1"} and {d.rule for d in table.doubts} == {"receipt-faulty"}


def test_receipts_that_are_all_written_as_negative_accuse_nobody_in_silence(books):
    books.payments = [[number, paid, f"-{amount}"] for number, paid, amount in books.payments]
    table = books.read()
    assert left_out(table) == {"K0", "K1", "K2", "K3"} and {d.rule for d in table.doubts} == {"receipt-faulty"}


@pytest.mark.parametrize("amount", ["-1000.00", "1,000.00-", "(1,000.00)"])
def test_a_full_red_letter_cancels_the_open_invoice_and_not_the_oldest(books, amount):
    books.unpaid("FP0107")
    books.invoices.append(["FP0190", "K1", str(books.day(8)), str(books.day(8)), amount])
    table = books.read()
    assert not left_out(table) and not table.doubts and not table.findings


def test_a_partial_red_letter_reduces_what_it_leaves_paid_in_full(books):
    books.receipt()[2] = "700.00"
    books.invoices.append(["FP0190", "K1", str(books.day(8)), str(books.day(8)), "-300.00"])
    table = books.read()
    assert not left_out(table) and not table.doubts


def test_a_red_letter_that_fits_nothing_exactly_leaves_the_customer_in_doubt(books):
    books.receipt()[2] = "400.00"
    books.invoices.append(["FP0190", "K1", str(books.day(8)), str(books.day(8)), "-300.00"])
    assert left_out(books.read()) == {"K1"}


def test_an_invoice_of_three_lines_is_their_sum(books):
    books.invoice()[4] = "1200.00"
    books.invoices += [[*books.invoice()[:4], "-300.00"], [*books.invoice()[:4], "100.00"]]
    table = books.read()
    assert not left_out(table) and not table.findings


def test_an_invoice_that_was_exported_again_with_another_amount_is_named_and_the_paid_one_is_used(books):
    books.invoices.append([*books.invoice()[:4], "9000.00"])
    table = books.read()
    assert not left_out(table) and [(f.row, f.rule) for f in table.findings] == [(50, "conflicting")]


@pytest.mark.parametrize(
    ("head", "void", "sound"), [("发票状态", "作废", "正常"), ("状态", "已作废", "开具"), ("是否作废", "是", "否")]
)
def test_a_voided_invoice_with_an_amount_is_owed_by_nobody(books, head, void, sound):
    books.heads[0].append(head)
    books.invoices = [[*row, sound] for row in books.invoices]
    books.invoices.append(["FP0190", "K1", str(books.day(9)), str(books.day(10)), "1000.00", void])
    table = books.read()
    assert not left_out(table) and [(f.row, f.column, f.rule) for f in table.findings] == [(50, head, "voided")]


def test_data_toml_chooses_rows_and_every_other_row_is_counted(books):
    books.heads[0].append("状态")
    books.invoices = [[*row, "正常"] for row in books.invoices]
    books.invoices.append(["FP0190", "K1", str(books.day(9)), str(books.day(10)), "1000.00", "草稿"])
    table = books.read(("invoices", 'only = { "状态" = "正常" }'))
    assert not left_out(table) and [(f.row, f.rule) for f in table.findings] == [(50, "not-chosen")]
    for wrong in (
        'only = { "没有" = "正常" }',
        'only = { "状态" = 1 }',
        'only = "正常"',
        "currency = 1",
        'only = { "联系人" = "x" }',
    ):
        with pytest.raises(Malformed) as caught:
            books.read(("invoices", wrong))
        assert all(caught.value.lines())


@pytest.mark.parametrize("head", ["币种", "币别", "交易货币[ Trade Currency ]", "Currency"])
def test_rows_of_another_currency_are_named_and_never_counted_as_yuan(books, head):
    for rows in (books.invoices, books.payments):
        rows[:] = [[*row, "CNY" if at % 2 else "人民币"] for at, row in enumerate(rows)]
    for heads in books.heads:
        heads.append(head)
    books.invoices.append(["FP0190", "K1", str(books.day(9)), str(books.day(10)), "9999", "USD"])
    table = books.read()
    assert not left_out(table) and [(f.row, f.column, f.rule) for f in table.findings] == [
        (50, head, "foreign-currency")
    ]
    books.receipt()[3] = "美元"
    assert left_out(books.read()) == {"K1"}, "a receipt in dollars did not pay in yuan, nor did it not pay"
    table = books.read(("invoices", 'currency = ""'), ("payments", 'currency = ""'))
    assert not table.findings, "the member says that all of it is in yuan"


def test_a_heading_in_another_currency_is_not_proposed_and_refused(books):
    books.heads[0][4] = "价税合计(USD)"
    books.write()
    assert "USD" not in (books.home / FILE).read_text(encoding="utf-8")
    text = (
        (books.home / FILE)
        .read_text(encoding="utf-8")
        .replace("[invoices.columns]", '[invoices.columns]\namount = "价税合计(USD)"')
    )
    (books.home / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        data_map(books.data, books.home, RISK)
    assert caught.value.code == "CURRENCY" and all(caught.value.lines())


@pytest.mark.parametrize("title", ["单位：美元", "金额单位：万美元", "币种：USD", "Currency: EUR"])
def test_amounts_under_a_title_in_another_currency_are_not_proposed(home, data, title):
    row = ["FP1", "K1", "2025-01-05", "2025-02-05", "1000"]
    for above, proposed in ((title, False), ("单位：元  币种：CNY", True)):
        lines = [["", above, "", "", ""], Books(data, home).heads[0], row]
        pl.DataFrame(lines, orient="row").write_csv(data / "发票.csv", include_header=False)
        assert ("amount" in suggest(data, RISK).origins["invoices"].fields) is proposed


@pytest.mark.parametrize(
    "said",
    [
        'tolerance_percent = "21"',
        'tolerance_percent = "-1"',
        'tolerance_percent = "x"',
        'really_unpaid = "FP1"',
        "other = 1",
    ],
)
def test_a_slip_in_what_is_said_of_receipts_is_refused_in_words(books, said):
    books.write()
    text = (books.home / FILE).read_text(encoding="utf-8").partition("[receipts]")[0]
    (books.home / FILE).write_text(f"{text}[receipts]\n{said}\n", encoding="utf-8")
    with pytest.raises(Malformed, match="receipts") as caught:
        data_map(books.data, books.home, RISK)
    assert all(caught.value.lines())


def test_what_one_customer_teaches_does_not_depend_on_the_receipts_of_another(books):
    alone = books.read().training
    books.receipt()[1] = "never"
    books.unpaid("FP0209")
    table = books.read()
    sound = {pseudonym for pseudonym, name in table.names.items() if name in ("K0", "K3")}
    theirs, before = ([row for row in rows.rows() if row[0] in sound] for rows in (table.training, alone))
    assert len(sound) == 2 and theirs == before


def run(home, *words):
    return CliRunner().invoke(app, [*words, "--home", str(home)], standalone_mode=False)


def checked(tmp_path, data, closed_on=CLOSED):
    """What `data check` prints and answers for these files, and sound ones of sales."""
    (data / "sales.csv").write_text("产品编码,月份,销售额\nP1,2025-01,5\nP1,2025-02,6\n", encoding="utf-8")
    settings = create_home(tmp_path / "node", data)
    text = to_toml([suggest(data, RISK)], [RISK])
    lines = [f"closed_on = {closed_on}" if line.startswith("closed_on") else line for line in text.splitlines()]
    (settings.home / FILE).write_text("\n".join(lines), encoding="utf-8")
    return run(settings.home, "check"), json.loads(run(settings.home, "check", "--json").stdout)[-1]


def test_data_check_says_customers_share_and_served_and_names_who_is_left_out(tmp_path, books, data):
    books.unpaid("FP0107")
    books.write()
    shown, told = checked(tmp_path, data)
    assert "FP0107" in shown.stdout and "K1" in shown.stdout and shown.return_value == 1
    assert (told["customers"], told["share"], told["served"], told["left_out"]) == (3, 0.0, 3, 1)
    assert [d["rule"] for d in told["doubts"]] == ["receipt-missing"]


def test_where_half_of_the_receipts_are_missing_data_check_does_not_say_no_faults(tmp_path, data):
    member, random = build(1, "tiny", 7)[1][0], np.random.default_rng(0)
    member.invoices.write_csv(data / "invoices.csv")
    member.payments.filter(pl.Series(random.random(len(member.payments)) < 0.5)).write_csv(data / "payments.csv")
    shown, told = checked(tmp_path, data, world.CLOSED)
    assert shown.return_value == 1 and "没有问题，" not in shown.stdout.partition("risk")[2]
    assert told["left_out"] > 100 and len(told["warnings"]) >= 2


@pytest.mark.parametrize("kind", ["missing", "unreadable", "short"])
def test_few_bad_receipts_move_the_share_of_defaults_by_less_than_a_point(kind):
    found = [measured(build(1, "demo", seed)[1][0], kind, 0.02, seed) for seed in (7, 8)]
    assert all(one.before > one.truth + 2 for one in found), "without a look at the receipts"
    assert all(abs(one.after - one.truth) < 1 for one in found)
    assert all(0 < one.left_out < one.customers / 3 for one in found)


def test_risk_looks_through_the_books_and_demand_does_not():
    assert isinstance(load("risk"), Settling) and not isinstance(load("demand"), Settling)
