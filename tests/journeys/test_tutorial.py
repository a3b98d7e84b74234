"""The tutorial, typed line by line as it stands in the documentation, and what its words
promise beside the commands."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.cluster import free_port
from demo.world import write

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "three-companies.md"
STAYS = re.compile(r"(coordinator serve|client-node run) ")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Shell:
    """One person's terminals: every line runs to its end, except those that are left running."""

    def __init__(self, folder):
        self.folder, self.port, self.running = folder, free_port(), []
        scripts = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "OMP_NUM_THREADS": "1",
        }

    def type(self, line):
        """What a line prints; AssertionError with it if the exit code is not 0."""
        line = line.replace("/tmp/trust", str(self.folder / "trust")).replace("9443", str(self.port))
        if line.startswith("export "):
            name, value = line.removeprefix("export ").split("=", 1)
            self.env[name] = value
            return ""
        if STAYS.match(line):
            with (self.folder / "terminals.log").open("ab") as log:
                self.running.append(subprocess.Popen(line.split(), stdout=log, stderr=log, env=self.env))
            if "serve" in line:
                self._wait_for_coordinator()
            return ""
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, line):
        return subprocess.run(
            line, shell=True, input="y\n" * 9, capture_output=True, encoding="utf-8", env=self.env, cwd=self.folder
        )

    def _wait_for_coordinator(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the coordinator does not answer")

    def close(self):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            process.wait(60)


def lines():
    """Every command of the tutorial, in order; the environment that tests run in is active already."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if not line.startswith(". ")]


def test_the_tutorial_works_as_it_is_written(tmp_path):
    write(tmp_path / ".demo" / "world", 6, "tiny")
    shell, said = Shell(tmp_path), {}
    try:
        for line in lines():
            said[line] = shell.type(line)
        verdict = next(text for line, text in said.items() if line.startswith("auditor verify"))
        assert "clean" in verdict
        shell.running.pop(0).terminate()  # the coordinator
        shell.type("client-node score --home /tmp/trust/node-1")
        checkpoint = tmp_path / "trust" / "mirror" / "checkpoint"
        checkpoint.write_bytes(checkpoint.read_bytes().replace(b"\n", b"x", 1))
        found = shell.run(f"auditor verify {tmp_path}/trust/mirror --pins {tmp_path}/trust/pins.json")
        assert found.returncode == 1 and "checkpoint" in found.stdout
    finally:
        shell.close()
