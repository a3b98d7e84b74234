"""What a member's file must be: every fault names row and column, never the value."""

import pytest

from client_node.sources import read_table
from contracts.errors import Malformed, Unavailable
from engine.task import load

SCHEMA = load("risk").schema()
HEADER = "counterparty,months_known,exposure_share,overdue_share,mean_delay_days,delay_trend,order_trend,order_gap_months,defaulted"
ROW = "C1,12,0.1,0.2,5,1,0.1,0,0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "\n", "has no rows"),
        (HEADER.replace("overdue_share", "other") + "\n" + ROW, "lacks the column overdue_share"),
        (f"{HEADER}\n{ROW.replace('12', 'twelve')}", "row 2, column months_known: not a number"),
        (f"{HEADER}\n{ROW}\n{ROW}", "row 3, column counterparty: same as an earlier row"),
        (f"{HEADER}\n{ROW[:-1]}2", "row 2, column defaulted: neither 0 nor 1"),
        (f"{HEADER}\n{ROW.replace('0.2', 'nan')}", "row 2, column overdue_share: not a number"),
        (f"{HEADER}\n{ROW.replace('0.2', '')}", "row 2, column overdue_share: empty"),
    ],
)
def test_a_bad_file_names_row_and_column_and_never_the_value(tmp_path, text, message):
    (tmp_path / "receivables.csv").write_text(text, encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        read_table(tmp_path, SCHEMA)
    told = " ".join(caught.value.lines())
    assert message in told and "twelve" not in told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_headings_are_read_in_the_encodings_of_office_programs(tmp_path, encoding):
    names = {c.name: c.aliases[0] for c in SCHEMA.columns}
    text = ",".join(names[n] for n in HEADER.split(",")) + "\n" + ROW.replace("C1", "客户一") + "\n"
    (tmp_path / "receivables.csv").write_text(text, encoding=encoding)
    assert read_table(tmp_path, SCHEMA)["counterparty"].to_list() == ["客户一"]


def test_bytes_that_are_no_text_and_an_absent_file_are_refused(tmp_path):
    with pytest.raises(Unavailable, match="there is no file"):
        read_table(tmp_path, SCHEMA)
    (tmp_path / "receivables.csv").write_bytes(b"\xff\xfe\x00\x01\x80\x80\xff")
    with pytest.raises(Malformed, match="neither UTF-8 nor GB18030"):
        read_table(tmp_path, SCHEMA)
