"""The long suites: none is forgotten, each runs within a week, a change brings its own forward,
and the day's budget holds."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from benchmarks.smallest import FORMS
from shards import DAYS, ROOT, Shard, plan, read, took

BUDGET_S, SHARDS = read()
MONDAY = date(2026, 11, 30)
WEEK = [MONDAY + timedelta(days=number) for number in range(7)]
SMALLEST = ("-m", "benchmarks.smallest")


def shard(name, day="Sunday", watches=(), seconds=100, alone=True):
    return Shard(name, day, watches, ("-c", "pass"), seconds, alone)


def names(some):
    return [one.name for one, _ in some]


def named_by(is_named):
    """{path or benchmark: how many suites name it}."""
    words = [word for one in SHARDS for word in one.run[2:] if is_named(one)]
    return {word: words.count(word) for word in words}


def test_what_is_of_the_day_runs_whatever_changed_and_each_runs_within_a_week():
    some = [shard("a", "Monday"), shard("b", "Tuesday"), shard("c", "daily")]
    assert names(plan(some, [], MONDAY, 0).chosen) == ["a", "c"]
    assert {name for day in WEEK for name in names(plan(some, [], day, 0).chosen)} == {"a", "b", "c"}


def test_a_change_brings_forward_what_watches_over_it_and_nothing_else():
    some = [shard("ledger", watches=("client_node/ledger",)), shard("log", watches=("coordinator/store/log.py",))]
    assert names(plan(some, ["client_node/ledger/chain.py"], MONDAY, 1000).chosen) == ["ledger"]
    assert names(plan(some, ["coordinator/store/log.py"], MONDAY, 1000).chosen) == ["log"]
    assert names(plan(some, ["client_node/ledgers.py", "README.md"], MONDAY, 1000).chosen) == []
    assert names(plan(some, None, MONDAY, 1000).chosen) == ["ledger", "log"], "nobody knows what has changed"


def test_what_the_budget_leaves_is_named_with_its_day():
    some = [shard("a", "Monday"), shard("b", watches=("x",)), shard("c", watches=("x",), seconds=10)]
    made = plan(some, ["x"], MONDAY, 150)
    assert names(made.chosen) == ["a", "c"]
    [(left, why)] = made.left
    assert left.name == "b" and "its day is Sunday" in why


def test_two_run_at_once_unless_one_needs_the_machine():
    assert took([shard("a", alone=False), shard("b", alone=False)]) == 100
    assert took([shard("a"), shard("b", alone=False)]) == 200
    assert took([]) == 0


def test_every_slow_test_belongs_to_one_suite():
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.slow" in path.read_text(encoding="utf-8")]
    slow = {path.relative_to(ROOT).as_posix() for path in files} - {Path(__file__).relative_to(ROOT).as_posix()}
    told = named_by(lambda one: "slow" in one.run)
    assert {path: told.get(path, 0) for path in slow} == dict.fromkeys(slow, 1)


def test_every_benchmark_has_a_smallest_form_that_one_suite_starts():
    scripts = [
        path for path in (ROOT / "benchmarks").rglob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")
    ]
    names = {".".join(path.relative_to(ROOT / "benchmarks").with_suffix("").parts) for path in scripts}
    assert {name.removesuffix(".__main__") for name in names - {"smallest"}} == set(FORMS)
    assert named_by(lambda one: one.run[:2] == SMALLEST) == dict.fromkeys(FORMS, 1)


def test_all_that_a_suite_names_is_there():
    assert {one.day for one in SHARDS} == {*DAYS, "daily"}
    for one in SHARDS:
        paths = [*one.watches, *(word for word in one.run if "/" in word)]
        assert [path for path in paths if not (ROOT / path).exists()] == [], one.name


@pytest.mark.parametrize("day", WEEK, ids=lambda day: DAYS[day.weekday()])
def test_a_change_of_any_one_package_fits_into_any_day(day):
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/__init__.py")}
    for package in packages - {"demo"}:
        made = plan(
            SHARDS,
            [f"{package}/x.py", *(place for one in SHARDS for place in one.watches if place.split("/")[0] == package)],
            day,
            BUDGET_S,
        )
        assert made.left == (), package
        assert took([one for one, _ in made.chosen]) <= BUDGET_S
