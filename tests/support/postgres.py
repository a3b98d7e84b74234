"""A PostgreSQL server of its own for tests: a fresh cluster in a temporary folder, loopback only, ended afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


def binaries():
    """Folder of the newest server's programs, None if none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def user():
    """An unprivileged user for the server, which refuses to run as root."""
    return "postgres" if os.name != "nt" and os.getuid() == 0 else None


class Server:
    """One cluster; `url(name)` makes an empty database in it."""

    def __init__(self):
        self._bin, self._home = binaries(), Path(tempfile.mkdtemp(prefix="pg"))
        if user():
            shutil.chown(self._home, user())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", str(self._home / "data"), "-U", "chamber", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _run(self, program, *arguments):
        done = subprocess.run(
            [str(self._bin / program), *arguments], user=user(), cwd=self._home, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self):
        """Start, and wait until connections are taken."""
        with (self._home / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(self._bin / "postgres"),
                    *("-D", str(self._home / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._home)),
                ],
                user=user(),
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            ready = [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError((self._home / "server.log").read_text())

    def stop(self, how=signal.SIGINT):
        """End the server: SIGINT closes connections and writes everything, SIGQUIT is a crash."""
        self._server.send_signal(how)
        self._server.wait(timeout=60)

    def url(self, name):
        """The address of an empty database."""
        import psycopg

        with psycopg.connect(f"postgresql://chamber@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://chamber@127.0.0.1:{self.port}/{name}"

    def close(self):
        """End the server and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)


def server_or_skip():
    """A running server; skips where none is installed, except in CI."""
    if binaries() is None:
        if os.environ.get("CI"):
            raise AssertionError("CI installs postgresql; it is not here")
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    return Server()
