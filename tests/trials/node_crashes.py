"""A node that is killed at a chosen step of what it does for ever: follow, cosign, refuse, keep receipts, answer.

    python tests/trials/node_crashes.py [KILLS AT EACH STEP, BEFORE AND AFTER IT]

Two of five nodes at a time are started to die at a step, and started again; runs are ordered all the while, and one
member refuses each of them. Then every node must cosign what the log holds, the quorum must be met, a round must be
summed, and no refusal may stand in the log twice.
"""

import itertools
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# ruff: noqa: E402 (a script that must find the project first)

from client_node.ledger.ledger import Budget
from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink
from client_node.link.witness import Witness
from client_node.membership import receipts, refusals
from client_node.rounds.node import Node
from client_node.settings import read_home
from contracts.envelope import open_entry
from contracts.log.checkpoint import witness_name
from contracts.statements.closed_list import parse
from contracts.statements.statements import Refusal
from demo.cluster import StepFailed
from demo.world import write
from warm import WarmCluster, command

MEMBERS, ROUNDS, DEADLINE_S, REACHED_S, CAUGHT_UP_S = 5, 12, 6, 25, 60
STEPS = {  # of the two threads of a node, in the order in which they come
    "it knows the whole log": (Node, "_catch_up"),
    "a checkpoint is asked for": (Mirror, "_head"),
    "entries are verified": (Mirror, "_extend"),
    "entries are kept": (Mirror, "_store"),
    "a checkpoint is signed": (Witness, "add"),
    "a cosignature is sent": (Mirror, "_hand_over"),
    "a cosignature is sent again": (Mirror, "_send_again"),
    "documents are fetched": (Node, "_draw_ahead"),
    "receipts are kept": (receipts, "keep_up"),
    "kept refusals are sent": (refusals, "send_kept"),
    "a refusal is written": (refusals, "say"),
    "a refusal is sent": (refusals, "_send_now"),
    "a round is answered": (Node, "_answer"),
    "a round is charged": (Budget, "reserve"),
    "a message leaves": (Uplink, "ask"),
}
WHEN = "before", "after"
OF_REFUSALS = {"kept refusals are sent", "a refusal is written", "a refusal is sent"}  # of the member that refuses


def die_at(step, when, nth):
    """Have this process killed before, or after, a step that it takes for the nth time."""
    owner, name = STEPS[step]
    wrapped, turns = getattr(owner, name), itertools.count(1)

    def taken(*given, **named):
        is_last = next(turns) == nth
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        told = wrapped(*given, **named)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return told

    setattr(owner, name, taken)


def run_and_die(home, step, when, nth):
    """What the process of a node does that is killed there."""
    die_at(step, when, nth)
    command("client_node", "run", "--home", home, "--lang", "en")


class Trust:
    """A chamber of real processes with a run always under way; the last member refuses each."""

    def __init__(self, folder):
        self.cluster = WarmCluster(folder, "en")
        self.cluster.found(epsilon_run="4", tasks=("risk",))
        self._allow_aborted_rounds()
        world = write(folder / "world", MEMBERS, "tiny")
        self.homes = [self.cluster.join(number, *one) for number, one in enumerate(world, 1)]
        limits = self.cluster.home(self.homes[-1]) / "config.toml"
        limits.write_text(limits.read_text("utf-8").replace('year_max = "4"', 'year_max = "0.0001"'), "utf-8")
        self.members = {home: read_home(self.cluster.home(home)).member for home in self.homes}
        self.is_over = threading.Event()

    def _allow_aborted_rounds(self):
        """A version of the agreement under which as many rounds may fail as nodes are killed."""
        draft = self.cluster.folder / "agreement.json"
        terms = json.loads(draft.read_text("utf-8"))
        terms["rounds"] |= {"orders_max": 10_000, "aborted_max": 10_000}
        draft.write_text(json.dumps(terms, ensure_ascii=False), "utf-8")
        self.cluster.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")

    def keep_ordering(self):
        """Order one run after the other."""
        words = ("risk", "--rounds", ROUNDS, "--epsilon", "0.1", "--deadline", DEADLINE_S, "--yes", "--spend-anyway")
        while not self.is_over.wait(0.5):
            if all(run.is_complete() for run in self.cluster.log().state().runs.values()):
                try:
                    self.cluster.command("coordinator", "order", *words, home="chamber")
                except StepFailed as refused:
                    print(refused, file=sys.stderr)

    def cosigned(self):
        """{home: size of the largest checkpoint that it has cosigned, as the office knows}."""
        with sqlite3.connect(self.cluster.home("chamber") / "coordinator.db") as connection:
            sizes = dict(connection.execute("SELECT name, max(size) FROM cosignature GROUP BY name"))
        return {
            home: sizes.get(witness_name(self.cluster.log().key.name, member), 0)
            for home, member in self.members.items()
        }

    def summed(self):
        """How many rounds of the log are recorded."""
        rounds = (record.closed for run in self.cluster.log().state().runs.values() for record in run.rounds)
        return sum(closed is not None and closed.outcome == "recorded" for closed in rounds)

    def refusals(self):
        """How often each refusal stands in the log."""
        log = self.cluster.log()
        found = (parse(open_entry(entry).payload) for entry in log.entries(0, log.state().size))
        return Counter((one.member, one.order, one.open) for one in found if isinstance(one, Refusal))

    def stalled(self):
        """What does not follow what the log holds now, though it runs."""
        size, end = self.cluster.log().state().size, time.monotonic() + CAUGHT_UP_S
        while time.monotonic() < end:
            behind = [home for home, seen in self.cosigned().items() if seen < size]
            note = self.cluster.log().witnessed(0)
            if not behind and note and note.checkpoint.size >= size:
                return []
            time.sleep(0.1)
        return behind or ["the quorum"]


