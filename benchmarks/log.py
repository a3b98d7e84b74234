"""The log's own speed beside raw SQLite commits of the same run: durable acknowledgement, throughput, proofs, memory.

`python -m benchmarks.log [--runs N] [--million]`; entries are opaque (600 bytes), because the rules' cost is measured by
the audit's benchmark. Each figure is the median of the runs.
"""

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from contracts.merkle import Tree, leaf_hash, verify_inclusion
from coordinator.database import Database, migrate
from coordinator.log import Log
from coordinator.settings import create_home
from coordinator.static import write_static

SUBMITTERS, EACH = 200, 30


def opaque(state, entry, index):
    """Rules that accept everything."""
    return replace(state, size=index + 1), ()


def entry(n):
    """600 bytes that no other entry has."""
    return b"%012d" % n + b"x" * 588


def percentile(values, share):
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def raw_commits(folder, batch):
    """Entries a second of plain SQLite (WAL, FULL) in batches: the baseline."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"CREATE TABLE IF NOT EXISTS raw{batch} (n INTEGER PRIMARY KEY, entry BLOB)")
    began, count = time.perf_counter(), SUBMITTERS * EACH
    for first in range(0, count, batch):
        connection.execute("BEGIN IMMEDIATE")
        rows = [(n, entry(n)) for n in range(first, min(first + batch, count))]
        connection.executemany(f"INSERT INTO raw{batch} VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    connection.close()
    return count / (time.perf_counter() - began)


def submit(log, folder):
    """(p50, p99 of the durable acknowledgement in ms, entries a second with tiles and checkpoints)."""
    waits, ended = [], threading.Event()

    def one(number):
        for n in range(EACH):
            began = time.perf_counter()
            log.append(entry(number * EACH + n))
            waits.append(time.perf_counter() - began)

    def publish():
        since = 0
        while not ended.wait(0.25):
            log.publish()
            _, since = write_static(log, folder / "static", "https://localhost", since)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(SUBMITTERS)]
    publisher = threading.Thread(target=publish)
    publisher.start()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    publisher.join()
    log.publish()
    write_static(log, folder / "static", "https://localhost")
    rate = len(waits) / (time.perf_counter() - began)
    return percentile(waits, 0.5) * 1000, percentile(waits, 0.99) * 1000, rate


def proofs(size):
    """(p50, p99 in ms of building an inclusion proof, MiB of the tree) in a tree of `size`."""
    leaves = [leaf_hash(entry(n)) for n in range(size)]
    tree, times, chosen = Tree(leaves), [], random.Random(0)
    root = tree.root()
    for _ in range(1000):
        index = chosen.randrange(size)
        began = time.perf_counter()
        proof = tree.inclusion_proof(index, size)
        times.append(time.perf_counter() - began)
        verify_inclusion(leaves[index], index, size, proof, root)
    held = sum(len(row) for row in tree._rows) / 2**20
    return percentile(times, 0.5) * 1000, percentile(times, 0.99) * 1000, held


def one_run():
    """All figures of one run, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = create_home(
            folder / "office", name="商会", code_digest="", domain="localhost", url="https://localhost"
        )
        migrate(settings.database_url)
        database = Database(settings.database_url)
        middle, late, rate = submit(Log(database, settings, opaque), folder)
        database.close()
        return {
            "raw SQLite, 1 an fsync, entries/s": raw_commits(folder, 1),
            "raw SQLite, 256 an fsync, entries/s": raw_commits(folder, 256),
            "durable ack at 200 submitters, p50 ms": middle,
            "durable ack at 200 submitters, p99 ms": late,
            "sustained with tiles and checkpoints, entries/s": rate,
        }


def main():
    """Print the table and the JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--million", type=int, default=1_000_000, help="leaves of the tree that proves")
    chosen = options.parse_args()
    runs = [one_run() for _ in range(chosen.runs)]
    table = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    middle, late, held = proofs(chosen.million)
    table |= {
        f"inclusion proof in {chosen.million} leaves, p50 ms": middle,
        f"inclusion proof in {chosen.million} leaves, p99 ms": late,
        f"tree of {chosen.million} leaves, MiB": held,
    }
    for name, value in table.items():
        print(f"{name:<52} {value:>12,.2f}")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
