"""A member's raw sales lines become monthly series by a named rule, and forecasts."""

from datetime import date

import polars as pl
import pytest

from client_node.data.mapping import FILE
from client_node.data.member_table import read_table
from client_node.data.suggestions import suggest, to_toml
from engine.demand.lines import by_period
from engine.demand.windows import families
from engine.table import shipped

DEMAND = shipped("engine.demand")
KEY, CLOSED = b"this node's own key", date(2025, 6, 30)
HEAD = "出库单号,产品编码,客户名称,出库日期,含税金额(万元)\n"


@pytest.fixture
def lines(tmp_path):
    """A folder, a home, and a way to write sales lines and read them as the node does."""
    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir(), home.mkdir()

    def read(text, closed=CLOSED, encoding="gb18030"):
        (folder / "销售明细.csv").write_text(HEAD + text, encoding=encoding, newline="")
        said = to_toml([suggest(folder, DEMAND)], [DEMAND]).splitlines()
        said = [f"closed_on = {closed}" if one.startswith("closed_on") else one for one in said]
        (home / FILE).write_text("\n".join(said), encoding="utf-8")
        return read_table(folder, DEMAND, key=KEY, home=home)

    read.folder, read.home = folder, home
    return read


def line(number, product="P1", day="2025-01-05", amount="1.13", name="泄密公司"):
    return f"D{number},{product},{name},{day},{amount}\n"


def monthly(table, product="P1"):
    pseudonym = next(key for key, name in table.names.items() if name == product)
    return dict(table.training.filter(pl.col("series") == pseudonym).select("period", "sales").rows())


def test_lines_become_months_in_yuan_without_tax_in_every_usual_spelling(lines):
    table = lines(line(1) + line(2, day="2025/1/20", amount="2.26") + line(3, day="2025年3月2日", amount='"1,130.00"'))
    assert table.findings == ()
    sums = monthly(table)
    assert sums["2025-01"] == pytest.approx(30_000) and sums["2025-03"] == pytest.approx(10_000_000)
    assert list(sums) == ["2025-01", "2025-02", "2025-03", "2025-04", "2025-05", "2025-06"]
    assert sums["2025-02"] == 0 == sums["2025-06"], "a closed month without a line is a month without sales"
    assert "泄密公司" not in table.training.write_csv() + (lines.home / FILE).read_text(encoding="utf-8")


def test_a_correction_counts_in_its_own_month_and_no_month_is_below_zero(lines):
    table = lines(line(1) + line(2, day="2025-02-03", amount="(1.13)") + line(3, day="2025-02-04", amount="2.26"))
    assert monthly(table)["2025-01"] == pytest.approx(10_000) == monthly(table)["2025-02"]
    assert monthly(lines(line(1) + line(2, day="2025-02-03", amount="-9")))["2025-02"] == 0


def test_a_late_posting_counts_in_the_month_of_its_day_and_an_open_month_not_at_all(lines):
    posted_late = line(1) + line(2, day="2025-04-02") + line(3, day="2025-01-30")
    assert monthly(lines(posted_late))["2025-01"] == pytest.approx(20_000)
    assert list(monthly(lines(posted_late, closed=date(2025, 4, 29))))[-1] == "2025-03", "April was not over"


def test_a_product_begins_when_it_sells_and_its_months_depend_on_its_own_lines_alone(lines):
    text = line(2, day="2025-01-20") + line(3, product="P2", day="2025-03-30")
    alone, beside = lines(text), lines(line(1, product="P0", day="2024-12-03") + text)
    assert list(monthly(alone, "P2")) == ["2025-03", "2025-04", "2025-05", "2025-06"]
    assert all(monthly(alone, name) == monthly(beside, name) for name in ("P1", "P2"))


def test_a_line_that_stands_twice_is_a_finding_and_another_line_of_the_document_is_not(lines):
    table = lines(line(1) + line(1, product="P2") + line(1) + line(2))
    assert [(f.place, f.row, f.rule) for f in table.findings] == [("销售明细.csv", 4, "repeated")]
    assert monthly(table)["2025-01"] == pytest.approx(20_000)


