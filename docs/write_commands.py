"""Write docs/reference/commands.md from the commands themselves: `make docs`."""

from __future__ import annotations

import os
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "reference" / "commands.md"
PARTIES = (("coordinator", "coordinator"), ("client-node", "client_node"), ("auditor", "auditor"))
HEAD = """# Commands

Written by `make docs` from the commands' own help; a test compares the two.

Every command takes, before or after its name, `--lang zh|en` (without it `MENGBANG_LANG` decides, then the locale, then
Chinese), `--quiet`, `--verbose` and `-h`; each party takes `--version` and `--install-completion`. Exit codes:
0 done; 1 a rule said no, or findings; 2 it could not be done; 64 wrong use. Errors are three lines on standard error:
what happened, why, what to do.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(text for name, package in PARTIES for text in _party(name, package))])


def _party(name: str, package: str) -> list[str]:
    import typer

    cli: Any = import_module(f"{package}.cli")
    root = typer.main.get_command(cli.app)
    return [f"## {name}\n\n{root.help}\n", *_commands(root, [name])]


def _commands(group: Any, words: list[str]) -> list[str]:
    texts = []
    for name, command in group.commands.items():
        inner = [*words, name]
        texts += _commands(command, inner) if hasattr(command, "commands") else [_command(command, inner)]
    return texts


def _command(command: Any, words: list[str]) -> str:
    arguments = [p.human_readable_name for p in command.params if p.param_type_name == "argument"]
    lines = [f"### {' '.join([*words, *arguments])}\n", f"{command.help}\n"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "home"]
    lines += [f"- {p.human_readable_name}: {p.help}" for p in command.params if p.param_type_name == "argument"]
    lines += [f"- `{'`, `'.join(p.opts)}`: {p.help}" for p in options]
    return "\n".join(lines) + ("\n" if command.params else "")


if __name__ == "__main__":
    os.environ["MENGBANG_LANG"] = "en"
    sys.argv = sys.argv[:1]
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    runpy.run_path(str(PAGE.parent.parent / "write_fields.py"), run_name="__main__")
