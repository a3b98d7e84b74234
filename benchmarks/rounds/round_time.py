"""A steady round of three node processes with a demand model of 7,245 numbers, beside the same in one process.

    python -m benchmarks.rounds.round_time            everything
    python -m benchmarks.rounds.round_time --local    only what runs in one process: risk, 12 members x 2,000 rows, and
                                               demand, 24 members x 100 series

TLS, signed requests, witnessed round-open, OpenDP noise, ledger and log and the secure sum are all in the first row.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import polars as pl

from benchmarks.rounds.local_rounds import Side, play
from benchmarks.rounds.nodes import chamber
from contracts.log.checkpoint import parse_note
from engine.table import TableSchema
from engine.task import Task, load, plan_for
from privacy.accounting import rho_cap
from privacy.mechanisms import LatticeGaussian
from privacy.plan import ReleasePlan
from privacy.step import start_state

ROUNDS, CAP_NANO = 24, 24_355_970
RISK_MEMBERS, RISK_ROWS = 12, 2000
DEMAND_MEMBERS, DEMAND_SERIES = 24, 100
TASK = load("demand")


def schema() -> TableSchema:
    """Weekly sales, nine weeks ahead: the head that a run tunes has 7,245 numbers."""
    return TASK.schema().model_copy(update={"options": {"horizon": 9, "season": 52}})


def sales(seed: int, series: int = 20) -> pl.DataFrame:
    """Series of 170 weeks."""
    random = np.random.default_rng(seed)
    first = np.datetime64("2022-01-03")
    rows = [(f"P{s}", str(first + 7 * t), float(random.gamma(20, 50))) for s in range(series) for t in range(170)]
    return pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row")


def over_processes(secure_sum: str) -> list[float]:
    """Seconds for two more entries, an opened and a closed round, as the growing log shows them."""
    tables = {f"member {number}": sales(number) for number in (1, 2, 3)}
    with chamber(schema(), tables, secure_sum=secure_sum) as cluster:
        seen: dict[int, float] = {}
        watch = threading.Thread(target=_watch, args=(cluster.url, seen, stop := threading.Event()))
        watch.start()
        words = ("--rounds", ROUNDS, "--epsilon", "1", "--yes", "--spend-anyway", "--untold", "release", "--wait")
        cluster.command("coordinator", "order", "demand", *words, home="chamber")
        stop.set()
        watch.join()
    return [seen[size + 2] - began for size, began in seen.items() if size + 2 in seen][-2 * ROUNDS :]


def _watch(url: str, seen: dict[int, float], stop: threading.Event) -> None:
    """Note when each log size was first cosigned."""
    with httpx.Client(verify=False, trust_env=False) as client:
        while not stop.is_set():
            answer = client.get(f"{url}/checkpoint")
            if answer.status_code == 200:
                seen.setdefault(parse_note(answer.text).checkpoint.size, time.monotonic())
            time.sleep(0.02)  # to look more often would slow down what is measured


def in_process(members: int = 3, series: int = 20) -> tuple[int, list[float]]:
    """(numbers in the model, seconds of each round) over LocalGrid with the same noise."""
    table = schema()
    plan = plan_for(TASK, table, family="gradients", releases=ROUNDS, rho_nano=CAP_NANO, delta="1e-6", members=members)
    rows = [TASK.prepare(sales(number, series), table) for number in range(members)]
    return plan.length(), _timed(TASK, table, plan, rows)


def risk_in_process() -> list[float]:
    """Seconds of each round of the product's trees at epsilon 1 over LocalGrid, noise and all."""
    risk, random = load("risk"), np.random.default_rng(0)
    table = risk.schema()
    plan = plan_for(
        risk, table, family="trees", releases=0, rho_nano=rho_cap("1", "1e-6"), delta="1e-6", members=RISK_MEMBERS
    )

    def rows() -> pl.DataFrame:
        columns = {c.name: random.uniform(float(c.low), float(c.high), RISK_ROWS) for c in table.of_kind("number")}
        who = {"counterparty": [f"C{number}" for number in range(RISK_ROWS)]}
        return pl.DataFrame(who | columns | {"defaulted": (random.random(RISK_ROWS) < 0.05).astype(float)})

    return _timed(risk, table, plan, [risk.prepare(rows(), table) for _ in range(RISK_MEMBERS)])


def _timed(task: Task, table: TableSchema, plan: ReleasePlan, rows: list[Any]) -> list[float]:
    """Seconds from one sum to the next. Every member draws its noise within them, as a node does: before it is asked,
    two members at a time on two cores."""

    def noted(values: array[int], members: int) -> bool:
        if members == len(rows):  # the sum of the round is there
            times.append(time.perf_counter())
            list(pool.map(lambda one: one.draw_ahead(), noise))
        return True

    model, noise = task.start(table, plan.shape.family), [LatticeGaussian(plan) for _ in rows]
    sides = [Side(task, plan, own, mine) for own, mine in zip(rows, noise, strict=True)]
    times = [time.perf_counter()]
    with ThreadPoolExecutor(2) as pool:
        play(plan, sides, model, start_state(plan, model), accepts=noted)
    return np.diff(times).tolist()


def main() -> None:
    """Print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true", help="only the rounds in one process")
    chosen = parser.parse_args()
    for text, times in (
        (f"risk, {RISK_MEMBERS} members x {RISK_ROWS} rows, LocalGrid", risk_in_process()),
        (
            f"demand, {DEMAND_MEMBERS} members x {DEMAND_SERIES} series, LocalGrid",
            in_process(DEMAND_MEMBERS, DEMAND_SERIES)[1],
        ),
    ):
        print(f"{text:<45}{statistics.median(times):.3f} s a round (median of {len(times)})")
    if chosen.local:
        return
    length, local = in_process()
    apart, plain = over_processes("required"), over_processes("none")
    print(f"model of {length} numbers, 3 members, {len(apart)} times from one entry to the next but one")
    print(f"{'3 node processes, TLS, signed, secure sum':<45}{statistics.median(apart):.3f} s a round (median)")
    print(f"{'3 node processes, plain sum':<45}{statistics.median(plain):.3f} s a round (median)")
    print(f"{'LocalGrid, same model and noise':<45}{statistics.median(local):.3f} s a round (median)")
    print(f"{'ratio':<45}{statistics.median(apart) / statistics.median(local):.1f}")


if __name__ == "__main__":
    main()
