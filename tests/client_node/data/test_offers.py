"""Promotions and prices as members keep them: columns of the table, or a calendar and a
price list beside sales lines."""

import json
from datetime import date

import polars as pl
import pytest

from client_node.data.mapping import FILE
from client_node.data.member_table import read_table
from client_node.data.suggestions import suggest, to_toml
from engine.demand.lines import with_offers
from engine.table import read_schema, shipped

DEMAND = shipped("engine.demand")
KEY = b"this node's own key"


@pytest.fixture
def folder(tmp_path):
    """Where a member's files lie; its node's home is beside it."""
    (tmp_path / "home").mkdir(), (tmp_path / "data").mkdir()
    return tmp_path / "data"


def read(folder, closed=None):
    home = folder.parent / "home"
    if closed:
        said = to_toml([suggest(folder, DEMAND)], [DEMAND]).splitlines()
        said = [f"closed_on = {closed}" if one.startswith("closed_on") else one for one in said]
        (home / FILE).write_text("\n".join(said), encoding="utf-8")
    return read_table(folder, DEMAND, key=KEY, home=home)


def test_columns_of_the_table_may_be_there_or_not_and_coming_months_have_no_sales(folder):
    (folder / "sales.csv").write_text(
        "产品编码,月份,销售额,促销占比,单价,产品类别\nP1,2025-01,5,0.25,9.5,糖果\nP1,2025-02,,,8,\n", encoding="utf-8"
    )
    table = read(folder)
    assert table.findings == ()
    assert table.training.drop("series").rows() == [
        ("2025-01", 5.0, "糖果", 0.25, 9.5),
        ("2025-02", None, None, None, 8.0),
    ]
    (folder / "sales.csv").write_text("产品编码,月份,销售额\nP1,2025-01,5\n", encoding="utf-8")
    assert read(folder).training.columns == ["series", "period", "sales"]


def test_what_is_no_share_and_no_price_is_a_finding_of_its_row_and_column(folder):
    faults = [
        ("25", "9", "促销占比", "not-a-share"),
        ("-0.1", "9", "促销占比", "not-a-share"),
        ("inf", "9", "促销占比", "not-a-number"),
        ("0.5", "-1", "单价", "not-a-price"),
        ("0.5", "0", "单价", "not-a-price"),
        ("0.5", "nan", "单价", "not-a-number"),
        ("0.5", "1e300", "单价", "too-large"),
        ("many", "9", "促销占比", "not-a-number"),
    ]
    rows = "".join(f"P{n},2025-01,5,{promotion},{price}\n" for n, (promotion, price, _c, _r) in enumerate(faults))
    (folder / "sales.csv").write_text(
        "产品编码,月份,销售额,促销占比,单价\n" + rows + "P9,2025-01,5,1,9\n", encoding="utf-8"
    )
    table = read(folder)
    told = [(f.place, f.row, f.column, f.rule) for f in table.findings]
    assert told == [("sales.csv", n + 2, column, rule) for n, (_p, _q, column, rule) in enumerate(faults)]
    assert list(table.names.values()) == ["P9"] and "25" not in {f.value for f in table.findings}


def sold(folder, products=("P1", "P2")):
    lines = [f"D{p}{m},{p},2025-{m:02d}-05,10\n" for p in products for m in (1, 2, 3)]
    text = "出库单号,产品编码,出库日期,金额\n" + "".join(lines)
    (folder / "销售明细.csv").write_text(text, encoding="gb18030", newline="")


def by_period(table, product, column):
    own = next(key for key, name in table.names.items() if name == product)
    return dict(table.training.filter(series=own).select("period", column).rows())


def test_a_calendar_and_a_price_list_become_shares_and_prices_of_months_so_far_and_to_come(folder):
    sold(folder)
    (folder / "促销计划.csv").write_text(
        "产品编码,开始日期,结束日期\nP1,2025-01-30,2025-02-07\nP1,2025-02-05,2025-02-14\nP1,2025-06-21,2026-12-31\nP7,2025-01-01,2025-01-02\n",
        encoding="utf-8",
    )
    (folder / "价格表.csv").write_text(
        "产品编码,生效日期,单价\nP1,2024-05-01,10\nP1,2025-03-17,20\nP1,2025-05-01,30\n", encoding="utf-8"
    )
    table = read(folder, closed=date(2025, 3, 31))
    share, price = (by_period(table, "P1", column) for column in ("promotion", "price"))
    assert table.findings == () and list(share) == [f"2025-0{m}" for m in range(1, 7)]
    assert list(share.values()) == pytest.approx([2 / 31, 14 / 28, 0, 0, 0, 10 / 30]), (
        "days of two promotions count once"
    )
    assert list(price.values()) == pytest.approx([10, 10, (16 * 10 + 15 * 20) / 31, 20, 30, 30])
    assert set(by_period(table, "P2", "promotion").values()) == {0.0} and not any(
        by_period(table, "P2", "price").values()
    )
    assert list(by_period(table, "P1", "sales").values()) == [10.0, 10.0, 10.0, None, None, None]
    assert "P7" not in table.names.values(), "what was never sold has no forecast"


def test_weeks_have_shares_and_prices_too():
    weekly = DEMAND.model_copy(update={"options": {"horizon": 4, "season": 52}})
    rows = pl.DataFrame({"series": ["P", "P"], "period": ["2025-01-06", "2025-01-13"], "sales": [1.0, 2.0]})
    promotions = pl.DataFrame({"series": ["P"], "begins": [date(2025, 1, 17)], "ends": [date(2025, 1, 21)]})
    prices = pl.DataFrame({"series": ["P"], "begins": [date(2025, 1, 8)], "price": [7.0]})
    made = with_offers(rows, {"promotions": promotions, "prices": prices}, weekly)
    assert made["period"].to_list() == [f"2025-{day}" for day in ("01-06", "01-13", "01-20", "01-27", "02-03", "02-10")]
    assert made["promotion"].to_list() == pytest.approx([0, 3 / 7, 2 / 7, 0, 0, 0])
    assert made["price"].to_list() == [7.0] * 6 and made["sales"].to_list() == [1.0, 2.0, None, None, None, None]


def test_without_them_nothing_is_asked_for_and_a_promotion_that_ends_before_it_begins_is_a_finding(folder):
    sold(folder)
    plain = read(folder, closed=date(2025, 3, 31))
    assert plain.training.columns == ["series", "period", "sales"] and len(plain.training) == 6
    (folder / "促销.csv").write_text("产品编码,开始日期,结束日期\nP1,2025-02-07,2025-02-01\n", encoding="utf-8")
    table = read(folder, closed=date(2025, 3, 31))
    assert [(f.place, f.row, f.column, f.rule) for f in table.findings] == [
        ("促销.csv", 2, "结束日期", "ends-before-it-begins")
    ]
    assert set(table.training["promotion"]) == {0.0}


def test_a_schema_of_before_keeps_its_digest():
    old = json.loads(DEMAND.to_bytes())
    assert [source.get("missing") for source in old["sources"]] == [None, "absent", "absent"]
    old["sources"], old["columns"] = old["sources"][:1], old["columns"][:3]
    old["sources"][0]["columns"] = old["sources"][0]["columns"][:4]
    read_back = read_schema(json.dumps(old).encode())
    assert json.loads(read_back.to_bytes()) == old and "missing" not in old["sources"][0]["columns"][0]
