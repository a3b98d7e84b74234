"""Kill storm on whole nodes: `client-node run` is killed at random moments while rounds run over TLS.

    python tests/trials/node_storm.py [KILLS]

Half of the kills with the secure sum, half with plain sums; the coordinator is killed now and then too, and every
tenth reply is lost on its way. Then every message that the coordinator has ever received is looked for in the
ledger of its sender. The other ways to cheat a ledger follow (tests/trials/node_cases.py), each named with its result.
Ctrl-C ends the killing, not the judging.
"""

import hashlib
import json
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# ruff: noqa: E402 (a script that must find the project first)

from client_node.ledger.chain import Book
from client_node.rounds.node import limits_of
from client_node.settings import read_home
from contracts.envelope import digest, key_id, open_entry
from contracts.statements.closed_list import parse
from contracts.statements.sums import list_of
from demo.cluster import StepFailed
from demo.world import write
from engine import rounds
from tapped import TappedCluster

MEMBERS, ROUNDS, PAUSE_S, COORDINATOR_EVERY = 6, 50, 4.0, 15
DEADLINE_S = 8  # long enough for a machine that does other things too
TIGHT = '"0.9"'  # epsilon a year that the last member allows: its ledger ends in the middle of the second run


@dataclass
class Counts:
    """What a storm came to. The last four must be 0."""

    kills: int = 0
    silent: int = 0
    coordinator: int = 0
    rounds: int = 0
    recorded: int = 0
    messages: int = 0
    again: int = 0
    burnt: int = 0
    without_a_row: int = 0
    in_other_bytes: int = 0
    charged_twice: int = 0
    over_a_cap: int = 0


class Trust:
    """A tapped chamber and its members' nodes at work, with a run always under way while `ordering`."""

    def __init__(self, folder, secure_sum, lose=0.1, members=MEMBERS):
        self.cluster = TappedCluster(folder, "en", lose=lose)
        self.cluster.found(epsilon_run="4", tasks=("risk",), secure_sum=secure_sum)
        data = write(folder / "world", members, "tiny")
        self.homes = [self.cluster.join(number, *one) for number, one in enumerate(data, 1)]
        config = self.cluster.home(self.homes[-1]) / "config.toml"
        config.write_text(config.read_text(encoding="utf-8").replace('year_max = "4"', f"year_max = {TIGHT}"), "utf-8")
        self.settings = {home: read_home(self.cluster.home(home)) for home in self.homes}
        self.keys = {key_id(held.node_key.public_key()): home for home, held in self.settings.items()}
        self.spoke, self._read = defaultdict(int), 0
        self.storming = threading.Event()

    def run_node(self, home):
        """Start a node, and forget that it was heard before."""
        self.look()
        self.spoke[home] = 0
        self.cluster.run_node(home)

    def start_missing(self):
        """Start what an interrupted kill has left ended."""
        if (
            self.cluster.processes.get("coordinator") is None
            or self.cluster.processes["coordinator"].poll() is not None
        ):
            self.cluster.serve()
        for home in self.homes:
            if home not in self.cluster.processes or self.cluster.processes[home].poll() is not None:
                self.run_node(home)

    def look(self):
        """Count what each node has said since it was started."""
        for message in self.cluster.heard(self._read):
            self._read += 1
            self.spoke[self.keys.get(message.key)] += 1

    def wait_for_nodes(self, most_missing=1):
        """Until all but so many nodes are at work."""
        end = time.monotonic() + 300
        while sum(not self.spoke[home] for home in self.homes) > most_missing:
            assert time.monotonic() < end, "the nodes do not come up"
            time.sleep(0.1)
            self.look()

    def wait_for_a_sum(self):
        """Until a round is recorded: a storm over nodes that computed nothing has tried nothing."""
        end = time.monotonic() + 300
        log = self.cluster.log()
        while not any(is_recorded(record) for run in log.state().runs.values() for record in run.rounds):
            assert time.monotonic() < end, "no round is recorded"
            time.sleep(0.5)

    def keep_ordering(self):
        """Order one run after the other, for as long as the storm goes on."""
        log = self.cluster.log()
        while self.storming.is_set():
            if all(run.is_complete() for run in log.state().runs.values()):
                order(self.cluster)
            time.sleep(1)


