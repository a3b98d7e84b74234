"""The verdict as people read it, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from auditor.findings import FileFinding, Step, Verdict
from contracts.rules.findings import Finding
from contracts.terminal import Terminal
from contracts.wording import N_


def print_progress(quiet: bool) -> Callable[[int], None]:
    """A counter of entries on a terminal; silent elsewhere."""
    if quiet or not sys.stderr.isatty():
        return lambda done: None
    return lambda done: print(f"\r{done} ", end="", file=sys.stderr, flush=True)


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
