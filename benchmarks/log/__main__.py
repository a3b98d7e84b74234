"""The log's own speed beside raw SQLite commits of the same run: durable acknowledgement, throughput, parts, proofs.

`python -m benchmarks.log [--runs N] [--million N] [--start N]`. Entries are opaque (600 bytes) where nothing
else is said, because the rules' cost is measured by the audit's benchmark; one line repeats it with the
rulebook. Each figure is the median of the runs. CPU time stands beside wall time where other programs or the
disk would hide what the code costs.
"""

import argparse
import gc
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import insert

from benchmarks.log.witnessed import NOTHING, privacy_check, receipts
from benchmarks.tables import publish
from contracts.envelope import digest, public_text, seal
from contracts.fields import new_id
from contracts.log.merkle import Tree, leaf_hash, verify_inclusion
from contracts.rules.fold import apply
from contracts.statements.closed_list import payload
from contracts.statements.statements import Genesis, Key
from coordinator.office import open_office
from coordinator.settings import create_home
from coordinator.store.database import Database, migrate
from coordinator.store.log import Log, _Waiting
from coordinator.store.static_log import write_static
from coordinator.store.tables import LogEntry

SUBMITTERS, EACH, BATCHES = 200, 100, 20
STAMP = {"issued_at": "2026-01-01T00:00:00Z"}


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
    """(entries a second, p99 of a commit in ms) of plain SQLite (WAL, FULL) in batches: the baseline."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"CREATE TABLE IF NOT EXISTS raw{batch} (n INTEGER PRIMARY KEY, entry BLOB)")
    count, times = min(SUBMITTERS * EACH, 200 * batch), []
    for first in range(0, count, batch):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        rows = [(n, entry(n)) for n in range(first, min(first + batch, count))]
        connection.executemany(f"INSERT INTO raw{batch} VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        times.append(time.perf_counter() - began)
    connection.close()
    return count / sum(times), percentile(times, 0.99) * 1000


def statements(log, settings, count):
    """So many statements of one admitted member that the rules accept in any order."""
    node = Ed25519PrivateKey.generate()
    key = {"role": "node", "public": public_text(node.public_key()), "register_document": NOTHING}
    admitted = Key(**STAMP, record_id=new_id(), member=new_id(), **key)
    log.append(seal(payload(admitted), [settings.office_key, node]))
    return [seal(payload(privacy_check(admitted.member)), [node]) for _ in range(count)]


def found(log, settings):
    """The first entry, which the rulebook wants."""
    said = Genesis(
        **STAMP,
        record_id=new_id(),
        origin=settings.origin,
        log_vkey=log.key.vkey(),
        office=public_text(settings.office_key.public_key()),
        agreement=public_text(settings.agreement_key.public_key()),
        ca=NOTHING,
        quorum="members n//2+1, auditors 1",
    )
    log.append(seal(payload(said), [settings.log_key, settings.office_key, settings.agreement_key]))


def submit(log, entries, folder):
    """(p50, p99 of the durable acknowledgement in ms, entries a second with tiles and checkpoints)."""
    waits, ended = [], threading.Event()

    def one(number):
        for said in entries[number::SUBMITTERS]:
            began = time.perf_counter()
            log.append(said)
            waits.append(time.perf_counter() - began)

    def publish():
        since = 0
        while not ended.wait(0.25):
            log.publish()
            _, since = write_static(log, folder, "https://localhost", since)

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
    write_static(log, folder, "https://localhost")
    rate = len(waits) / (time.perf_counter() - began)
    return percentile(waits, 0.5) * 1000, percentile(waits, 0.99) * 1000, rate


def parts(log, folder):
    """What each part costs for 200 entries, one after another in one thread: name -> (wall ms, CPU ms)."""
    taken, since = {}, 0

    def take(name, work):
        began, cpu = time.perf_counter(), time.process_time()
        made = work()
        spent = (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000
        taken.setdefault(name, []).append(spent)
        return made

    for batch in range(BATCHES):
        said = [_Waiting(partial(lambda made, _state: made, entry(-1 - batch * 200 - n))) for n in range(200)]
        take("200 entries in one commit", lambda said=said: log._commit(said))
        note = take("checkpoint signed and committed", log.publish)
        _, since = take("tiles and bundles", lambda since=since: write_static(log, folder, "https://localhost", since))
        take(
            "200 receipts",
            lambda note=note: [log.proof(one, note) for one in range(log.state().size - 200, log.state().size)],
        )
    return {
        name: tuple(statistics.median(column) for column in zip(*rows, strict=True)) for name, rows in taken.items()
    }


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


def starts(size):
    """Seconds until a process knows what a log of `size` entries says: folding all of it, and from its snapshot."""
    with tempfile.TemporaryDirectory() as name:
        log, settings = opened(Path(name) / "office", apply)
        found(log, settings)
        said = statements(log, settings, size - 2)  # the first entry, and the key of their member
        with log._database.write() as session:
            rows = [{"index": n, "digest": digest(one), "entry": one} for n, one in enumerate(said, log.state().size)]
            session.execute(insert(LogEntry), rows)
        log._database.close()
        taken = []
        for _ in range(2):
            office, began = open_office(settings), time.perf_counter()
            assert office.log.state().size == size
            taken.append(time.perf_counter() - began)
            office.database.close()
        return taken


def opened(folder, rules):
    """(log, settings) of a new office."""
    settings = create_home(folder, name="商会", code_digest="", domain="localhost", url="https://localhost")
    migrate(settings.database_url)
    gc.freeze()  # as `coordinator serve` does
    return Log(Database(settings.database_url), settings, rules), settings


def one_run():
    """All figures of one run, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, settings = opened(folder / "office", opaque)
        middle, late, rate = submit(log, [entry(n) for n in range(SUBMITTERS * EACH)], folder / "static")
        costs = parts(log, folder / "parts")
        log._database.close()
        ruled, settings = opened(folder / "ruled", apply)
        found(ruled, settings)
        _, ruled_late, ruled_rate = submit(ruled, statements(ruled, settings, SUBMITTERS * 30), folder / "ruled-static")
        ruled._database.close()
        alone, together = raw_commits(folder, 1), raw_commits(folder, 200)
        return {
            "raw SQLite, 1 an fsync: entries/s": alone[0],
            "raw SQLite, 1 an fsync: p99 of a commit, ms": alone[1],
            "raw SQLite, 200 an fsync: entries/s": together[0],
            "raw SQLite, 200 an fsync: p99 of a commit, ms": together[1],
            "durable ack at 200 submitters, p50 ms": middle,
            "durable ack at 200 submitters, p99 ms": late,
            "sustained with tiles and checkpoints, entries/s": rate,
            "the same with the rulebook (privacy checks), p99 ms": ruled_late,
            "the same with the rulebook (privacy checks), entries/s": ruled_rate,
            **{f"{part}: wall ms": wall for part, (wall, _cpu) in costs.items()},
            **{f"{part}: CPU ms": cpu for part, (_wall, cpu) in costs.items()},
        }


