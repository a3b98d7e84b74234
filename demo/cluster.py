"""Starts the real processes of a chamber and its members and drives them by their public commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MAIN = "import sys; from {package}.cli import main; sys.argv[0] = {package!r}; main()"
_BASE_CODE = "91440200MA4{number:06d}"
_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_DIGITS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


class StepFailed(Exception):
    """A command of the demo did not do what it should."""


def company_code(number: int) -> str:
    """A well-formed 统一社会信用代码 with its check digit (GB 32100-2015)."""
    body = _BASE_CODE.format(number=number)
    return body + _DIGITS[-sum(w * _DIGITS.index(c) for w, c in zip(_WEIGHTS, body, strict=True)) % 31]


def free_port() -> int:
    """A loopback port that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A chamber, its members' nodes and an auditor below one folder. `close` ends what it started, by process."""

    folder: Path
    lang: str = "zh"
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the coordinator answers."""
        return f"https://127.0.0.1:{self.port}"

    def home(self, name: str) -> Path:
        """Folder of one party."""
        return self.folder / name

    def command(self, package: str, *words: object, home: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """Run a command to its end; its output. StepFailed with what it said if it exits otherwise."""
        done = subprocess.run(
            self._line(package, words, home), capture_output=True, encoding="utf-8", env=_environment(), timeout=600
        )
        if done.returncode not in ok:
            raise StepFailed(f"{package} {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, package: str, *words: object, home: str | None = None, ok: tuple[int, ...] = (0,)) -> Any:
        """Output of a command with --json."""
        text = self.command(package, *words, "--json", home=home, ok=ok)
        return json.loads(text[min(at for at in (text.find("{"), text.find("[")) if at >= 0) :])

    def start(self, name: str, package: str, *words: object, home: str | None = None) -> None:
        """Start a long-lived process that writes to a log file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._line(package, words, home), stdout=log, stderr=log, env=_environment()
            )

    def _line(self, package: str, words: tuple[object, ...], home: str | None) -> list[str]:
        where = ["--home", str(self.home(home))] if home else []
        return [sys.executable, "-c", _MAIN.format(package=package), *map(str, words), *where, "--lang", self.lang]

    def wait_for_port(self, seconds: float = 60) -> None:
        """Until the coordinator answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.processes["coordinator"].poll() is not None:
                break
            time.sleep(0.05)
        raise StepFailed(
            "the coordinator does not answer: "
            + (self.folder / "coordinator.log").read_text("utf-8", "replace")[-2000:]
        )

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one process that this cluster started."""
        process = self.processes.pop(name)
        process.kill() if kill else process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End everything: ask all nodes at once, then wait for each."""
        for name, process in self.processes.items():
            if name != "coordinator":
                process.terminate()
        for name in sorted(self.processes, key=lambda one: one == "coordinator"):
            self.stop(name)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def found(self, *, epsilon_run: str = "1", tasks: tuple[str, ...] = ()) -> None:
        """A chamber with an agreement, serving."""
        self.command(
            "coordinator", "init", "--name", "示例商会", "--domain", "localhost", "--url", self.url, home="chamber"
        )
        chosen = [word for task in tasks for word in ("--task", task)]
        draft = str(self.folder / "agreement.json")
        limits = ("--epsilon-run", epsilon_run, "--out", draft)
        self.command("coordinator", "agreement", "draft", *limits, *chosen, home="chamber")
        self.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")
        self.serve()

    def serve(self) -> None:
        """Start the coordinator and wait until it answers."""
        self.start("coordinator", "coordinator", "serve", "--port", self.port, home="chamber")
        self.wait_for_port()

    def join(self, number: int, name: str, data: Path, *, epsilon_run: str = "1") -> str:
        """Invite, init, join and consent, with the member's own cap of a run; the node's home name. Its process is not
        started yet."""
        home, invite = f"node-{number:02d}", self.folder / f"{number:02d}.invite"
        self.command(
            "coordinator", "invite", name, "--code", company_code(number), "--out", invite, "--approve", home="chamber"
        )
        self.command("client_node", "init", "--data", data, home=home)
        limits = self.home(home) / "config.toml"
        text = limits.read_text(encoding="utf-8").replace('run_max = "1"', f'run_max = "{epsilon_run}"')
        limits.write_text(text, encoding="utf-8")
        self.command("client_node", "join", invite, "--yes", home=home)
        return home

    def order(self, task: str, *words: object) -> bool:
        """Order a run and wait for its end; False if its gate kept what served before."""
        try:
            self.command("coordinator", "order", task, *words, "--yes", "--spend-anyway", "--wait", home="chamber")
        except StepFailed:
            runs = self.json("coordinator", "status", home="chamber")["runs"]
            if not (runs and runs[-1]["task"] == task and runs[-1]["gate"] and runs[-1]["gate"]["decision"] == "keep"):
                raise
            return False
        return True

    def run_node(self, home: str) -> None:
        """Start a node's long-lived process."""
        self.start(home, "client_node", "run", home=home)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }
