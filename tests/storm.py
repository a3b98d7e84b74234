"""Kill storm: 200 threads submit to a log, its process is killed at any moment, and what was acknowledged must be there.

`python tests/storm.py [KILLS] [sqlite|postgresql]` runs one and prints a table; the log is begun anew every 15 kills.
A lost entry, a second root or a receipt that does not hold ends it with an error. "silent" kills came before the first
acknowledgement had left whole.
"""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
SUBMITTERS, KILLS_A_LOG = 200, 15


def open_log(home):
    """The log of a home, without the web server around it."""
    from coordinator.database import Database, migrate
    from coordinator.log import Log
    from coordinator.settings import read_home

    settings = read_home(home)
    migrate(settings.database_url)
    return Log(Database(settings.database_url), settings)


def begin(home):
    """A new home whose log holds its genesis."""

    from contracts.closed_list import payload
    from contracts.envelope import public_text, seal
    from contracts.fields import new_id, time_text
    from contracts.statements import Genesis
    from coordinator.settings import create_home

    settings = create_home(home, name="商会", code_digest="", domain="localhost", url="https://localhost")
    log = open_log(home)
    genesis = Genesis(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        origin=settings.origin,
        log_vkey=log.key.vkey(),
        office=public_text(settings.office_key.public_key()),
        agreement=public_text(settings.agreement_key.public_key()),
        ca="sha256:" + "0" * 64,
        quorum="members n//2+1, auditors 1",
    )
    log.append(seal(payload(genesis), [settings.log_key, settings.office_key, settings.agreement_key]))
    return log


def submit(home):
    """What is killed: admit auditors' keys from 200 threads, write a line for each acknowledgement."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from contracts.closed_list import payload
    from contracts.envelope import public_text, seal
    from contracts.fields import new_id, time_text
    from contracts.statements import Key
    from coordinator.settings import read_home

    log, office, pipe = open_log(home), read_home(home).office_key, threading.Lock()

    def one_submitter():
        while True:
            key = Ed25519PrivateKey.generate()
            said = Key(
                record_id=new_id(),
                issued_at=time_text(datetime.now(UTC)),
                member=None,
                role="auditor",
                public=public_text(key.public_key()),
                register_document=None,
            )
            entry = seal(payload(said), [office, key])
            index = log.append(entry)
            line = [index, base64.b64encode(entry).decode(), log.proof(index, log.publish())]
            with pipe:
                print(json.dumps(line), flush=True)

    for _ in range(SUBMITTERS):
        threading.Thread(target=one_submitter).start()


class Storm:
    """Kills and judges; `acknowledged` and `roots` are what left the killed processes."""

    def __init__(self, seed=0):
        self.random, self.acknowledged, self.roots, self.kills = random.Random(seed), 0, {}, 0
        self.silent = 0

    def kill_once(self, home):
        """Start, wait for the first acknowledgement, kill a moment later, judge everything on a fresh start."""
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--submit", str(home)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        )
        threading.Thread(target=self._kill_later, args=(process,)).start()
        first = process.stdout.readline()
        told = [first, *process.stdout.read().splitlines(keepends=True)]
        assert process.wait(timeout=60) == -signal.SIGKILL, "the process ended by itself"
        whole = [json.loads(line) for line in told if line.endswith(b"\n")]
        self.kills, self.silent = self.kills + 1, self.silent + (not whole)
        self._judge(home, whole)

    def _kill_later(self, process):
        while process.poll() is None and not _has_output(process):
            time.sleep(0.01)
        time.sleep(self.random.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)

    def _judge(self, home, told):
        from contracts.checkpoint import verify_proof
        from contracts.merkle import leaf_hash

        log = open_log(home)
        size, tree = log.publish().checkpoint.size, log._tree
        kept = list(log.entries(0, size))
        for index, text, receipt in told:
            entry = base64.b64decode(text)
            assert kept[index] == entry, f"acknowledged entry {index} is lost"
            found, note = verify_proof(receipt, leaf_hash(entry), log.key)
            assert found == index
            self._one_root(home, note.checkpoint)
        for published in log.sizes():
            checkpoint = log.note(published).checkpoint
            assert checkpoint.root == tree.root(published), f"size {published} was signed with another root"
            self._one_root(home, checkpoint)
        self.acknowledged += len(told)
        log._database.close()

    def _one_root(self, home, checkpoint):
        assert self.roots.setdefault((home, checkpoint.size), checkpoint.root) == checkpoint.root


def _has_output(process):
    import select

    return bool(select.select([process.stdout], [], [], 0)[0])


def run(kills, backend):
    """A whole storm with progress; the line of the table."""
    server = None
    if backend == "postgresql":
        from postgres import Server

        server = Server()
    storm, began = Storm(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(kills):
            home = Path(folder) / str(number // KILLS_A_LOG)
            if number % KILLS_A_LOG == 0:
                os.environ["DATABASE_URL"] = server.url(f"storm{uuid4().hex}") if server else ""
                begin(home)._database.close()
            storm.kill_once(home)
            if number % 10 == 9:
                print(f"  {number + 1}/{kills} kills, {storm.acknowledged} acknowledged", file=sys.stderr, flush=True)
    if server:
        server.close()
    sizes, seconds = len(storm.roots), time.monotonic() - began
    return f"{backend:<11} {storm.kills:>5} {storm.acknowledged:>13} {sizes:>13} {storm.silent:>7} {seconds:>8.0f}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--submit"]:
        submit(Path(sys.argv[2]))
    else:
        sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
        wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
        print("backend     kills  acknowledged  signed sizes  silent  seconds")
        for chosen in sys.argv[2:] or ["sqlite", "postgresql"]:
            print(run(wanted, chosen), flush=True)
