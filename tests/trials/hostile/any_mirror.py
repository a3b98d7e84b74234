"""Everything that an auditor's commands do, over hostile mirrors: none may stop an audit, and none
that was altered may be clean.

A CI run reads two thousand of them (tests/auditor/test_any_document.py); this reads a hundred thousand, once.

    python tests/trials/hostile/any_mirror.py [CASES] [SEED]
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path += [str(TESTS.parent), str(TESTS / "support"), str(TESTS / "trials")]
# ruff: noqa: E402 (a script that must find the project first)

import flips
import hostile_mirror
from auditor.evidence.member_register import read_register
from auditor.evidence.mirror import mirror
from auditor.evidence.pack import open_evidence, write_pack
from auditor.evidence.reader import Folder, read_note
from auditor.evidence.sentences import namer, sentence
from auditor.reading.history import replayed
from auditor.reading.timeline import lines, svg, timeline_of
from auditor.reading.verdict import as_dict, print_verdict
from auditor.verify import verify, verify_structure
from contracts.errors import TrustError
from hostile_mirror import Case
from shell.language import translator
from shell.terminal import Terminal

BATCH = 1000  # cases of one seed
Fault = tuple[str, str]  # (what the case was, what went wrong)


def fault_of(case: Case, place: Path | None = None) -> str:
    """What is wrong with how a case was read; "" if nothing is. With a `place` everything else
    is done too, on its disk."""
    try:
        verdict = verify(flips.Held(case.files), case.pins)
        if place is not None:
            _read_otherwise(case, place)
    except TrustError:
        return ""  # three lines and exit code 2
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    if any(finding.code == "UNFORESEEN" for finding in verdict.findings()):
        return str(verdict.findings())[:300]
    return "clean" if case.altered and not verdict.findings() else ""


def _read_otherwise(case: Case, place: Path) -> None:
    evidence = flips.Held(case.files)
    verdict, terminal = verify(evidence, case.pins), Terminal("auditor")
    json.dumps(as_dict(verdict, case.pins, evidence, translator("auditor", "zh"))).encode()
    with redirect_stdout(io.StringIO()):
        print_verdict(verdict, terminal)
    verify_structure(evidence, case.pins)
    found = replayed(evidence, read_note(evidence, "checkpoint").checkpoint.size, range(10**6))
    register = read_register(found.state, evidence)
    for _data, read in found.entries.values():
        sentence(read, namer(register)).text()
    for member in register:
        one = timeline_of(found.state, member)
        svg(one, register[member].label())
        lines(one, 60, str)
    mirror(evidence, place / "mirror")
    write_pack(Folder(place / "mirror"), [], place / "evidence.pack")
    verify(open_evidence(place / "evidence.pack"), case.pins)


def faults(seed: int, n: int, place: Path) -> Iterator[Fault]:
    """Of the first `n` cases of a seed; every tenth is read in every way."""
    with flips.remembering():
        for number, case in enumerate(islice(hostile_mirror.cases(seed), n)):
            fault = fault_of(case, place / str(number) if number % 10 == 0 else None)
            if fault:
                yield f"seed {seed} case {number}: {case.what}", fault


def main() -> int:
    """Read them all; 1 if there was a fault."""
    cases, seed = (int(word) for word in (*sys.argv[1:], *("100000", "1000")[len(sys.argv) - 1 :]))
    began, found = time.monotonic(), 0
    for batch in range(-(-cases // BATCH)):
        with tempfile.TemporaryDirectory() as place:
            for what, fault in faults(seed + batch, min(BATCH, cases - batch * BATCH), Path(place)):
                found += 1
                print(f"{what}\n    {fault}", flush=True)
        print(
            f"{min(cases, (batch + 1) * BATCH)} mirrors, {found} faults, {time.monotonic() - began:.0f} s", flush=True
        )
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
