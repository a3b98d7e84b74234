"""How fast a node answers: one case with reasons and receipt, a file of rows, the first score of a new process.

    python -m benchmarks.node.serving

A real chamber and three members of the simulated industry train risk trees once; then the coordinator is stopped.
Cases go over HTTP to `client-node serve`; the batch and the first score are `client-node score` in a process of its
own (start of Python included). Baselines of the same run: the same request without reasons and receipt cannot be had,
so a request that computes nothing (`/v1/tasks`) stands beside the cases, and `client-node score --help` beside the
first score. Budgets: p99 of a case under 100 ms, 20,000 rows a second in batch, first score within 3 s.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl

from benchmarks.tables import publish
from demo.cluster import Cluster, free_port
from demo.world import write

_ROW = {
    "months_known": 20.0,
    "owed": 40_000.0,
    "overdue_share": 0.4,
    "mean_delay_days": 20.0,
    "delay_trend": 3.0,
    "order_trend": -0.2,
    "order_gap_months": 1.0,
}


def rows(n: int) -> pl.DataFrame:
    """Rows of the risk table, without labels."""
    random = np.random.default_rng(0)
    numbers = {name: (value * random.uniform(0.3, 2.5, n)).round(4) for name, value in _ROW.items()}
    return pl.DataFrame({"counterparty": [f"C{i:06d}" for i in range(n)], **numbers})


def run(cluster: Cluster, home: str, *words: str) -> tuple[float, float]:
    """(seconds, CPU seconds) of one command of the node, in a process of its own."""
    began, used = time.perf_counter(), _children()
    cluster.command("client_node", *words, home=home)
    return time.perf_counter() - began, _children() - used


def _children() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def over_http(home: Path, asked: int) -> dict[str, list[float]]:
    """Milliseconds of each request, by kind, after one of each to warm up."""
    port = free_port()
    code = "from client_node.cli import main; main()"
    node = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", str(port), "--home", str(home)], stdout=subprocess.DEVNULL
    )
    case = {"row": {"counterparty": "new", **_ROW}}
    kinds: dict[str, Any] = {
        "nothing computed": lambda client: client.get("/v1/tasks"),
        "score of a case": lambda client: client.post("/v1/tasks/risk/score", json={"rows": [case["row"]]}),
        "score and smallest change": lambda client: client.post("/v1/tasks/risk/explain", json=case | {"line": 0.01}),
    }
    try:
        while not (home / "serve.token").exists():
            time.sleep(0.05)
        token = (home / "serve.token").read_text(encoding="ascii")
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        ) as client:
            _wait(client)
            return {name: _timed(client, ask, asked) for name, ask in kinds.items()}
    finally:
        node.terminate()
        node.wait(timeout=30)


def _wait(client: httpx.Client) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            client.get("/v1/tasks")
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise SystemExit("client-node serve does not answer")


def _timed(client: httpx.Client, ask: Any, asked: int) -> list[float]:
    ask(client).raise_for_status()
    taken = []
    for _ in range(asked):
        began = time.perf_counter()
        ask(client).raise_for_status()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def measured(
    asked: int, batch: int, repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[tuple[float, float]]]]:
    """(milliseconds of each kind of request, (wall, CPU) seconds of each kind of command) at
    the first node of a cluster."""
    with tempfile.TemporaryDirectory() as place, Cluster(Path(place), "en") as cluster:
        members = write(Path(place) / "world", 3, "demo")
        cluster.found(epsilon_run="1", tasks=("risk",))
        homes = [cluster.join(number, name, data) for number, (name, data) in enumerate(members, 1)]
        for home in homes:
            cluster.run_node(home)
        cluster.command(
            "coordinator", "order", "risk", "--epsilon", "1", "--yes", "--spend-anyway", "--wait", home="chamber"
        )
        run(cluster, homes[0], "score")  # the model is here, the table is kept
        cluster.close()
        large, one, out = (Path(place) / f"{name}.parquet" for name in ("batch", "one", "out"))
        rows(batch).write_parquet(large)
        rows(1).write_parquet(one)
        commands = {
            "first": ("score",),
            "file": ("score", str(large), "--out", str(out)),
            "one": ("score", str(one)),
            "help": ("score", "--help"),
        }
        taken = {name: [run(cluster, homes[0], *words) for _ in range(repeats)] for name, words in commands.items()}
        return over_http(cluster.home(homes[0]), asked), taken


def report(asked: int, batch: int, repeats: int) -> None:
    """Print and write the table."""
    requests, commands = measured(asked, batch, repeats)
    told = [
        {"what": name, "median": f"{np.median(ms):.1f} ms", "p99": f"{np.quantile(ms, 0.99):.1f} ms"}
        for name, ms in requests.items()
    ]
    seconds = {name: [float(np.median(part)) for part in zip(*taken, strict=True)] for name, taken in commands.items()}
    for what, name in (
        ("`score --help`", "help"),
        ("first score of a new process", "first"),
        (f"a file of {batch:,} rows", "file"),
    ):
        wall, cpu = seconds[name]
        told.append({"what": what, "median": f"{wall:.2f} s", "CPU": f"{cpu:.2f} s"})
    extra_wall, extra_cpu = (filed - one for filed, one in zip(seconds["file"], seconds["one"], strict=True))
    told.append(
        {
            "what": "rows a second beyond the first row",
            "median": f"{(batch - 1) / extra_wall:,.0f}",
            "CPU": f"{(batch - 1) / extra_cpu:,.0f} a CPU second",
        }
    )
    lines = [{"what": "", "median": "–", "p99": "–", "CPU": "–"} | line for line in told]
    notes = [
        (
            f"{asked} requests of each kind, {repeats} commands of each kind, a batch of {batch:,} rows; risk trees, "
            f"votes of one member."
        ),
        (
            "At most 100 ms (p99) a case with reasons and receipt, 3 s to the first score of a new process, 20,000 "
            "rows a second."
        ),
    ]
    publish("serving", "How fast a node answers", {"Time": lines}, notes)


def main() -> None:
    """Measure so often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asked", type=int, default=500)
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    report(chosen.asked, chosen.batch, chosen.repeats)


if __name__ == "__main__":
    main()
