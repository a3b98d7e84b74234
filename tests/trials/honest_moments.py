"""An honest chamber, audited at random moments of its life: `auditor verify` may find nothing.

    python tests/trials/honest_moments.py [MOMENTS] [SEED]

Between two audits something happens that happens in an honest trust: nodes fall asleep, are killed and wake up, the
coordinator restarts or is moved to a copy of its database, runs are ordered, an auditor is admitted whose witness is
seldom awake, agreements rest, matters are logged. Pins are taken at any time, and each audit reads the coordinator, a
fresh copy of its folder, or a mirror that grew since the last one, by pins that were taken before.
"""

import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# ruff: noqa: E402 (a script that must find the project first)

from demo.cluster import StepFailed
from demo.world import write
from warm import WarmCluster

MEMBERS = 4
ORDER = ("risk", "--rounds", 3, "--epsilon", "0.1", "--deadline", 4, "--yes", "--spend-anyway")


class Life:
    """A trust and what may happen in it. Each act is a method; `acts` says how often it comes."""

    def __init__(self, folder, draw):
        self.cluster, self.draw, self.pins, self.auditors = WarmCluster(folder, "en"), draw, [], []
        self.cluster.found(epsilon_run="4", tasks=("risk",))
        world = write(folder / "world", MEMBERS, "tiny")
        self.homes = [self.cluster.join(number, *one) for number, one in enumerate(world, 1)]
        self.take_pins()
        for home in self.homes:
            self.cluster.run_node(home)

    def acts(self):
        """(act, weight)."""
        return {
            self.fall_asleep: 3,
            self.wake: 5,
            self.kill: 2,
            self.restart: 1,
            self.restore: 1,
            self.order: 4,
            self.admit: 0.3 if len(self.auditors) < 3 else 0,
            self.cosign: 2 if self.auditors else 0,
            self.rest: 0.5,
            self.note: 1,
            self.take_pins: 3,
            self.wait: 2,
        }

    def live(self):
        """One act, drawn; its name."""
        acts = self.acts()
        [act] = self.draw.choices(list(acts), list(acts.values()))
        act()
        return act.__name__

    def fall_asleep(self):
        """A node stops."""
        for home in self._running()[:1]:
            self.cluster.stop(home)

    def kill(self):
        """A node dies, and is there again."""
        for home in self._running()[:1]:
            self.cluster.stop(home, kill=True)
            self.cluster.run_node(home)

    def wake(self):
        """A node that slept runs."""
        asleep = [home for home in self.homes if home not in self.cluster.processes]
        if asleep:
            self.cluster.run_node(self.draw.choice(asleep))

    def restart(self):
        """The coordinator ends, by word or by force, and serves again."""
        self.cluster.stop("coordinator", kill=self.draw.random() < 0.5)
        self.cluster.serve()

    def restore(self):
        """The coordinator goes on from a copy that was made after it had stopped."""
        database = self.cluster.home("chamber") / "coordinator.db"
        self.cluster.stop("coordinator")
        kept = database.with_suffix(".copy")
        with sqlite3.connect(database) as old, sqlite3.connect(kept) as new:
            old.backup(new)
        for name in ("", "-wal", "-shm"):
            database.with_name(database.name + name).unlink(missing_ok=True)
        kept.replace(database)
        self.cluster.logs.clear()
        self.cluster.serve()

    def order(self):
        """A run is ordered, if none is under way and the agreement does not rest."""
        self._try("coordinator", "order", *ORDER, home="chamber")

    def admit(self):
        """An auditor is admitted: from now on a quorum needs one too."""
        folder = self.cluster.folder / f"auditor-{len(self.auditors)}"
        self.cluster.command("auditor", "init", folder)
        self.cluster.command("coordinator", "admit-auditor", folder / "admission.json", home="chamber")
        self.auditors.append(folder)

    def cosign(self):
        """An auditor looks once, and cosigns what it sees."""
        folder = self.draw.choice(self.auditors)
        words = ("--pins", self.pins[0], "--state", folder / "seen", "--identity", folder / "identity.key")
        self.cluster.command("auditor", "watch", self.cluster.url, *words, ok=(0, 2))

    def rest(self):
        """The agreement is suspended and resumed."""
        for verb in ("suspend", "resume"):
            self._try("coordinator", "agreement", "retire", verb, home="chamber")

    def note(self):
        """The office logs an incident."""
        self._try("coordinator", "incident", f"power cut {self.draw.random()}", home="chamber")

    def take_pins(self):
        """Some member hands out what it has seen."""
        path = self.cluster.folder / f"pins-{len(self.pins)}.json"
        self.cluster.command("client_node", "pins", "--out", path, home=self.draw.choice(self.homes))
        self.pins.append(path)

    def wait(self):
        """Nobody does anything."""
        time.sleep(self.draw.uniform(0, 2))

    def audit(self):
        """(what was read, codes that were found)."""
        pins, what = self.draw.choice(self.pins), self.draw.choice(("served", "folder", "mirror"))
        source = self.cluster.folder / what
        if what == "served":
            source = self.cluster.url
        elif what == "folder":
            shutil.rmtree(source, ignore_errors=True)
            self.cluster.command("coordinator", "export", source, home="chamber")
        else:
            self.cluster.command("auditor", "mirror", self.cluster.url, source, "--pins", pins)
        told = self.cluster.json("auditor", "verify", source, "--pins", pins, ok=(0, 1))
        return what, [found["code"] for step in told["steps"] for found in step["findings"]]

    def _running(self):
        running = [home for home in self.homes if home in self.cluster.processes]
        return self.draw.sample(running, len(running))

    def _try(self, *words, **named):
        try:
            self.cluster.command(*words, **named)
        except StepFailed as refused:  # the rules do not allow it now: an honest chamber is told so
            assert "Traceback" not in str(refused), refused


def live(folder, moments, seed=1):
    """What was found, by moment; an honest life gives nothing."""
    life, found, done = Life(folder, random.Random(seed)), {}, Counter()
    with life.cluster:
        for moment in range(moments):
            done[life.live()] += 1
            what, codes = life.audit()
            done[what] += 1
            if codes:
                found[moment] = (what, codes)
                shutil.copytree(folder, folder.with_name(f"{folder.name}-{moment}"), symlinks=True)
                print(f"moment {moment}: {what} {codes}", flush=True)
            if moment % 50 == 49:
                size = life.cluster.log().state().size
                print(f"{moment + 1} moments, {size} entries, {len(found)} with findings, {dict(done)}", flush=True)
    return found


if __name__ == "__main__":
    moments, seed = (int(word) for word in (*sys.argv[1:], *("1000", "1")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        raise SystemExit(bool(live(Path(name) / "life", moments, seed)))
