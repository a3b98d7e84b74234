"""Write docs/reference/commands.md, and its Chinese, from the commands themselves: `make docs`."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGES = {"en": DOCS / "reference" / "commands.md", "zh": DOCS / "zh" / "reference" / "commands.md"}
PARTIES = (("coordinator", "coordinator"), ("client-node", "client_node"), ("auditor", "auditor"))
HEADS = {
    "en": """# Commands

Written by `make docs` from the commands' own help; a test compares the two.

Every command takes, before or after its name, `--lang zh|en` (without it `MENGBANG_LANG` decides, then the locale, then
Chinese), `--quiet`, `--verbose` and `-h`; each party takes `--version` and `--install-completion`. Exit codes:
0 done; 1 a rule said no, or findings; 2 it could not be done; 64 wrong use. Errors are three lines on standard error:
what happened, why, what to do.
""",
    "zh": """# 命令

由 `make docs` 从命令自身的帮助生成；有测试比对两者。

每条命令都可在命令名之前或之后加 `--lang zh|en`（不加时依次以 `MENGBANG_LANG`、系统语言为准，再默认中文）、`--quiet`、`--verbose` 和 `-h`；
每一方都有 `--version` 和 `--install-completion`。退出码：0 已完成；1 规则不允许，或有发现；2 未能完成；64 用法有误。错误信息写到标准错误，
共三行：出了什么事，为什么，怎么办。
""",
}


def page(language: str) -> str:
    """The whole page; the commands take their language once, when they are imported."""
    os.environ["MENGBANG_LANG"] = language
    return "\n".join([HEADS[language], *(text for name, package in PARTIES for text in _party(name, package))])


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


def _write(language: str) -> None:
    PAGES[language].write_text(page(language), encoding="utf-8")
    print(PAGES[language])


if __name__ == "__main__":
    chosen, sys.argv = sys.argv[1:], sys.argv[:1]
    for language in chosen:
        _write(language)
    if not chosen:
        for language in PAGES:
            subprocess.run([sys.executable, __file__, language], check=True)
        runpy.run_path(str(DOCS / "write_fields.py"), run_name="__main__")
