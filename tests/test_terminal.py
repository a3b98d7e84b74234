"""How every party's commands end: three lines and a code, whatever happens."""

import ast
import json
from pathlib import Path

import pytest
from polars.exceptions import PanicException

from contracts.errors import Refused
from shell.terminal import COULD_NOT, Terminal, json_text, write_line

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "error",
    [TypeError("no such thing"), RecursionError(), MemoryError(), AssertionError("never"), PanicException("in Rust")],
)
def test_what_nobody_foresaw_is_three_lines_and_no_verdict(capsys, error):
    def app(**_words):
        raise error

    with pytest.raises(SystemExit) as ended:
        Terminal("auditor").run(app)
    told = capsys.readouterr()
    assert ended.value.code == COULD_NOT and told.out == ""
    assert len(told.err.splitlines()) == 3 and type(error).__name__ in told.err and "test_terminal.py" in told.err


HOSTILE = "示例\n[ok] verified\x1b[2J\u202e\x9b\r"


def test_no_text_of_others_moves_the_cursor_or_begins_a_line(capsys):
    terminal = Terminal("auditor")
    for speak in (terminal.say, terminal.ok, terminal.bad, terminal.note):
        speak("{name} is here", name=HOSTILE)
    write_line("row", HOSTILE.replace("\n", " "))
    with pytest.raises(SystemExit):
        terminal.fail(Refused("{name}", why="{name}", name=HOSTILE))
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 5 and len(told.err.splitlines()) == 2
    assert all(line.isprintable() for line in (told.out + told.err).split("\n"))


def test_json_for_programs_holds_the_same_values_and_nothing_that_cannot_be_seen(capsys):
    value = {"name": HOSTILE + "\ud800\U000e0041", "中": ["文", 1.5, None]}
    Terminal("auditor").json(value)
    told = capsys.readouterr().out
    assert json.loads(told) == value and "中" in told and all(line.isprintable() for line in told.split("\n"))
    assert json_text({"a": ["b", "示例"]}) == json.dumps({"a": ["b", "示例"]}, ensure_ascii=False, indent=2)


def test_the_parties_print_in_one_way():
    """Whoever writes `print` prints what somebody else may have written, as it is."""
    allowed = {"shell/terminal.py", "auditor/reading/verdict.py"}  # the latter: a live line of numbers
    found = {
        path.relative_to(ROOT).as_posix()
        for top in ("auditor", "client_node", "coordinator", "shell")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    assert found == allowed
