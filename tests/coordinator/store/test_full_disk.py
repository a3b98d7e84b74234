"""A real disk that is full or read-only: clear words, nothing lost, a clean start."""

import subprocess
import sys

import pytest

from full_disk import command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="limits and mounts are those of Unix"),
]


@pytest.mark.parametrize("what", ["full", "read-only"])
def test_a_coordinator_says_what_its_disk_lacks_and_goes_on_when_it_has_it_again(what):
    done = subprocess.run(command(what), capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost" in done.stdout
