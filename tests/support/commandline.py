"""Asks the parties about their own commands, each in a process of its own."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LOOK = """
import json, sys, time
began = time.perf_counter()
sys.argv = ["command", *json.loads(sys.argv[1])]
try:
    from {package}.cli import main
    main()
except SystemExit as end:
    code = end.code
names = ("torch", "flwr", "opendp", "polars", "numpy", "fastapi", "sqlmodel", "ray")
heavy = [name for name in names if name in sys.modules]
print("LOOK", json.dumps([code, time.perf_counter() - began, heavy]))
"""


def help_of(package, *words):
    """(text, exit code, seconds, heavy modules that were imported) of a command's --help, in English."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(package=package), json.dumps([*words, "--help"])],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "MENGBANG_LANG": "en"},
    )
    text, _, seen = done.stdout.rpartition("LOOK ")
    return text, *json.loads(seen or "[null, 0, []]")


@cache
def options(package):
    """{words that name a command: its options} of a party, asked of the party itself."""
    code = f"""
import json, typer, {package}.cli as cli
def walk(command, words):
    for name, child in getattr(command, "commands", {{}}).items():
        yield from walk(child, [*words, name])
    if not hasattr(command, "commands"):
        own = (opt for param in command.params for opt in (*param.opts, *param.secondary_opts))
        yield words, ["--help", "-h", "--lang", "--quiet", "--verbose", *own]
print(json.dumps(list(walk(typer.main.get_command(cli.app), []))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "MENGBANG_LANG": "en"},
    )
    return {tuple(words): set(given) for words, given in json.loads(done.stdout)}


def commands(package):
    """The words that name each command of a party."""
    return [list(words) for words in options(package)]