def test_a_category_beside_the_lines_becomes_the_products_family_and_is_not_needed(lines):
    head = HEAD.replace("客户名称", "存货分类")
    (lines.folder / "销售明细.csv").write_text(
        head + line(1, name="糖果") + line(2, day="2025-02-03", name="食品") + line(3, product="P2", name=""),
        encoding="gb18030",
        newline="",
    )
    (lines.home / FILE).write_text(to_toml([suggest(lines.folder, DEMAND)], [DEMAND]), encoding="utf-8")
    table = read_table(lines.folder, DEMAND, key=KEY, home=lines.home)
    named = {table.names[name]: family for name, family in families(table.training, DEMAND).items()}
    assert named == {"P1": "食品"} and table.findings == ()
    assert families(lines(line(1)).training, DEMAND) == {}


def test_thirty_planted_faults_give_thirty_named_findings_and_no_value(lines):
    sound = "".join(line(i, day=f"2025-0{i % 6 + 1}-05") for i in range(12))
    kinds = [
        ("not-a-number", lambda i: line(100 + i, amount="secret")),
        ("empty", lambda i: line(200 + i, amount="")),
        ("not-a-date", lambda i: line(300 + i, day="05.31.2025")),
        ("date-out-of-range", lambda i: line(400 + i, day="2025-07-01")),
        ("too-large", lambda i: line(500 + i, amount="9e15")),
        ("repeated", lambda i: line(i, day=f"2025-0{i % 6 + 1}-05")),
    ]
    faults = "".join(make(i) for i in range(5) for _rule, make in kinds)
    table = lines(sound + faults)
    found = [(f.row, f.rule) for f in table.findings]
    assert sorted(found) == [(14 + at, kinds[at % 6][0]) for at in range(30)]
    assert monthly(table) == monthly(lines(sound)), "the faulty rows count nowhere"
    assert "secret" not in repr(table.findings)


def test_a_table_by_month_may_be_given_as_it_is_and_needs_no_map(lines):
    (lines.folder / "sales.csv").write_text("产品编码,月份,销售额\nP9,2025-01,5\n", encoding="utf-8")
    table = read_table(lines.folder, DEMAND, key=KEY, home=lines.home)
    assert monthly(table, "P9") == {"2025-01": 5.0}


def test_weeks_begin_on_monday_and_only_whole_ones_count():
    weekly = DEMAND.model_copy(update={"options": {"horizon": 4, "season": 52}})
    days = [date(2025, 1, 6), date(2025, 1, 12), date(2025, 1, 13), date(2025, 1, 29)]
    frame = pl.DataFrame({"series": ["P"] * 4, "day": days, "sold": [1.0, 2.0, 4.0, 8.0]})
    made = by_period(frame, weekly, date(2025, 1, 29))
    assert made.select("period", "sales").rows() == [("2025-01-06", 3.0), ("2025-01-13", 4.0), ("2025-01-20", 0.0)]
    assert by_period(frame.clear(), weekly, date(2025, 1, 29)).is_empty()


def test_long_exports_are_checked_in_parts_with_the_same_findings(lines, monkeypatch):
    text = "".join(line(i, day=f"2025-0{i % 6 + 1}-05", amount="x" if i % 7 == 0 else "1") for i in range(40))
    whole = lines(text)
    monkeypatch.setattr("client_node.data.source_rows._ROWS", 3)
    parts = lines(text, closed=date(2025, 6, 29))
    assert [(f.row, f.rule) for f in parts.findings] == [(f.row, f.rule) for f in whole.findings]


def test_reading_and_checking_tell_how_far_they_are_to_the_end(lines):
    lines(line(1))
    (lines.folder / "销售明细.csv").write_text(HEAD + line(1) + line(2), encoding="gb18030", newline="")
    said = []
    read_table(lines.folder, DEMAND, key=KEY, home=lines.home, tick=lambda done, every: said.append((done, every)))
    size = (lines.folder / "销售明细.csv").stat().st_size
    assert (size, size) in said and said[-1] == (2, 2)