def main():
    """Print the table and write it to results/log."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--million", type=int, default=1_000_000, help="leaves of the tree that proves")
    options.add_argument("--start", type=int, default=20_000, help="entries of the log that a process starts with")
    chosen = options.parse_args()
    runs = [one_run() for _ in range(chosen.runs)]
    table = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    middle, late, held = proofs(chosen.million)
    table |= {
        f"inclusion proof in {chosen.million} leaves, p50 ms": middle,
        f"inclusion proof in {chosen.million} leaves, p99 ms": late,
        f"tree of {chosen.million} leaves, MiB": held,
    }
    folding, resuming = starts(chosen.start)
    table |= {
        f"start with {chosen.start} entries, all folded, s": folding,
        f"start with {chosen.start} entries, from a snapshot, s": resuming,
    }
    times = receipts(20 * chosen.runs)
    for share in (0.5, 0.99):
        table[f"receipt that 3 of 5 members witnessed, p{share * 100:.0f} ms"] = percentile(times, share) * 1000
    lines = [{"what": name, "median": f"{value:,.2f}"} for name, value in table.items()]
    notes = [
        (
            f"{SUBMITTERS} submitters, {SUBMITTERS * EACH:,} entries of 600 bytes, medians of {chosen.runs} runs; "
            f"the first lines are the baseline."
        ),
        "Budgets: durable acknowledgement p99 under 50 ms, 5,000 entries/s, inclusion proof p99 under 10 ms, "
        "witnessed receipt p99 under 5 s.",
    ]
    publish("log", "The log's own speed", {"Figures": lines}, notes)


if __name__ == "__main__":
    main()