def is_recorded(record):
    """True if a round ended with a sum."""
    return record.closed is not None and record.closed.outcome == "recorded"


def order(cluster, rounds=ROUNDS):
    """Order a run of the risk task, also while the coordinator is being killed."""
    words = ("risk", "--rounds", rounds, "--epsilon", "0.5", "--deadline", DEADLINE_S, "--yes", "--spend-anyway")
    try:
        cluster.command("coordinator", "order", *words, home="chamber")
    except StepFailed as error:
        print(error, file=sys.stderr)


class Storm:
    """Kills nodes of a trust at random moments."""

    def __init__(self, trust, seed):
        self.trust, self.draw, self.counts = trust, random.Random(seed), Counts()

    def rage(self, kills):
        """So many nodes killed and started again, one after the other."""
        trust = self.trust
        for home in trust.homes:
            trust.run_node(home)
        trust.wait_for_nodes(0)
        trust.storming.set()
        orders = threading.Thread(target=trust.keep_ordering)
        orders.start()
        while not trust.cluster.log().state().runs:
            time.sleep(0.5)
        try:
            for number in range(1, kills + 1):
                trust.wait_for_nodes()
                time.sleep(self.draw.uniform(0, PAUSE_S))
                self._kill_one()
                if number % COORDINATOR_EVERY == 0:
                    self._kill_coordinator()
                if number % 10 == 0:
                    print(f"  {number}/{kills} kills", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("  no more kills", file=sys.stderr)
        finally:
            trust.start_missing()
            trust.wait_for_a_sum()
            trust.storming.clear()
            orders.join()

    def _kill_coordinator(self):
        self.trust.cluster.stop("coordinator", kill=True)
        self.trust.cluster.serve()
        self.counts.coordinator += 1

    def _kill_one(self):
        trust, home = self.trust, self.draw.choice(self.trust.homes)
        trust.look()
        assert trust.cluster.processes[home].poll() is None, f"{home} ended by itself"
        self.counts.kills += 1
        self.counts.silent += not trust.spoke[home]
        trust.cluster.stop(home, kill=True)
        trust.run_node(home)


# judging


@dataclass
class Ledger:
    """What a node's ledger says: its rows as a book, its spends one by one, and all that left."""

    path: Path
    book: Book = field(default_factory=Book)
    spends: list = field(default_factory=list)
    gone: set = field(default_factory=set)

    def __post_init__(self):
        with sqlite3.connect(self.path) as connection:
            for seq, body, head in connection.execute("SELECT seq, body, head FROM row ORDER BY seq"):
                self.book.add(seq, body, head)  # Invalid unless the chain holds
                if json.loads(body)["fact"] == "spend":
                    self.spends.append(json.loads(body))
            self.gone = {name for (name,) in connection.execute("SELECT digest FROM gone")}


def steps(cluster):
    """{task name: (run, round, step)} of all that was ever asked."""
    with sqlite3.connect(cluster.home("chamber") / "coordinator.db") as connection:
        rows = connection.execute("SELECT id, run, round, step, member FROM taskmessage").fetchall()
    for name, run, round, step, member in rows:
        assert name == hashlib.sha256(f"{run}/{round}/{step}/{member}".encode()).hexdigest()
    return {name: (run, round, step) for name, run, round, step, _ in rows}


def has_its_row(ledger, message, asked):
    """True if the ledger wrote down that these bytes leave, and why they may."""
    if digest(message.body) not in ledger.gone:
        return False
    if message.task() is None:
        return True
    run, round, step = asked[message.task()]
    (line, payload), said = message.parts, ledger.book.pledges.get((run, round), {})
    match step:
        case rounds.TRAIN:
            told = ledger.book.published.get((run, round))
            return (run, round) in ledger.book.reserved and told == (digest(payload), digest(line))
        case rounds.KEYS:
            return said.get("keys") == digest(line)
        case rounds.SHARES:
            return "keys" in said
        case rounds.SURVIVORS:
            return said.get("survivors") == digest(list_of(parse(open_entry(line).payload)))
    assert step == rounds.UNMASK
    return all(f"reveal {peer}" in said for peer in json.loads(payload))


def judge(trust, counts):
    """Every message that was received beside the ledgers; adds to `counts`."""
    heard = list(trust.cluster.heard())  # before the ledgers are read: a row is written before its bytes leave
    asked, sent = steps(trust.cluster), defaultdict(set)
    ledgers = {home: Ledger(trust.cluster.home(home) / "ledger.db") for home in trust.homes}
    for message in heard:
        if message.key not in trust.keys or message.path in ("/v1/task", "/v1/cosignatures", "/v1/join"):
            continue
        counts.messages += 1
        if not has_its_row(ledgers[trust.keys[message.key]], message, asked):
            counts.without_a_row += 1
            print("without a row:", trust.keys[message.key], message.path, file=sys.stderr)
        if message.task():
            counts.again += bool(sent[message.path])
            sent[message.path].add(message.body)
    counts.in_other_bytes += sum(len(bodies) > 1 for bodies in sent.values())
    for home, ledger in ledgers.items():
        judge_spending(ledger, limits_of(trust.settings[home]), counts)
    opened = [record for run in trust.cluster.log().state().runs.values() for record in run.rounds]
    counts.rounds += len(opened)
    counts.recorded += sum(map(is_recorded, opened))


def judge_spending(ledger, limits, counts):
    """Nothing is charged twice for one round, nothing lies over a cap, and the rows add up to what is shown."""
    charged = Counter((row["run"], row["round"]) for row in ledger.spends)
    counts.charged_twice += sum(times > 1 for times in charged.values())
    assert ledger.book.head.rho_total_nano == sum(row["rho_nano"] for row in ledger.spends)
    counts.burnt += len(ledger.book.reserved) - len(ledger.book.published)
    counts.over_a_cap += sum(spent > limits.run for spent in ledger.book.runs.values())
    by_unit = Counter()
    for (dataset, unit, _partition, year), spent in ledger.book.accounts.items():
        if (dataset, unit) in ledger.book.released_by:
            counts.over_a_cap += spent > limits.account
            by_unit[dataset, unit, year] += spent
    counts.over_a_cap += sum(spent > limits.ceiling for spent in by_unit.values())


def verdict(cluster, home):
    """Findings of an auditor over the whole log, by the pins of a member."""
    pins, folder = cluster.folder / "pins.json", cluster.folder / "mirror"
    cluster.command("client_node", "pins", "--out", pins, home=home)
    cluster.command("auditor", "mirror", cluster.url, folder, "--pins", pins)
    told = cluster.json("auditor", "verify", folder, "--pins", pins, ok=(0, 1))
    return [finding for step in told["steps"] for finding in step["findings"]]


def storm(folder, kills, secure_sum, seed=1):
    """(trust, counts) of one whole storm; the nodes are still at work. Close the trust's cluster."""
    trust = Trust(folder, secure_sum)
    made = Storm(trust, seed)
    try:
        made.rage(kills)
        trust.wait_for_nodes(0)
        judge(trust, made.counts)
    except BaseException:
        trust.cluster.close()
        raise
    return trust, made.counts


def row_of(secure_sum, counts):
    """One line of the table."""
    return f"{secure_sum:<10}" + "".join(f"{value:>{len(name) + 2}}" for name, value in vars(counts).items())


def run(kills, sums=("none", "required")):
    """The storms, then the cases, printed; how much was found that must not be."""
    from node_cases import CASES

    print(f"{'sum':<10}" + "".join(f"  {name}" for name in vars(Counts())))
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        for secure_sum in sums:
            folder = Path(name) / secure_sum
            folder.mkdir()
            trust, counts = storm(folder, kills // len(sums), secure_sum)
            with trust.cluster:
                print(row_of(secure_sum, counts), flush=True)
                bad += counts.without_a_row + counts.in_other_bytes + counts.charged_twice + counts.over_a_cap
                for case in CASES if secure_sum == sums[-1] else ():
                    print(f"{case.__doc__.splitlines()[0]} {case(trust)}", flush=True)
    return bad


if __name__ == "__main__":
    raise SystemExit(1 if run(int(sys.argv[1]) if len(sys.argv) > 1 else 200) else 0)
