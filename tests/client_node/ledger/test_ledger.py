"""The ledger: charged once, before anything leaves, never given back, and not fooled by files, clocks or copies."""

import secrets
import shutil
import signal
import sqlite3
import time

import pytest

import racer
from client_node.ledger.chain import EMPTY, Caps
from client_node.ledger.ledger import Budget
from contracts.errors import Invalid, Refused, Unavailable
from contracts.statements.statements import LedgerHead
from privacy.spend import Spend, Unit


def reserve(
    budget,
    number,
    rho=10,
    *,
    unit=Unit.ROW,
    partition="train",
    run=1000,
    account=1000,
    ceiling=2000,
    year="2026",
    at="2026-05-01T08:00:00Z",
):
    spend = Spend("receivables", unit, partition, rho, "run", number)
    return budget.reserve(spend, Caps(run, account, ceiling, year, at))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def test_a_release_is_charged_once_and_its_bytes_are_sent_again_for_free(path):
    budget = Budget(path)
    assert reserve(budget, 1) is None
    budget.publish("run", 1, b"payload", b"line")
    again = reserve(Budget(path), 1)
    assert (again.payload, again.line) == (b"payload", b"line")
    assert racer.spent(budget, "receivables", "row", "train", "2026") == 10


def test_a_row_is_on_the_disk_and_not_only_with_the_operating_system_before_anything_is_done_because_of_it(path):
    with Budget(path)._write() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: each commit waits for its fsync"


def test_a_release_begun_and_never_published_is_burnt(path):
    reserve(Budget(path), 1)
    with pytest.raises(Refused, match="begun before"):
        reserve(Budget(path), 1)
    assert Budget(path).head().rho_total_nano == 10


def test_no_cap_can_be_passed_by_one_nano(path):
    budget = Budget(path)
    reserve(budget, 1, 600)
    for number, rho, cap in ((2, 401, {}), (3, 101, {"run": 700}), (4, 101, {"account": 700})):
        with pytest.raises(Refused, match=f"does not hold round {number}"):
            reserve(budget, number, rho, **cap)
    assert reserve(budget, 5, 400) is None


def test_train_and_holdout_spend_beside_each_other_up_to_the_ceiling_of_both(path):
    budget = Budget(path)
    reserve(budget, 1, 600, run=10**6)
    reserve(budget, 2, 600, partition="holdout", run=10**6)
    with pytest.raises(Refused, match="does not hold round 3"):
        reserve(budget, 3, 301, partition="holdout", run=10**6, ceiling=1500)
    assert reserve(budget, 3, 300, partition="holdout", run=10**6, ceiling=1500) is None


def test_a_coarser_unit_is_charged_to_every_finer_one_inside_it_as_two_changes(path):
    budget = Budget(path)
    reserve(budget, 1, 100, unit=Unit.COUNTERPARTY)
    assert racer.spent(budget, "receivables", "counterparty", "train", "2026") == 100
    assert racer.spent(budget, "receivables", "row", "train", "2026") == 400
    assert racer.spent(budget, "receivables", "series", "train", "2026") == 0
    with pytest.raises(Refused, match="does not hold round 2"):
        reserve(budget, 2, 601)
    reserve(budget, 2, 600)
    with pytest.raises(Refused, match="does not hold round 3"):
        reserve(budget, 3, 1, unit=Unit.MEMBER)
    assert budget.head().rho_total_nano == 700


def test_a_new_year_has_its_own_account_and_the_total_goes_on(path):
    budget = Budget(path)
    reserve(budget, 1, 900)
    assert reserve(budget, 2, 900, run=10**6, year="2027", at="2027-01-02T00:00:00Z") is None
    assert [racer.spent(budget, "receivables", "row", "train", year) for year in ("2026", "2027")] == [900, 900]
    assert budget.head().rho_total_nano == 1800


@pytest.mark.parametrize("back", [{"at": "2026-04-30T08:00:00Z"}, {"year": "2025"}])
def test_a_clock_or_a_year_that_runs_backwards_is_refused(path, back):
    budget = Budget(path)
    reserve(budget, 1)
    with pytest.raises(Refused, match="before the last row"):
        reserve(budget, 2, **back)
    assert reserve(budget, 2, at="2026-05-01T07:59:30Z") is None, "half a minute is no lie"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE row SET body = replace(body, '10', '11') WHERE seq = 2",
        "UPDATE row SET head = 'sha256:' || substr(head, 8) || '0' WHERE seq = 3",
        "DELETE FROM row WHERE seq = 3",
        "UPDATE row SET seq = 99 WHERE seq = 3",
        "UPDATE kept SET payload = x'00'",
        "DELETE FROM kept",
        "UPDATE secret SET value = x'00'",
    ],
)
def test_an_altered_ledger_is_found(path, change):
    budget = Budget(path)
    for number in range(3):
        reserve(budget, number)
        budget.publish("run", number, b"payload", b"line")
    budget.verify()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    with pytest.raises(Invalid, match="was altered"):
        Budget(path).verify()


