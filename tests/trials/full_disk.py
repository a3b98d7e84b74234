"""A coordinator on a disk that fills up, or turns read-only, and comes back: `python
tests/trials/full_disk.py full|read-only`.

In a mount namespace of its own (`unshare -rm`) the disk is a real one of a few MiB. Where that is not
to be had, a limit on the size of files stands for the full disk, and taken write permissions, for a
user who is not root, for the other.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from contracts.errors import Unavailable
from demo.cluster import free_port
from shell.terminal import COULD_NOT
from storm import Submitters, begin, open_log, processes, serve

MIB = 2**20


def has_namespace():
    """Whether this machine lets us mount a disk of our own."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


def command(what):
    """The line that runs this script with the best disk at hand."""
    prefix = ["unshare", "-rm"] if has_namespace() else []
    if not prefix and os.getuid() == 0:
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return [*prefix, sys.executable, __file__, what]


class Disk:
    """A small disk of its own, or what comes closest without the right to mount one."""

    def __init__(self, folder, server=lambda: None):
        self.folder, self._server = folder, server
        self.is_real = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={16 * MIB}", "none", folder]).returncode == 0
        )

    def fill(self):
        """Leave no room for another page."""
        if not self.is_real:
            return self._limit((self.folder / "office" / "coordinator.db-wal").stat().st_size)
        with (self.folder / "filler").open("wb", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def free(self):
        """Give the room back."""
        (self.folder / "filler").unlink() if self.is_real else self._limit(resource.RLIM_INFINITY)

    def _limit(self, size):
        resource.prlimit(self._server().pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def lock(self, locked):
        """Let nobody write, or everybody again."""
        if self.is_real:
            how = "remount,ro" if locked else "remount,rw"
            return subprocess.run(["mount", "-o", how, self.folder], check=True)
        for path in (self.folder / "office").glob("coordinator.db*"):
            path.chmod(0o400 if locked else 0o600)
        (self.folder / "office").chmod(0o500 if locked else 0o700)


def is_clear(told):
    """These words name the database as what cannot be used, and what to look at."""
    return "database cannot be used" in told and "free space and permissions" in told


def serve_or_refuse(home, port):
    """`coordinator serve`, which ends with COULD_NOT where it cannot begin."""
    try:
        serve(home, port, "")
    except Unavailable as error:
        raise SystemExit(COULD_NOT if is_clear(" ".join(error.lines())) else 1) from error


class Chamber:
    """A coordinator that serves from the disk, and 200 submitters that never give up."""

    def __init__(self, disk):
        self.home = disk.folder / "office"
        member, node = begin(self.home)
        self.port, self.process = free_port(), None
        self.submitters = Submitters(self.home, self.port, member, node)
        self.told = []

    def start(self):
        """Serve."""
        self.process = processes.Process(target=serve_or_refuse, args=(self.home, self.port))
        self.process.start()

    def end(self):
        """Stop serving as an operator does; what is answered meanwhile is not judged, and nothing is left running."""
        self.submitters.era += 1
        self.process.terminate()
        self.process.join(60)
        stopped = not self.process.is_alive()
        self.process.kill()
        self.submitters.era += 1
        assert stopped and not self.submitters.wrong, self.submitters.wrong[:1]

    def until(self, look, seconds=120):
        """Wait for something to be so."""
        end = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < end, "what was waited for did not come"
            time.sleep(0.02)

    def goes_on(self):
        """New acknowledgements come."""
        before = len(self.submitters.told)
        self.until(lambda: len(self.submitters.told) > before + 20)

    def is_refused_clearly(self):
        """Each submitter is told what cannot be used and what to do, and the process stays."""
        before = len(self.submitters.refused)
        self.until(lambda: len(self.submitters.refused) > before)
        assert is_clear(self.submitters.refused[-1]), self.submitters.refused[-1]
        assert self.process.is_alive() and not self.submitters.wrong, self.submitters.wrong[:1]

    def has_lost_nothing(self):
        """Everything acknowledged is there, in its place."""
        log = open_log(self.home)
        kept = list(log.entries(0, 2**31 - 1))
        told = list(self.submitters.told)
        assert told and all(kept[answer["index"]] == entry for entry, answer in told)
        log.publish()
        log._database.close()
        return len(told)


def full(disk, chamber):
    """The disk fills up under load: refused, then it goes on by itself; killed while full, it starts cleanly."""
    chamber.start()
    chamber.goes_on()
    disk.fill()
    chamber.is_refused_clearly()
    disk.free()
    chamber.goes_on()
    disk.fill()
    chamber.is_refused_clearly()
    chamber.process.kill()
    chamber.process.join(60)
    disk.free()
    chamber.start()
    chamber.goes_on()


def read_only(disk, chamber):
    """A system does not let go of open files, so the disk turns read-only between two runs: then commands and the
    server refuse what they cannot write down; what was opened read-only is opened anew by a restart."""
    chamber.start()
    chamber.goes_on()
    chamber.end()
    disk.lock(True)
    line = [sys.executable, "-c", "from coordinator.cli import main; main()", "incident", "x", "--lang", "en"]
    told = subprocess.run([*line, "--home", str(chamber.home)], capture_output=True, text=True, timeout=120)
    assert told.returncode == 2 and "Traceback" not in told.stderr, told
    assert is_clear(told.stderr), told
    chamber.start()
    before = len(chamber.submitters.refused)
    chamber.until(lambda: chamber.process.exitcode == COULD_NOT or len(chamber.submitters.refused) > before)
    if chamber.process.is_alive():  # what was written before was all published: there was nothing to write at the start
        chamber.is_refused_clearly()
    chamber.end()
    disk.lock(False)
    chamber.start()
    chamber.goes_on()


def story(what, folder):
    """One of the two, and what was acknowledged is there afterwards."""
    disk = Disk(folder, lambda: chamber.process)
    chamber = Chamber(disk)
    try:
        {"full": full, "read-only": read_only}[what](disk, chamber)
    finally:
        chamber.submitters.end()
        chamber.end()
    return (
        f"{what}: {chamber.has_lost_nothing()} acknowledged, none lost; "
        f"{'a disk of its own' if disk.is_real else 'limits'}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        print(story(sys.argv[1], Path(name)))
