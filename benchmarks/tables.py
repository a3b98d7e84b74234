"""Rows of a benchmark -> a Markdown table and the same as JSON in `benchmarks/results`, with
the command that made it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table with one column a key of the first row; a missing value is a dash."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(str(row.get(key, "–")) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def publish(
    name: str, title: str, parts: dict[str, Sequence[dict[str, Any]]], notes: Sequence[str], *, suffix: str = ""
) -> None:
    """Print all tables and write them as NAME+SUFFIX; `parts` maps a heading to its rows."""
    command = shlex.join(["python", "-m", _module(), *sys.argv[1:]])
    text = [f"# {title}", f"`{command}`", *notes]
    for heading, rows in parts.items():
        text += [f"## {heading}", markdown(rows)]
    made = "\n\n".join(text) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}{suffix}.md").write_text(made, encoding="utf-8")
    body = {"command": command, "notes": list(notes), "tables": parts}
    (RESULTS / f"{name}{suffix}.json").write_text(
        json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(made)


def _module() -> str:
    """The name under which `python -m` started this process."""
    started = sys.modules["__main__"].__spec__
    assert started is not None, "start it with python -m"
    return started.name.removesuffix(".__main__")