def kill(trust, victims, step, draw):
    """Start these nodes so that they die there; how many did before their time was over. Then they run again."""
    cluster, ended = trust.cluster, 0
    for home, when in victims.items():
        cluster.stop(home, kill=True)
        cluster.start_work(home, run_and_die, (str(cluster.home(home)), step, when, draw.choice((1, 1, 2, 3))))
    end = time.monotonic() + REACHED_S
    while time.monotonic() < end and any(cluster.processes[home].poll() is None for home in victims):
        time.sleep(0.05)
    for home in victims:
        ended += cluster.processes[home].poll() == -signal.SIGKILL
        cluster.stop(home, kill=True)
        cluster.run_node(home)
    return ended


@dataclass(frozen=True)
class Row:
    """What one step came to: kills that were tried, those whose node came there, rounds
    summed meanwhile, who stalled."""

    step: str
    kills: int
    reached: int
    summed: int
    stalled: tuple

    def text(self):
        """A line of the table."""
        told = f"{self.step:<30} {self.kills:>5} kills  {self.reached:>5} there  {self.summed:>4} rounds summed"
        return f"{told}  stalled: {', '.join(self.stalled) or 0}"


def turns(trust, step, draw):
    """{home: when it dies} of one turn after the other: two nodes at once, or the one that refuses twice."""
    if step in OF_REFUSALS:
        return [{trust.homes[-1]: when} for when in WHEN]
    return [dict(zip(draw.sample(trust.homes[:-1], 2), WHEN, strict=True))]


def matrix(folder, times, steps=tuple(STEPS), seed=1):
    """(rows, refusals that stand in the log twice); prints as it goes."""
    trust, draw, rows = Trust(folder), random.Random(seed), []
    with trust.cluster:
        for home in trust.homes:
            trust.cluster.run_node(home)
        orders = threading.Thread(target=trust.keep_ordering)
        orders.start()
        try:
            for step in steps:
                before, reached, stalled = trust.summed(), 0, []
                for victims in (one for _ in range(times) for one in turns(trust, step, draw)):
                    reached += kill(trust, victims, step, draw)
                    stalled += trust.stalled()
                rows.append(Row(step, 2 * times, reached, trust.summed() - before, tuple(stalled)))
                print(rows[-1].text(), flush=True)
        finally:
            trust.is_over.set()
            orders.join()
        twice = [one for one, often in trust.refusals().items() if often > 1]
        print(f"refusals in the log {sum(trust.refusals().values())}, twice: {len(twice)}", flush=True)
    return rows, twice


def main():
    """The whole matrix; 1 if a log stalled, a refusal stands twice, or a step was never reached."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        rows, twice = matrix(Path(folder), times)
    return int(bool(twice) or any(row.stalled or not row.reached for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
