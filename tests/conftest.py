"""Nothing may call home, also in tests; and torch must not fight for the two cores."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parent.parent

for name, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
    ("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("OMP_NUM_THREADS", "1"),
):
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def run_command():
    """Run a party's command as a user does: its own process, output captured."""

    def run(package, *arguments, encoding="utf-8", timeout=60, input=None, **environ):
        code = f"from {package}.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            input=input,
            capture_output=True,
            encoding=encoding,
            timeout=timeout,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT), **environ},
        )

    return run


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this test session."""
    from postgres import server_or_skip

    server = server_or_skip()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """ "" for the SQLite file of a home, or the address of an empty PostgreSQL database."""
    if request.param == "sqlite":
        return ""
    return request.getfixturevalue("postgres").url(f"log{uuid4().hex}")


@pytest.fixture
def home(tmp_path):
    """An empty home of a node, beside the empty folder `data` of its owner's files."""
    (tmp_path / "home").mkdir(), (tmp_path / "data").mkdir()
    return tmp_path / "home"


@pytest.fixture(scope="session")
def fits(tmp_path_factory):
    """Keeps what one test has fitted for the next: point a node's `cache` here, where files
    are named by their numbers."""
    return tmp_path_factory.mktemp("fits")


@pytest.fixture
def data(home):
    return home.parent / "data"
