"""How fast an audit is: the tree of a million entries, and the rules entry by entry. CPU time of one core.

python -m benchmarks.audit [--entries 1000000] [--statements 10000]
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from auditor.tree import Rebuild
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))


def main() -> None:
    """Print the table; the first line is the floor that no Python audit can go below."""
    given = argparse.ArgumentParser()
    given.add_argument("--entries", type=int, default=1_000_000)
    given.add_argument("--statements", type=int, default=10_000)
    asked = given.parse_args()
    print(f"leaf hashes alone (hashlib)   {_cpu(lambda: _leaves(asked.entries)):8.2f} s CPU, {asked.entries} entries")
    print(f"tree and hash tiles, streamed {_cpu(lambda: _tree(asked.entries)):8.2f} s CPU, {asked.entries} entries")
    entries = _log(asked.statements)
    for size in (len(entries) // 4, len(entries)):
        print(
            f"signatures and rules          {size / _cpu(lambda n=size: _rules(entries[:n])):8.0f} entries/CPU-s of {size}"
        )  # type: ignore[misc]
    print(f"peak memory                   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:8d} MB")


def _cpu(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _bundle() -> list[bytes]:
    return [b"x" * 590 + b"%010d" % n for n in range(256)]


def _leaves(entries: int) -> None:
    bundle = _bundle()
    for _ in range(entries // 256):
        for entry in bundle:
            hashlib.sha256(b"\0" + entry).digest()


def _tree(entries: int) -> None:
    bundle, tree = _bundle(), Rebuild()
    for _ in range(entries // 256):
        deque(tree.take(bundle), maxlen=0)
    tree.root()


def _log(statements: int) -> list[bytes]:
    """Consents of three members, each narrowing the one before."""
    from simulator import Trust

    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm)
    while len(trust.entries) < statements:
        trust.consent(trust.firms[len(trust.entries) % 3], "amend")
    return trust.entries


def _rules(entries: list[bytes]) -> None:
    state = EMPTY
    for index, entry in enumerate(entries):
        state, _ = apply(state, entry, index)


if __name__ == "__main__":
    main()
