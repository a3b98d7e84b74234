"""The check of the lock says what it found, what it could not check, and that it could not ask."""

import json

import pytest

from demo.vulnerabilities import LOCK, main

GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answered", "code", "said"),
    [
        ((json.dumps({"dependencies": [GOOD]}), ""), 0, "1 of 1 packages checked, 0 known"),
        ((json.dumps({"dependencies": [GOOD, BAD, SKIPPED]}), ""), 1, "b 2: PYSEC-1, mended in 3"),
        ((json.dumps({"dependencies": [SKIPPED]}), ""), 0, "c: not checked, not found\n0 of 1 packages checked"),
        (("", "Traceback\nConnectionError: no route"), 0, "were NOT checked\n  ConnectionError: no route"),
        (("", "No module named pip_audit"), 0, "were NOT checked\n  No module named pip_audit"),
    ],
)
def test_what_is_known_what_was_not_checked_and_that_nobody_answered(capsys, answered, code, said):
    assert main(lambda: answered) == code
    assert said in capsys.readouterr().out


def test_it_asks_about_the_lock():
    assert LOCK.name == "constraints.txt" and "==" in LOCK.read_text(encoding="utf-8")
