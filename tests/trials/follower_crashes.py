"""The thread that follows, killed at each step of one turn: follow the log, cosign, refuse, keep receipts.

    python tests/trials/follower_crashes.py [KILLS AT EACH STEP, HALF BEFORE AND HALF AFTER IT]

Four members at a time are killed in what a running node does once for each new entry, and do it again in a new process.
Then each must have cosigned all that the log holds, and each refusal must stand in the log once. Processes, TLS and
files are real; `node_crashes.py` kills nodes that run for ever, with rounds under way.
"""

import itertools
import random
import signal
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]
# ruff: noqa: E402 (a script that must find the project first)

from sqlmodel import func, select

from client_node.home import connected
from client_node.membership import refusals
from client_node.rounds import node as running
from client_node.settings import read_home
from contracts.envelope import open_entry
from contracts.log.checkpoint import witness_name
from contracts.statements.closed_list import parse
from contracts.statements.statements import Refusal
from coordinator.office import open_office
from coordinator.settings import read_home as read_chamber
from coordinator.store.tables import Cosignature
from coordinator.trust.duties import note_incident
from demo.world import write
from node_crashes import OF_REFUSALS, STEPS, WHEN, die_at
from warm import Forked, WarmCluster

MEMBERS, PATIENCE_S = 4, 60
OF_ROUNDS = ("a round is answered", "a round is charged", "a message leaves")
FOLLOWING = tuple(step for step in STEPS if step not in OF_ROUNDS)


def take_turn(home, order, death):
    """What the following thread of a node does once; `death` is (step, when, nth) if it is killed meanwhile."""
    if death:
        die_at(*death)
    running.WAIT_S = 0  # nobody waits for the next entry
    settings, mirror, budget, uplink = connected(Path(home))
    node = running.Node(settings, uplink, mirror, budget)
    node._catch_up()
    if order:
        refusals.say(settings, mirror, uplink, order=order, reason="budget", open=None)
    node._follow_log()


class Trust:
    """A chamber that serves, and members whose nodes are run a turn at a time."""

    def __init__(self, folder):
        self.folder, self.cluster = folder, WarmCluster(folder, "en")
        self.cluster.found(epsilon_run="4", tasks=("risk",))
        world = write(folder / "world", MEMBERS, "tiny")
        self.homes = [self.cluster.home(self.cluster.join(number, *one)) for number, one in enumerate(world, 1)]
        self.members = [read_home(home).member for home in self.homes]
        self.office = open_office(read_chamber(self.cluster.home("chamber")))

    def order(self):
        """One more run that each member may refuse once."""
        words = ("risk", "--rounds", 1, "--epsilon", "0.1", "--yes", "--spend-anyway")
        before = {*self.office.log.state().runs}
        self.cluster.command("coordinator", "order", *words, home="chamber")
        [made] = {*self.office.log.state().runs} - before
        return made

    def turn(self, order, deaths):
        """Exit codes of one process a member."""
        out = [self.folder / f"{home.name}.turn" for home in self.homes]
        given = zip(self.homes, out, deaths, strict=True)
        made = [Forked(take_turn, (str(home), order, death), path, path) for home, path, death in given]
        return [one.wait(PATIENCE_S) for one in made]

    def stalled(self):
        """Members whose cosignature does not stand under the whole log."""
        with self.office.database.read() as session:
            asked = select(Cosignature.name, func.max(Cosignature.size)).group_by(Cosignature.name)
            sizes = dict(session.exec(asked).all())
        key, size = self.office.log.key.name, self.office.log.state().size
        return [member for member in self.members if sizes.get(witness_name(key, member), 0) < size]

    def refusals(self):
        """How often each refusal stands in the log."""
        size = self.office.log.state().size
        found = (parse(open_entry(entry).payload) for entry in self.office.log.entries(0, size))
        return Counter((one.member, one.order) for one in found if isinstance(one, Refusal))


def play(trust, step, draw, number):
    """(kills that came to their step, members that stalled afterwards) of one turn of all."""
    note_incident(trust.office, f"{step} {number}", about=None, category="other", phase="open", now=datetime.now(UTC))
    order = trust.order() if step in OF_REFUSALS else None
    when = draw.sample([*WHEN] * (MEMBERS // 2), MEMBERS)
    ended = trust.turn(order, [(step, one, draw.choice((1, 1, 2))) for one in when])
    size = None
    while size != trust.office.log.state().size:  # until nobody adds an entry of its own
        size = trust.office.log.state().size
        again = trust.turn(order, [None] * MEMBERS)
        assert again == [0] * MEMBERS, [(trust.folder / f"{home.name}.turn").read_text()[-900:] for home in trust.homes]
    return sum(code == -signal.SIGKILL for code in ended), trust.stalled()


def matrix(folder, kills, steps=FOLLOWING, seed=1):
    """[(step, tried, reached, stalled)], refusals that stand in the log twice; prints as it goes."""
    draw, rows = random.Random(seed), []
    trust = Trust(folder)
    with trust.cluster:
        for step in steps:
            reached, stalled, tried = 0, [], 0
            for number in itertools.count():
                came, behind = play(trust, step, draw, number)
                tried, reached, stalled = tried + MEMBERS, reached + came, stalled + behind
                if reached >= kills or tried >= 3 * kills:
                    break
            rows.append((step, tried, reached, stalled))
            print(f"{step:<30} {tried:>4} kills  {reached:>4} there  stalled: {len(stalled)}", flush=True)
        told = trust.refusals()
        trust.office.database.close()
    twice = [one for one, often in told.items() if often > 1]
    print(f"refusals in the log {sum(told.values())}, twice: {len(twice)}", flush=True)
    return rows, twice


def main():
    """The whole matrix; 1 if a log stalled, a refusal stands twice, or a step was never reached."""
    with tempfile.TemporaryDirectory() as folder:
        rows, twice = matrix(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    return int(bool(twice) or any(stalled or not reached for _step, _tried, reached, stalled in rows))


if __name__ == "__main__":
    raise SystemExit(main())
