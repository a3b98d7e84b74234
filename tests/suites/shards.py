"""What CI runs today: the suites of `shards.toml` that are daily, those whose day it is, and
those that a change touches.

    python tests/suites/shards.py              today's
    python tests/suites/shards.py --plan       only named, with the reason
    python tests/suites/shards.py --long       every one that is not daily (`make slow`)
    python tests/suites/shards.py --all        every one (`make all`)

Each suite has its day, so that none is older than a week. One that a change touches runs the same day as long as the
budget lasts; what is left then is named, with its day. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("shards.toml")
DAILY, DAYS = "daily", ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
AT_ONCE = 2  # suites beside each other: one a core
BASE = "origin/main"
DAY_S, PATIENCE_S = 86_400, 3_600
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True, slots=True)
class Shard:
    """A suite: one call of Python, its day, what it watches over, what it took on two cores,
    and whether it needs both."""

    name: str
    day: str
    watches: tuple[str, ...]
    run: tuple[str, ...]
    seconds: int
    alone: bool

    def is_touched_by(self, files: Sequence[str]) -> bool:
        """Whether one of the files is, or lies in, what this suite watches over."""
        return any(file == place or file.startswith(f"{place}/") for file in files for place in self.watches)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which suites run and why, and which are left for their day and why."""

    chosen: tuple[tuple[Shard, str], ...]
    left: tuple[tuple[Shard, str], ...] = ()


def read(path: Path = TABLE) -> tuple[int, tuple[Shard, ...]]:
    """(budget of a day in seconds, all suites in the order of the table)."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    shards = (
        Shard(
            name=name,
            day=told["day"],
            watches=tuple(told.get("watches", ())),
            run=tuple(shlex.split(told["run"])),
            seconds=told["seconds"],
            alone=told.get("alone", False),
        )
        for name, told in table["shards"].items()
    )
    return table["budget_s"], tuple(shards)


def took(shards: Sequence[Shard]) -> float:
    """Seconds for all of them: two at once, but for those that need the machine."""
    beside = [shard.seconds for shard in shards if not shard.alone]
    return sum(shard.seconds for shard in shards if shard.alone) + max(sum(beside) / AT_ONCE, *beside, 0)


def plan(shards: Sequence[Shard], files: Sequence[str] | None, today: date, budget_s: int) -> Plan:
    """Those whose day it is, then those that the changed `files` touch, the quickest first, while the budget lasts.
    None: nobody knows what changed."""
    days, left = (DAILY, DAYS[today.weekday()]), []
    chosen = [(shard, shard.day) for shard in shards if shard.day in days]
    others = [shard for shard in shards if shard.day not in days]
    for shard in sorted(others, key=lambda one: one.seconds):
        if not (files is None or shard.is_touched_by(files)):
            continue
        if took([*(one for one, _ in chosen), shard]) <= budget_s:
            chosen.append((shard, "changed"))
        else:
            left.append((shard, f"changed, but the budget of {budget_s} s is full; its day is {shard.day}"))
    return Plan(tuple(chosen), tuple(left))


def changed() -> list[str] | None:
    """Files that differ from the base, or in a clone of the base itself from what stood a day before; None if the
    history is too short to say."""
    base = _git("merge-base", "HEAD", BASE)
    if base in (None, _git("rev-parse", "HEAD")):
        last = _git("log", "-1", "--format=%ct")
        base = last and _git("rev-list", "-1", f"--before={int(last) - DAY_S}", "HEAD")
    told = _git("diff", "--name-only", base) if base else None
    return None if told is None else told.splitlines()


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8")
    return done.stdout.strip() if done.returncode == 0 else None


def run(shards: Sequence[Shard]) -> list[str]:
    """Run those that need the machine one by one, then the others two at once; names of those that did not hold."""
    held = {shard.name: _holds(shard) for shard in shards if shard.alone}
    beside = [shard for shard in shards if not shard.alone]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        held |= dict(zip((shard.name for shard in beside), pool.map(_holds, beside), strict=True))
    return [name for name, well in held.items() if not well]


def _holds(shard: Shard) -> bool:
    """Run one and print its time and last line, and all that it said if it did not hold."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *shard.run], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S
    )
    told = done.stdout.decode("utf-8", "replace").rstrip()
    well = done.returncode == 0 and not _left_out(told)
    print(f"{time.monotonic() - began:5.0f} s  {shard.name}: {told.rpartition(chr(10))[2]}", flush=True)
    if not well:
        print(f"{told}\n  -> python {shlex.join(shard.run)}", flush=True)
    return well


def _left_out(told: str) -> bool:
    """In CI nothing may be skipped that the shared data would let run."""
    return "CI" in os.environ and SHARED.is_dir() and bool(re.search(r"\d+ skipped|was not run", told))


def main() -> int:
    """0 if all that ran held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="name them and run nothing")
    parser.add_argument("--long", action="store_true", help="every suite that is not daily")
    parser.add_argument("--all", action="store_true", help="every suite")
    given = parser.parse_args()
    budget_s, shards = read()
    made = plan(shards, changed(), datetime.now(UTC).date(), budget_s)
    if given.long or given.all:
        made = Plan(tuple((shard, shard.day) for shard in shards if given.all or shard.day != DAILY))
    for shard, why in made.chosen:
        print(f"{shard.seconds:5} s  {shard.name} ({why})")
    for shard, why in made.left:
        print(f"   left  {shard.name} ({why})")
    print(f"{took([shard for shard, _ in made.chosen]):5.0f} s  foreseen, of {budget_s}", flush=True)
    failed = [] if given.plan else run([shard for shard, _ in made.chosen])
    if failed:
        print(f"did not hold: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
