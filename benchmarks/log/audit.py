"""How fast an audit is and what memory it takes: the real `auditor verify` on mirror folders of growing logs.

python -m benchmarks.log.audit [--sizes 10000 50000 200000] [--opaque 1000000] [--runs 3]

The folders are made once and kept in ~/.cache/mengbang-benchmarks (about 0.6 GB each for the largest two).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.steps.step3_tree import Rebuild
from contracts.envelope import digest
from contracts.log import tiles
from contracts.log.checkpoint import (
    LOG_KEY,
    Checkpoint,
    Note,
    NoteKey,
    cosign_note,
    parse_line,
    sign_checkpoint,
    witness_name,
)
from contracts.log.merkle import Frontier, leaf_hash
from contracts.terms.agreement import RoundTerms

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
CACHE = Path.home() / ".cache" / "mengbang-benchmarks"
MADE = "audit-2"  # another name whenever the generator makes other folders


def main() -> None:
    """Print one row a log; the first line is the floor that no Python audit can go below."""
    given = argparse.ArgumentParser()
    given.add_argument("--sizes", type=int, nargs="*", default=[10_000, 50_000, 200_000])
    given.add_argument("--opaque", type=int, default=1_000_000)
    given.add_argument("--runs", type=int, default=3)
    asked = given.parse_args()
    if asked.opaque:
        folder = _kept(f"opaque-{asked.opaque}", lambda path: _write_opaque(path, asked.opaque))
        print(f"hashing {asked.opaque} entries alone: {_hashing(asked.opaque):.2f} s CPU")
        wall, cpu, memory = _verified(folder, asked.runs, "--structure")
        print(f"structure of {asked.opaque} entries: {wall:.1f} s, {cpu:.1f} s CPU, {memory} MB (bars: 10 s, 400 MB)")
    print("\n| entries | s | s CPU | entries/CPU-s | peak MB | (bars: at least 1,500; the same at each size; 400 MB)")
    for size in asked.sizes:
        folder = _kept(f"told-{size}", lambda path, size=size: _write_told(path, size))  # type: ignore[misc]
        n = json.loads((folder / "pins.json").read_text(encoding="utf-8"))["size"]
        wall, cpu, memory = _verified(folder, asked.runs)
        print(f"| {n} | {wall:.1f} | {cpu:.1f} | {n / cpu:.0f} | {memory} |", flush=True)


def _hashing(entries: int) -> float:
    entry, began = b"\0" + b"x" * 600, time.process_time()
    for _ in range(entries):
        hashlib.sha256(entry).digest()
    return time.process_time() - began


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    folder = CACHE / f"{MADE}-{name}"
    if not folder.exists():
        print(f"making {folder} (once)", file=sys.stderr)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        make(part / "log")
        part.rename(folder)
    return folder


def _verified(folder: Path, runs: int, *options: str) -> tuple[float, float, int]:
    """Medians of wall and CPU seconds, and the largest peak in MB, of the command as a process of its own."""
    command = [sys.executable, "-c", "from auditor.cli import main; main()", "verify", str(folder / "log")]
    command += ["--pins", str(folder / "pins.json"), "--json", *options]
    taken = [_run(command) for _ in range(runs)]
    return median(t[0] for t in taken), median(t[1] for t in taken), max(t[2] for t in taken)


def _run(command: list[str]) -> tuple[float, float, int]:
    began, out = time.monotonic(), os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(
        command[0], command, {**os.environ, "PYTHONPATH": str(ROOT)}, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)]
    )
    _, status, used = os.wait4(pid, 0)
    os.close(out)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"the log is not clean: {' '.join(command)}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


class Writer:
    """Writes a mirror folder bundle by bundle: memory holds 256 entries, and the tree's edge."""

    def __init__(self, folder: Path, keys: Ed25519PrivateKey, origin: str):
        self.folder, self._key, self._origin = folder, keys, origin
        self._tree, self._waiting = Rebuild(), list[bytes]()
        self._edge, self._first = Frontier(), ""

    @property
    def size(self) -> int:
        """Entries so far."""
        return self._tree.size + len(self._waiting)

    def add(self, entry: bytes) -> None:
        """Take one entry; a full bundle goes to disk."""
        self._first = self._first or digest(entry)
        self._waiting.append(entry)
        self._edge.append(leaf_hash(entry))
        if len(self._waiting) == tiles.WIDTH:
            self._flush()

    def _flush(self) -> None:
        name = tiles.TileName(None, self._tree.size // tiles.WIDTH, len(self._waiting))
        _put(self.folder / name.path(), tiles.bundle(self._waiting))
        for tile, data in self._tree.take(self._waiting):
            _put(self.folder / tile.path(), data)
        self._waiting = []

    def note(self, witnesses: list[tuple[str, Ed25519PrivateKey]], at: int) -> Note:
        """The checkpoint of all entries so far under the log's key and some witnesses'."""
        note = sign_checkpoint(Checkpoint(self._origin, self.size, self._edge.root()), self._key)
        lines = [parse_line(cosign_note(note, key, name=name, time=at)) for name, key in witnesses]
        return Note(note.checkpoint, (*note.signatures, *lines))

    def finish(self, note: Note, member: str) -> None:
        """The last tiles, the checkpoint, and pins that have seen just this."""
        if self._waiting:
            self._flush()
        for tile, data in self._tree.unfinished():
            _put(self.folder / tile.path(), data)
        _put(self.folder / "checkpoint", note.text().encode())
        log = NoteKey(self._origin, LOG_KEY, self._key.public_key())
        pins = {"origin": self._origin, "log_vkey": log.vkey(), "genesis": self._first, "ca_pem": "", "cosigners": {}}
        pins |= {"size": note.checkpoint.size, "root": "sha256:" + note.checkpoint.root.hex(), "member": member}
        _put(self.folder.parent / "pins.json", json.dumps(pins).encode())


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_opaque(folder: Path, entries: int) -> None:
    """Entries of 600 bytes that say nothing: for the structure alone."""
    writer = Writer(folder, Ed25519PrivateKey.generate(), "chamber.test/consent-log")
    for n in range(entries):
        writer.add(b"x" * 590 + b"%010d" % n)
    writer.finish(writer.note([], 0), "urn:uuid:00000000-0000-4000-8000-000000000001")


def _write_told(folder: Path, entries: int) -> None:
    """Runs of 50 rounds by eight members, each round 2 entries, a consent a run, a
    checkpoint by five witnesses a run."""
    from simulator import ORIGIN, Trust, plan

    trust = Trust(8, rounds=RoundTerms(**LIMITS))
    writer, scope = Writer(folder, trust.log_key, ORIGIN), {"orders_max": LIMITS["orders_max"]}
    witnesses = [(witness_name(ORIGIN, firm.member), firm.witness) for firm in trust.firms[:5]]
    for firm in trust.firms:
        trust.consent(firm, scope=scope)
    for _ in _runs(trust, plan(releases=50, sigma_steps=4000 * 2**20), scope):
        for index in range(writer.size, len(trust.entries)):
            writer.add(trust.entries[index])
            trust.entries[index] = b""  # only their number is still asked for
        note = writer.note(witnesses, int(trust.now.timestamp()))
        _put(folder / "checkpoints" / str(writer.size), note.text().encode())
        if writer.size >= entries:
            break
    assert not trust.findings, trust.findings[0]
    writer.finish(note, trust.firms[0].member)


LIMITS = {
    "max_per_run": 50,
    "orders_max": 100_000,
    "aborted_max": 10,
    "interval_min_s": 0,
    "window_max_s": 259_200,
    "deadline_max_s": 3600,
}


def _runs(trust, plan, scope) -> Iterator[None]:  # type: ignore[no-untyped-def]
    n = 0
    while True:
        trust.order(plan=plan)
        for _ in range(50):
            trust.open()
            trust.close()
        trust.release()
        trust.consent(trust.firms[n % 8], "amend", scope=scope)
        n += 1
        yield


if __name__ == "__main__":
    main()
