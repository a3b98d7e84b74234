"""How every party's commands end: three lines and a code, whatever happens."""

import ast
import json
import re
from pathlib import Path

import pytest
from polars.exceptions import PanicException
from typer.main import get_command

from auditor.cli import app as auditor_app
from contracts.errors import Refused
from shell import commandline
from shell.terminal import COULD_NOT, OK, WRONG_USE, Terminal, json_text, write_line

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


@pytest.mark.parametrize(
    "words", [("check", "--lang=zh", "--home"), ("check", "--verbose=1"), ("--lang",), ("join", "a", "--fingerprint")]
)
def test_an_option_without_its_value_is_three_lines_like_any_wrong_use(run_command, words):
    done = run_command("client_node", *words, MENGBANG_LANG="zh")
    assert done.returncode == WRONG_USE and len(done.stderr.splitlines()) == 3 and "用法：" in done.stderr


@pytest.mark.parametrize(
    ("package", "words"),
    [("client_node", ("data", "preview", "--rows", "abc")), ("auditor", ("watch", "x", "--every", "abc"))],
)
def test_a_number_that_is_none_is_refused_in_chinese_alone(run_command, package, words):
    said = run_command(package, *words, "--lang", "zh").stderr.splitlines()[0]
    assert "abc" in said and not {"integer", "range", "float"} & set(re.findall("[a-z]+", said))


def test_completion_is_put_in_place_in_the_readers_language(monkeypatch, capsys):
    monkeypatch.setattr(commandline, "install", lambda: ("bash", Path("/home/a/.bash_completions/auditor.sh")))
    with pytest.raises(SystemExit) as ended:
        get_command(auditor_app).main(["--install-completion"], standalone_mode=False)
    told = capsys.readouterr().out.splitlines()
    assert ended.value.code == OK and len(told) == 1 and "auditor.sh" in told[0] and "installed" not in told[0]


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
