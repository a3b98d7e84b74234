"""What long-lived processes write into their log: where it happened and what it was, never the
values that were at hand."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import client_node.rounds.node
import coordinator.web.server

ROOT = Path(__file__).resolve().parent.parent
FORGED = "\x1b[2J\u202e\n2026-01-01 00:00:00 [info     ] run ended"
PARTS = [client_node.rounds.node, coordinator.web.server]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_failure_that_nobody_foresaw_is_logged_without_the_values_at_hand(part, capsys):
    row = "".join(("示例", "机械有限公司"))
    try:
        raise ZeroDivisionError(len(row) - len(row))
    except ZeroDivisionError:
        part.log_event.exception("unforeseen", round=3)
    told = capsys.readouterr().out
    assert "ZeroDivisionError" in told and "test_log_lines.py" in told and "round=3" in told
    assert row not in told, "a log file is sent to whoever mends a fault"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_no_text_of_others_begins_a_line_of_the_log_or_moves_the_cursor(part, capsys):
    part.log_event.error("refused", what=FORGED, code="\x9b31m", names=(FORGED,))
    try:
        raise ValueError(FORGED)
    except ValueError:
        part.log_event.exception("unforeseen")
    told = capsys.readouterr().out
    assert all(line.isprintable() for line in told.split("\n"))
    assert len(re.findall(r"(?m)^20\d\d-", told)) == 2, "two lines were logged"


def test_what_a_library_logs_of_a_failure_begins_no_line_either():
    """uvicorn logs whatever an application did not catch, with its message."""
    code = (
        "import logging; from shell.door import bounded; bounded(lambda scope: None)\n"
        f"try: raise ValueError({FORGED!r})\n"
        "except ValueError: logging.getLogger('uvicorn.error').exception('Exception in ASGI application')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "ValueError" in done.stderr and all(line.isprintable() for line in done.stderr.split("\n"))
    assert len(re.findall(r"(?m)^20\d\d-", done.stderr)) == 1


def test_the_parties_log_in_one_way():
    found = {
        path.relative_to(ROOT).as_posix()
        for top in ("auditor", "client_node", "coordinator", "shell", "engine")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "structlog" in ([one.name for one in node.names] + [getattr(node, "module", "")])
    }
    assert found == {"shell/log_lines.py"}
