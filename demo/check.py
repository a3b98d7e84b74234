"""Lint, types, layers and the fast tests: `make check`; `python -m demo.check lint` leaves the tests out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LINT = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "--quiet", "."),
    ("-m", "mypy"),
    ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
)
TESTS = (
    "-m",
    "pytest",
    "-q",
    "-n",
    "2",
    "-m",
    "not slow",
    "tests/privacy",
    "tests/contracts",
    "tests/test_language.py",
)


def main(words: list[str]) -> int:
    """Run every step, also after a failed one; 0 only if all held."""
    root = Path(__file__).resolve().parent.parent
    steps = LINT if words == ["lint"] else (*LINT, TESTS)
    codes = [subprocess.call([sys.executable, *step], cwd=root) for step in steps]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
