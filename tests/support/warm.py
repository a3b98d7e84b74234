"""A cluster whose processes are forked from one that has imported everything: a command costs
a tenth of a second, not two.

They are processes of their own all the same, with their own memory, and can be killed. For what parties do to each
other; how a command starts from nothing is tried with `demo.cluster.Cluster` itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from coordinator.settings import read_home
from coordinator.store.database import Database
from coordinator.store.log import Log
from demo.cluster import Cluster, StepFailed

PATIENCE_S = 600
IMPORTED = (  # but no commands: they choose their language when they are imported
    *(
        "coordinator.web.server",
        "coordinator.web.pages",
        "coordinator.learning.strategy",
        "coordinator.trust.certificates",
    ),
    *(
        "client_node.rounds.node",
        "client_node.rounds.flower_app",
        "client_node.serving.predict",
        "client_node.web.server",
    ),
    *("auditor.verify", "typer", "rich.progress", "lightgbm", "sklearn.ensemble", "statsforecast"),
)
processes = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    processes.set_forkserver_preload([__name__, *IMPORTED])


def command(package, *words):
    """`python -m PACKAGE WORDS`, in this process."""
    sys.argv = [package, *words]
    import_module(f"{package}.cli").main()


def environment():
    """The environment of a process that starts from nothing and is to find the project and these files."""
    root = Path(__file__).resolve().parents[2]
    found = (root, *(root / "tests" / name for name in ("support", "trials", "trials/hostile")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, found)), "OMP_NUM_THREADS": "1"}


class Forked:
    """A process that does `work(*words)` and writes into files; it is asked for what subprocess.Popen is asked for."""

    def __init__(self, work, words, out, errors):
        out.touch(), errors.touch()  # whoever reads them may be quicker than the process
        given = (work, words, out, errors, {**os.environ, "OMP_NUM_THREADS": "1"})
        self._process = processes.Process(target=_work, args=given, daemon=True)
        self._process.start()
        self.kill, self.terminate, self.pid = self._process.kill, self._process.terminate, self._process.pid

    def poll(self):
        """Its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout=None):
        """Its exit code once it has ended; TimeoutExpired if that takes longer."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode


def _work(work, words, out, errors, environment):
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in ((sys.stdout, out), (sys.stderr, errors)):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), stream.fileno())
        stream.reconfigure(encoding="utf-8", line_buffering=True)
    work(*words)


@dataclass
class WarmCluster(Cluster):
    """See Cluster."""

    logs: dict[str, Log] = field(default_factory=dict)

    def log(self, home="chamber"):
        """The log of a chamber as its database has it: opened once, so that to look again costs next to nothing."""
        if home not in self.logs:
            settings = read_home(self.home(home))
            self.logs[home] = Log(Database(settings.database_url), settings)
        return self.logs[home]

    def close(self):
        """See Cluster."""
        super().close()
        for log in self.logs.values():
            log._database.close()

    def command(self, package, *words, home=None, ok=(0,)):
        """See Cluster."""
        with tempfile.TemporaryDirectory() as folder:
            out, errors = Path(folder) / "out", Path(folder) / "errors"
            code = Forked(command, self._words(package, words, home), out, errors).wait(PATIENCE_S)
            told, wrong = (path.read_text("utf-8") for path in (out, errors))
        if code not in ok:
            raise StepFailed(f"{package} {' '.join(map(str, words))}: {code}\n{told}{wrong}")
        return told

    def start(self, name, package, *words, home=None):
        """See Cluster."""
        self.start_work(name, command, self._words(package, words, home))

    def start_work(self, name, work, words):
        """Start a long-lived process that does `work(*words)`, under this name."""
        log = self.folder / f"{name}.log"
        log.touch()  # whoever reads it may come before the process
        self.processes[name] = Forked(work, words, log, log)

    def _words(self, package, words, home):
        where = ("--home", str(self.home(home))) if home else ()
        return [package, *map(str, words), *where, "--lang", self.lang]
