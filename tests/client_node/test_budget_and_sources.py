"""The ledger under kills, races and retries; and what a member's file must be."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from client_node.budget import Budget
from client_node.egress import ALLOWED, Egress
from client_node.guard import Limits, authorise
from client_node.sources import read_table
from contracts.errors import Invalid, Malformed, Refused, Unavailable
from engine.task import load
from privacy.spend import Spend, Unit
from simulator import NOTHING, Trust

SCHEMA = load("risk").schema()
HEADER = "counterparty,months_known,exposure_share,overdue_share,mean_delay_days,delay_trend,order_trend,order_gap_months,defaulted"
ROW = "C1,12,0.1,0.2,5,1,0.1,0,0"


def spend(number, rho=10, run="run"):
    return Spend("receivables", Unit.ROW, "train", rho, run, number)


def reserve(budget, number, rho=10, run="run", run_cap=1000, year_cap=1000):
    return budget.reserve(spend(number, rho, run), year="2026", run_cap=run_cap, year_cap=year_cap)


def test_a_release_is_charged_once_and_its_bytes_are_sent_again_for_free(tmp_path):
    budget = Budget(tmp_path / "ledger.db")
    assert reserve(budget, 1) is None
    budget.publish("run", 1, b"payload", b"line")
    again = reserve(budget, 1)
    assert (again.payload, again.line) == (b"payload", b"line")
    assert budget.spent("receivables", "row", "train", "2026") == 10


def test_a_release_begun_and_never_published_is_burnt(tmp_path):
    reserve(Budget(tmp_path / "ledger.db"), 1)
    with pytest.raises(Refused, match="begun before"):
        reserve(Budget(tmp_path / "ledger.db"), 1)
    assert Budget(tmp_path / "ledger.db").head().rho_total_nano == 10


def test_neither_cap_can_be_passed_by_one_nano(tmp_path):
    budget = Budget(tmp_path / "ledger.db")
    reserve(budget, 1, 600)
    with pytest.raises(Refused, match="does not hold round 2"):
        reserve(budget, 2, 401)
    with pytest.raises(Refused):
        reserve(budget, 3, 101, run_cap=700)
    assert reserve(budget, 4, 400) is None


def test_an_altered_row_is_found(tmp_path):
    budget = Budget(tmp_path / "ledger.db")
    for number in range(3):
        reserve(budget, number)
    budget.verify()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE spend SET rho_nano = 1 WHERE seq = 2")
    with pytest.raises(Invalid, match="row 2"):
        budget.verify()


def test_a_ledger_that_cannot_be_written_sends_nothing(tmp_path):
    budget = Budget(tmp_path / "ledger.db")
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DROP TABLE spend")
    with pytest.raises(Unavailable, match="ledger"):
        reserve(budget, 1)


STORM = """
import sys; from pathlib import Path; from client_node.budget import Budget; from privacy.spend import Spend, Unit
budget, sent = Budget(Path(sys.argv[1])), open(sys.argv[2], "a")
for number in range(10_000):
    if budget.reserve(Spend("d", Unit.ROW, "train", 1, sys.argv[3], number), year="2026", run_cap=10**9, year_cap=int(sys.argv[4])) is None:
        budget.publish(sys.argv[3], number, b"p", b"l"); sent.write("x"); sent.flush()
"""


def storm(tmp_path, name, cap=10**9):
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", STORM, str(tmp_path / "ledger.db"), str(tmp_path / "sent"), name, str(cap)],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )


def test_nothing_is_sent_that_was_not_charged_however_often_the_node_is_killed(tmp_path):
    for number in range(4):
        process = storm(tmp_path, f"run{number}")
        time.sleep(1.2 + 0.13 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
    budget = Budget(tmp_path / "ledger.db")
    budget.verify()
    sent = len((tmp_path / "sent").read_text(encoding="ascii"))
    assert 0 < sent <= budget.head().rho_total_nano <= sent + 8


def test_two_processes_racing_for_the_last_budget_do_not_pass_it(tmp_path):
    processes = [storm(tmp_path, f"run{n}", cap=25) for n in range(2)]
    for process in processes:
        process.wait(timeout=60)
    assert Budget(tmp_path / "ledger.db").head().rho_total_nano == 25


def test_only_listed_messages_leave(tmp_path):
    egress = Egress(Budget(tmp_path / "ledger.db"))
    egress.check("contribution", "PUT", "/v1/contributions/x", {"line": "", "payload": ""})
    for kind, method, path, body in (
        ("contribution", "PUT", "/v1/contributions/x", {"line": "", "payload": "", "loss": 0.1}),
        ("metrics", "POST", "/v1/metrics", {}),
        ("task", "POST", "/v1/join", {"wait": 0, "done": []}),
    ):
        with pytest.raises(Refused, match="may not leave"):
            egress.check(kind, method, path, body)
    assert {rule[3] for rule in ALLOWED.values()} == {"no data", "own statement", "noised, inside epsilon"}


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


@pytest.fixture
def asked():
    """A trust with an open round, and how its first member's guard is asked."""
    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()

    def ask(budget, **changes):
        fields = {
            "run": trust.run.run,
            "open_index": trust.run.open_round().open_index,
            "witnessed": len(trust.entries),
            "bundle": NOTHING,
            "budget": budget,
            "limits": Limits(10**9, 10**9),
            "withdrawn": False,
            "now": "2026-01-06T00:00:00Z",
        }
        return authorise(trust.state, trust.firms[0].member, **(fields | changes))

    return trust, ask


def test_the_guard_permits_what_was_agreed_and_names_why_it_refuses(tmp_path, asked):
    trust, ask = asked
    budget = Budget(tmp_path / "ledger.db")
    assert ask(budget).run_cap == 24_355_970
    for change, reason in (
        ({"witnessed": 3}, "log"),
        ({"run": NOTHING}, "log"),
        ({"bundle": trust.agreement}, "bundle"),
        ({"withdrawn": True}, "consent"),
        ({"limits": Limits(1, 10**9)}, "budget"),
        ({"now": "2026-12-02T00:00:00Z"}, "expired"),
    ):
        with pytest.raises(Refused) as caught:
            ask(budget, **change)
        assert caught.value.values["reason"] == reason


def test_the_guard_refuses_with_a_restored_ledger(tmp_path, asked):
    trust, ask = asked
    trust.close()
    trust.open()
    with pytest.raises(Refused, match="older than the log"):
        ask(Budget(tmp_path / "ledger.db"))
