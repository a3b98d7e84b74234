"""The verdict as people read it, and as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from auditor.findings import FileFinding, Step, Verdict
from contracts.rules.findings import Finding
from contracts.terminal import Terminal
from contracts.wording import N_

LONG = 10_000  # entries from which a check takes seconds and a log file wants to see it move


def print_progress(quiet: bool) -> Callable[[int, int], None]:
    """Entries done, at most ten times a second on a terminal, each tenth of the log in a file; silent if `quiet`."""
    if quiet:
        return lambda done, size: None
    shown = _Progress(sys.stderr.isatty())
    return shown.tick


class _Progress:
    def __init__(self, live: bool):
        self._live, self._next = live, 0.0

    def tick(self, done: int, size: int) -> None:
        now = time.monotonic() if self._live else done * 10 / size
        if self._live and (now >= self._next or done == size):
            self._next = now + 0.1
            end = "\r" + " " * 60 + "\r" if done == size else ""
            print(f"\r{done} / {size}  {100 * done // size} %{end}", end="", file=sys.stderr, flush=True)
        elif not self._live and size > LONG and now >= self._next + 1:
            self._next = float(int(now))
            print(f"{done} / {size}", file=sys.stderr, flush=True)


def print_verdict(verdict: Verdict, terminal: Terminal) -> None:
    """Steps, findings, what was not checked, conclusion."""
    for step in verdict.steps:
        mark = terminal.marks.bad if step.findings else terminal.marks.ok
        print(f"[{step.number}/8] {mark} {terminal.translate(step.title)}  {step.detail}")
        for text, values in step.not_checked:
            print(f"      {terminal.marks.note} NOT_CHECKED  {terminal.translate(text).format_map(values)}")
    for number, finding in enumerate(verdict.findings(), 1):
        print(f"F-{number} {finding.code} {_place(finding)}  {_text(finding, terminal)}")
    if verdict.findings():
        terminal.bad(N_("verdict: NOT clean, {n} findings"), n=len(verdict.findings()))
    else:
        terminal.ok(N_("verdict: clean, {n} entries, root {root}"), n=verdict.size, root=verdict.root[:16])


def _place(finding: Finding | FileFinding) -> str:
    return finding.file if isinstance(finding, FileFinding) else f"#{finding.index} ({finding.rule})"


def _text(finding: Finding | FileFinding, terminal: Terminal) -> str:
    return terminal.translate(finding.what).format_map(finding.values)


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """The verdict for programs; sentences in English."""
    return {
        "clean": not verdict.findings(),
        "size": verdict.size,
        "root": verdict.root,
        "steps": [_step(s) for s in verdict.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "title": step.title,
        "detail": step.detail,
        "findings": [{"code": f.code, "place": _place(f), "text": f.what.format_map(f.values)} for f in step.findings],
        "not_checked": [text.format_map(values) for text, values in step.not_checked],
    }
