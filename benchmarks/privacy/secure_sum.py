"""What the secure sum costs one member and the coordinator, beside the plain sum of the same numbers.

    python -m benchmarks.privacy.secure_sum [--length 20000]

CPU time, medians of five. A member: fresh secrets, shares split and sealed for all peers, peers' shares opened,
numbers masked. The coordinator: secrets recovered from shares and the sum unmasked, with 30 % of members gone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from array import array
from collections.abc import Callable
from typing import Any

from privacy.encoding import add
from privacy.secure_sum import Group, mask, new_secrets, recover, seal, split, unmask, unseal

MEMBERS, REPEATS, LIMIT_MS = (3, 10, 30), 5, 60.0


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """(last result, median CPU milliseconds)."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        result = work()
        times.append(1e3 * (time.process_time() - began))
    return result, statistics.median(times)


def measure(n: int, length: int) -> dict[str, float]:
    """Milliseconds of each step for one member of `n` and for the coordinator."""
    draw = random.Random(n)
    names = tuple(f"m{number:03d}" for number in range(n))
    group, me = Group(b"benchmark", names), names[n // 2]
    own = {name: new_secrets() for name in names}
    keys = {name: secrets.public() for name, secrets in own.items()}
    values = {name: array("q", (draw.randrange(-(2**50), 2**50) for _ in range(length))) for name in names}
    peers = [name for name in names if name != me]

    def share() -> dict[str, bytes]:
        fresh = new_secrets()
        fresh.public()
        parts = split(group, own[me])
        return {peer: seal(group, me, own[me], peer, keys[peer], parts[peer]) for peer in peers}

    def opened() -> list[Any]:
        return [unseal(group, peer, own[peer], me, keys[me], sealed[peer]) for peer in peers]

    sealed, share_ms = timed(share)
    _, open_ms = timed(opened)
    _, mask_ms = timed(lambda: mask(group, me, own[me], keys, values[me]))
    stay = names[: n - (n * 3) // 10] if n > 3 else names
    masked = {name: mask(group, name, own[name], keys, values[name]) for name in stay}
    parts = {name: split(group, own[name]) for name in names}
    told = {h: {m: parts[m][h].seed if m in masked else parts[m][h].mask for m in names} for h in stay}
    found, recover_ms = timed(lambda: recover(group, keys, masked, told))
    total, unmask_ms = timed(lambda: unmask(group, keys, masked, *found))
    plain, plain_ms = timed(lambda: add([values[name] for name in stay]))
    assert total == plain, "the secure sum is exact"
    member = share_ms + open_ms + mask_ms
    return {
        "share": share_ms, "open": open_ms, "mask": mask_ms, "member": member,
        "recover": recover_ms, "unmask": unmask_ms, "plain sum": plain_ms,
    }  # fmt: skip


def main() -> None:
    """Print the table; exit 1 if a member of 30 pays more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=20_000)
    length = parser.parse_args().length
    rows = {n: measure(n, length) for n in MEMBERS}
    print(f"{length} numbers, CPU ms")
    print(f"{'members':<10}" + "".join(f"{name:>11}" for name in rows[3]))
    for n, row in rows.items():
        print(f"{n:<10}" + "".join(f"{value:>11.1f}" for value in row.values()))
    held = rows[30]["member"] <= LIMIT_MS
    print(f"a member of 30 pays {rows[30]['member']:.1f} ms, limit {LIMIT_MS:.0f} ms: {'held' if held else 'MISSED'}")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
