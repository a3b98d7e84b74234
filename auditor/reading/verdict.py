"""The verdict as people read it on a terminal, and as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from auditor.evidence.member_register import read_register
from auditor.evidence.pack import digest_as_pack
from auditor.evidence.reader import Evidence
from auditor.evidence.sentences import namer
from auditor.findings import AuditStep, FileFinding, Verdict
from auditor.reading.fault_meanings import SEVERITIES, TITLES, group, severity
from auditor.reading.sample import drawn
from contracts.fields import time_text
from contracts.log.pins import Pins
from contracts.promise import MOST
from contracts.rules.findings import Finding
from contracts.wording import N_, filled, visible
from shell.terminal import Terminal, write_line

LONG = 10_000  # entries from which a check takes seconds and a log file wants to see it move


def print_progress(quiet: bool) -> Callable[[int, int], None]:
    """Progress on standard error: a live line on a terminal, a line each tenth of a long log in a file."""
    if quiet:
        return lambda done, size: None
    return _Progress(sys.stderr.isatty()).tick


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
            write_line(f"{done} / {size}", file=sys.stderr)


def print_verdict(verdict: Verdict, terminal: Terminal) -> None:
    """Steps, findings by what they mean, what was not checked, conclusion."""
    for step in verdict.steps:
        mark = terminal.marks.bad if step.findings else terminal.marks.ok
        write_line(f"[{step.number}/8] {mark} {terminal.translate(step.title)}  {step.detail}")
        for text, values in step.said:
            write_line(f"      {filled(terminal.translate(text), values)}")
        if step.promises:
            write_line("      " + terminal.translate(MOST))
        for promise in step.promises:
            for sentence in promise.sentences(terminal.translate):
                write_line("        " + sentence)
        for text, values in step.not_checked:
            write_line(f"      {terminal.marks.note} NOT_CHECKED  {filled(terminal.translate(text), values)}")
    numbered = list(enumerate(verdict.findings(), 1))
    for kind, title in TITLES.items():
        if any(group(finding.code) == kind for _, finding in numbered):
            write_line(terminal.translate(title))
        for number, finding in numbered:
            if group(finding.code) == kind:
                weight = terminal.translate(SEVERITIES[severity(finding.code)])
                text = visible(finding.text(terminal.translate))
                write_line(f"  F-{number} [{weight}] {finding.code} {place(finding)}  {text}")
    if verdict.findings():
        terminal.bad(N_("verdict: NOT clean, {n} findings"), n=len(verdict.findings()))
    elif verdict.is_whole():
        terminal.ok(N_("verdict: clean, {n} entries, root {root}"), n=verdict.size, root=verdict.root[:16])
    else:
        terminal.ok(
            N_("one whole log of {n} entries, root {root}; what they say was not checked"),
            n=verdict.size,
            root=verdict.root[:16],
        )


def place(finding: Finding | FileFinding) -> str:
    """Where it is: the entry with its rule, or the file."""
    return visible(finding.file) if isinstance(finding, FileFinding) else f"#{finding.index} ({finding.rule})"


def as_dict(verdict: Verdict, pins: Pins, evidence: Evidence, chinese: Callable[[str], str]) -> dict[str, Any]:
    """The verdict for programs, with every sentence in both languages. It names no path: same evidence, same bytes."""
    sampled, of = drawn(verdict.state, verdict.root, namer(read_register(verdict.state, evidence)))
    return {
        "format": "mengbang-audit/1",
        "checked": "all" if verdict.is_whole() else "structure",
        "clean": not verdict.findings(),
        "size": verdict.size,
        "root": verdict.root,
        "seen_at": None if verdict.seen_at is None else time_text(datetime.fromtimestamp(verdict.seen_at, UTC)),
        "origin": pins.origin,
        "pins": {"fingerprint": pins.fingerprint(), "member": pins.member, "size": pins.size},
        "pack": digest_as_pack(evidence),
        "steps": [_step(step, chinese) for step in verdict.steps],
        "originals": of,
        "sample": [
            {"index": s.index, "digest": s.digest, "text": s.original.text(), "text_zh": s.original.text(chinese)}
            for s in sampled
        ],
    }


def _step(step: AuditStep, chinese: Callable[[str], str]) -> dict[str, Any]:
    return {
        "number": step.number,
        "title": step.title,
        "title_zh": chinese(step.title),
        "detail": step.detail,
        "findings": [_finding(finding, chinese) for finding in step.findings],
        "said": [filled(text, values) for text, values in step.said],
        "said_zh": [filled(chinese(text), values) for text, values in step.said],
        "promises": [promise.sentences() for promise in step.promises],
        "promises_zh": [promise.sentences(chinese) for promise in step.promises],
        "not_checked": [filled(text, values) for text, values in step.not_checked],
        "not_checked_zh": [filled(chinese(text), values) for text, values in step.not_checked],
    }


def _finding(finding: Finding | FileFinding, chinese: Callable[[str], str]) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": severity(finding.code),
        "group": group(finding.code),
        "place": place(finding),
        "index": finding.index if isinstance(finding, Finding) else None,
        "text": finding.text(),
        "text_zh": finding.text(chinese),
    }
