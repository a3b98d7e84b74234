"""What keeps the commands portable and quick: encodings said, Unix calls in one file a party, light `--help`."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commandline import commands, help_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("privacy", "contracts", "shell", "engine", "coordinator", "client_node", "auditor", "demo")
PARTIES = ("coordinator", "client_node", "auditor")
UNIX = {"fcntl", "resource", "pwd", "termios"}
UNIX_CALLS = {"fork", "chmod", "fchmod", "mkfifo", "setsid", "getuid"}


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def nodes(path):
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def is_unix(node):
    if isinstance(node, ast.Import):
        return any(name.name in UNIX for name in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in UNIX
    return isinstance(node, ast.Attribute) and node.attr in UNIX_CALLS


@pytest.mark.parametrize("package", PACKAGES)
def test_unix_calls_stand_in_one_file_a_party_at_most(package):
    found = {path.name for path in files(package) if any(is_unix(node) for node in nodes(path))}
    assert len(found) <= (1 if package in (*PARTIES, "shell", "demo", "privacy") else 0), found


def without_encoding(path):
    """Calls that open text and leave the encoding to the machine they run on."""
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        named = {word.arg for word in node.keywords}
        mode = next(
            (
                a.value
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, str) and set(a.value) <= set("rwaxbt+")
            ),
            "r",
        )
        opens_text = (
            name == "open"
            and "b" not in mode
            and not (isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "os")
        )
        texts = (name == "write_text" and len(node.args) < 2) or (name == "read_text" and not node.args) or opens_text
        if texts and "encoding" not in named:
            yield f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{node.lineno}"


@pytest.mark.parametrize("package", PACKAGES)
def test_text_is_read_and_written_in_a_stated_encoding(package):
    assert [place for path in files(package) for place in without_encoding(path)] == []


def test_a_forgotten_encoding_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        'open("a")\nPath("b").read_text()\nopen("c", "rb")\nopen("d", encoding="utf-8")\n', encoding="utf-8"
    )
    assert list(without_encoding(wrong)) == ["wrong.py:1", "wrong.py:2"]


@pytest.mark.slow
@pytest.mark.parametrize("package", PARTIES)
def test_help_of_every_command_is_quick_light_and_shows_an_example(package):
    for words in commands(package):
        text, code, seconds, heavy = min((help_of(package, *words) for _ in range(2)), key=lambda seen: seen[2])
        assert code in (0, None), words
        assert heavy == [], words
        assert seconds < 1, words
        assert f"{package.replace('_', '-')} {' '.join(words)}" in " ".join(text.split()), words


WINDOWS = """
import sys
# libraries test this themselves
import babel.dates, cryptography.hazmat.primitives.serialization, httpx, typer, contracts.statements.statements
sys.modules["fcntl"] = sys.modules["resource"] = None
sys.modules["msvcrt"] = type(sys)("msvcrt")
sys.platform = "win32"
import {modules}
print("imported")
"""


@pytest.mark.parametrize(
    "modules",
    [
        "client_node.settings, client_node.cli",
        "coordinator.settings, coordinator.cli",
        "auditor.evidence.identity, auditor.cli",
    ],
)
def test_a_party_imports_without_unix_modules(modules):
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS.format(modules=modules)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "imported", done.stderr
