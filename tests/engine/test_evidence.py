"""What orders say about public data is what the benchmarks wrote, and nothing is claimed that was not measured."""

import json
from pathlib import Path

import pytest

from engine.evidence import TaskEvidence, evidence

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def wql(file, setting, method):
    tables = json.loads((RESULTS / file).read_text(encoding="utf-8"))["tables"]
    return float(next(row for row in tables[setting] if row["method"] == method)["WQL"].split()[0])


@pytest.mark.parametrize("one", evidence("demand"), ids=lambda one: one.data)
def test_the_figures_of_an_order_are_those_of_the_benchmarks(one):
    file = f"demand-{one.data.lower().replace(', ', '-')}.json"
    assert one.unspent == wql(file, one.data, "start: vote, as served")
    simple = "seasonal naive" if one.data.startswith("Texas") else "moving average"
    assert one.alone == min(wql(file, one.data, name) for name in (simple, "AutoETS", "AutoTheta", "LGBM local"))
    for epsilon, value in one.spent.items():
        name = "tuned, no noise" if epsilon == "0" else f"tuned, local epsilon {epsilon}"
        assert value == wql(file, one.data, f"{name}: vote, as served")


def test_a_run_pays_only_if_it_was_better_by_half_a_percent_and_was_measured():
    one = TaskEvidence(data="x", members=3, measure="WQL", alone=0.2, unspent=0.1, spent={"1": 0.0996, "4": 0.099})
    assert one.pays("1") is False and one.pays("4") is True and one.pays("2") is None
    assert one.pays("0.5") is False and one.pays("8") is True, "less noise is not worse, more is not better"


@pytest.mark.parametrize("one", evidence("risk"), ids=lambda one: one.data)
def test_so_are_those_of_a_risk_order(one):
    table = json.loads((RESULTS / "risk.json").read_text(encoding="utf-8"))["tables"][one.data]
    brier = {row["method"]: float(row["Brier"]) for row in table}
    assert (one.alone, one.unspent) == (brier["own best by validation"], brier["own, as served"])
    for epsilon, value in one.spent.items():
        name = "ours, no noise" if epsilon == "0" else f"ours, local epsilon {epsilon}"
        assert value == brier[f"{name}: vote, as served"]


@pytest.mark.parametrize("one", evidence("warning"), ids=lambda one: f"{one.data}, {one.members}")
def test_so_are_those_of_early_warning(one):
    table = json.loads((RESULTS / "region_firms.json").read_text(encoding="utf-8"))["tables"][f"{one.members} members"]
    missing = {row["method"]: round(1 - float(row["AUC"]), 3) for row in table}
    prior = one.data.removeprefix("simulated firms, ")
    assert (one.alone, one.unspent) == (missing["each firm alone"], missing[f"{prior} alone"])
    for epsilon, value in one.spent.items():
        word = "no noise" if epsilon == "0" else f"epsilon {epsilon}"
        assert value == missing[f"{prior} + members, {word}"]


def test_every_task_that_ships_has_figures_and_another_none():
    assert evidence("risk") and evidence("demand") and evidence("warning")
    with pytest.raises(ModuleNotFoundError):
        evidence("nothing")
