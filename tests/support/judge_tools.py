"""Programs that judges need and Python does not bring. CI installs them, so there a missing one is a failure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1] / "judges"


def need(program, install):
    """The program's path; without it the test is skipped, saying what to install."""
    found = shutil.which(program)
    if found is None:
        absent(f"no {program} here; install it: {install}")
    return found


def absent(why):
    """Skip on a person's machine, fail in CI."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


def run(*line, **more):
    """The finished process, its output as text."""
    return subprocess.run([str(word) for word in line], capture_output=True, text=True, timeout=120, **more)
