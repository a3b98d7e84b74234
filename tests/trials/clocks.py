"""Clocks of real processes that are wrong by up to two years (`faketime`, of Debian): office, nodes with their
witnesses, one node, auditor; alone and together.

Consents are given at the true time, and the agreement ends a month later. Then everybody's process is started again
under the clocks of the case, the office orders, and what reached the log is compared with what may have.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# ruff: noqa: E402 (a script that must find the project first)

from coordinator.office import open_office
from coordinator.settings import read_home
from demo.cluster import Cluster, StepFailed, free_port
from demo.world import write

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # None: it is not installed
RIGHT, DAYS, START_S, WAIT_S = "+0d", 30, 60, 60
HOMES = [f"node-{number:02d}" for number in range(1, 5)]
ORDER = ("--rounds", 1, "--deadline", 20, "--yes", "--spend-anyway")
STEPS = ("-730d", "-365d", "-31d", "-1d", "+1d", "+31d", "+365d", "+730d")


class Clocks(Cluster):
    """A cluster of which each home has a clock."""

    def __init__(self, folder, port, off):
        super().__init__(folder, lang="en", port=port)
        self.off = off

    def _line(self, package, words, home):
        line, off = super()._line(package, words, home), self.off.get(home or package, RIGHT)
        fake = ("FAKETIME_DONT_FAKE_MONOTONIC=1", f"FAKETIME={off}", f"LD_PRELOAD={LIBRARY}")
        return (
            line if off == RIGHT else ["env", *fake, *line]
        )  # `faketime` itself would stand between us and the process


def begin(folder, port):
    """A chamber whose members consent until its agreement ends."""
    with Clocks(folder, port, {}) as made:
        draft = folder / "agreement.json"
        made.command(
            "coordinator", "init", "--name", "商会", "--domain", "localhost", "--url", made.url, home="chamber"
        )
        made.command(
            "coordinator", "agreement", "draft", "--task", "risk", "--days", DAYS, "--out", draft, home="chamber"
        )
        made.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")
        made.serve()
        members = write(folder / "world", len(HOMES), "tiny")
        assert [made.join(number, name, data) for number, (name, data) in enumerate(members, 1)] == HOMES


def play(begun, port, off):
    """(numbers of the members in a sum, findings of an audit) of a copy of what was begun, under these clocks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(begun, Path(name) / "copy", symlinks=True))
        with Clocks(folder, port, off) as made:
            made.serve()
            _run_nodes(made)
            is_ordered = _order(made)
            office = open_office(read_home(folder / "chamber"))
            summed, end = [], time.monotonic() + (WAIT_S if is_ordered else 0)
            while not summed and time.monotonic() < end:
                time.sleep(1)
                rounds = [record.closed for run in office.log.state().runs.values() for record in run.rounds]
                summed = [who for one in rounds if one and one.outcome == "recorded" for who in one.contributors]
            office.database.close()
        members = [made.json("client_node", "status", home=home, ok=(0, 1))["member"] for home in HOMES]
        return {members.index(who) for who in summed}, _audit(made)


def _run_nodes(made):
    """Start all, and wait until each has said that it runs, or what its clock keeps it from."""
    for home in HOMES:
        made.run_node(home)
    end = time.monotonic() + START_S
    while time.monotonic() < end and not all((made.folder / f"{home}.log").stat().st_size for home in HOMES):
        time.sleep(0.2)
    time.sleep(3)  # and has asked once


def _order(made):
    """Whether the log took an order."""
    try:
        made.command("coordinator", "order", "risk", *ORDER, home="chamber")
    except StepFailed as refused:  # by the rules of the log, with the office's clock
        assert "Traceback" not in str(refused) and "UNFORESEEN" not in str(refused), refused
        return False
    return True


def _audit(made):
    """Codes that an audit finds in the log, by the pins of the first member."""
    pins, public = made.folder / "pins.json", made.folder / "public"
    made.command("coordinator", "export", public, home="chamber")
    made.command("client_node", "pins", "--out", pins, home=HOMES[0])
    told = made.json("auditor", "verify", public, "--pins", pins, ok=(0, 1))
    return [found["code"] for step in told["steps"] for found in step["findings"]]


def cases(steps):
    """(what, clocks by home, members by number that are in a sum). Whoever has no clock named has the right one."""
    everybody = {0, 1, 2, 3}
    yield "all clocks right", {}, everybody
    for off in steps:
        yield f"auditor {off}", {"auditor": off}, everybody
        yield f"office {off}", {"chamber": off}, set()
        yield f"one node {off}", {HOMES[3]: off}, everybody - {3}
        yield f"all nodes {off}", dict.fromkeys(HOMES, off), set()
        yield f"office and one node {off}", {"chamber": off, HOMES[3]: off}, set()
    for ahead in (step for step in steps if step.startswith("+") and int(step[1:-1]) > DAYS):
        yield f"office right, and the consents over for {ahead}", {home: ahead for home in (*HOMES, "auditor")}, set()


def wage(steps):
    """Every case, one after the other: what did not come as it must."""
    with tempfile.TemporaryDirectory() as name:
        begun, port, wrong = Path(name) / "begun", free_port(), []
        begun.mkdir()
        begin(begun, port)
        for what, off, wanted in cases(steps):
            summed, found = play(begun, port, off)
            told = f"{what:<60} in the sum: {sorted(summed)}  findings: {found}"
            print(told, flush=True)
            wrong += [told] if summed != wanted or found else []
    return wrong


if __name__ == "__main__":
    wrong = wage(STEPS)
    print(*(f"WRONG: {one}" for one in wrong), sep="\n")
    sys.exit(bool(wrong))