def test_a_row_altered_while_the_node_runs_gives_no_budget_back(path):
    budget = Budget(path)
    reserve(budget, 1, 990)
    reserve(budget, 2, 10)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE row SET body = replace(body, '990', '100')")
    with pytest.raises(Refused, match="does not hold round 3"):
        reserve(budget, 3, 10)


def test_rows_cut_off_the_end_while_the_node_runs_are_found(path):
    budget = Budget(path)
    for number in range(3):
        reserve(budget, number)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM row WHERE seq = (SELECT MAX(seq) FROM row)")
    with pytest.raises(Invalid, match="was altered"):
        reserve(budget, 4)


def test_every_single_flipped_bit_of_a_row_is_found(path):
    reserve(Budget(path), 1)
    with sqlite3.connect(path) as connection:
        body, head = connection.execute("SELECT body, head FROM row WHERE seq = 2").fetchone()
    for column, text in (("body", body), ("head", head)):
        for place in range(0, 8 * len(text), 7):
            flipped = bytearray(text.encode())
            flipped[place // 8] ^= 1 << place % 8
            with sqlite3.connect(path) as connection:
                connection.execute(f"UPDATE row SET {column} = CAST(? AS TEXT) WHERE seq = 2", (bytes(flipped),))
            with pytest.raises((Invalid, Unavailable)):
                Budget(path)
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE row SET {column} = ? WHERE seq = 2", (text,))
    Budget(path).verify()


def test_a_restored_or_new_ledger_does_not_know_what_was_shown(path, tmp_path):
    budget = Budget(path)
    assert budget.knows(EMPTY)
    reserve(budget, 1)
    shutil.copy(path, tmp_path / "backup.db")
    reserve(budget, 2)
    shown = budget.head()
    assert budget.knows(shown)
    assert not Budget(tmp_path / "backup.db").knows(shown)
    assert not Budget(tmp_path / "new.db").knows(shown)
    assert not budget.knows(LedgerHead(head=shown.head, rho_total_nano=10))


def test_what_was_pledged_is_never_said_otherwise_also_by_another_process(path):
    Budget(path).pledge("run", 1, {"set": "a", "keys": "b"})
    Budget(path).pledge("run", 1, {"set": "a"})
    with pytest.raises(Refused, match="said otherwise"):
        Budget(path).pledge("run", 1, {"set": "c", "more": "d"})
    assert Budget(path).pledged("run", 1) == {"set": "a", "keys": "b"}


def test_a_ledger_that_cannot_be_written_or_is_of_another_version_sends_nothing(path, tmp_path):
    budget = Budget(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE row")
    with pytest.raises(Unavailable, match="cannot be used"):
        reserve(budget, 1)
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE spend (seq INTEGER)")
    with pytest.raises(Unavailable, match="another version"):
        Budget(tmp_path / "old.db")


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_nothing_is_sent_that_was_not_charged_however_often_a_process_is_killed(path, kills):
    sent = path.parent / "sent"
    sent.touch()
    for number in range(kills):
        process, before = racer.start(path, f"run{number}"), sent.stat().st_size
        while sent.stat().st_size < before + 3 + number % 5 and process.poll() is None:
            time.sleep(0.002)
        time.sleep(secrets.randbelow(20) / 1000)  # anywhere between two commits
        process.send_signal(signal.SIGKILL)
        process.wait()
    budget = Budget(path)
    budget.verify()
    assert 0 < sent.stat().st_size <= budget.head().rho_total_nano <= sent.stat().st_size + 2 * kills
    print(f"{kills} kills: {sent.stat().st_size} sent, {budget.head().rho_total_nano} charged, 0 sent without a row")


def test_six_processes_racing_for_the_last_budget_do_not_pass_it(path):
    processes = [racer.start(path, f"run{n}", cap=25) for n in range(6)]
    for process in processes:
        process.wait(timeout=120)
    budget = Budget(path)
    budget.verify()
    assert budget.head().rho_total_nano == 25 == (path.parent / "sent").stat().st_size
