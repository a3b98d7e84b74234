"""Lint, types, layers and the fast tests: `make check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STEPS = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "--quiet", "."),
    ("-m", "mypy"),
    ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
    ("-m", "pytest", "-q", "-m", "not slow", "tests/privacy", "tests/contracts", "tests/test_language.py"),
)


def main() -> int:
    """Run every step, also after a failed one; 0 only if all held."""
    root = Path(__file__).resolve().parent.parent
    codes = [subprocess.call([sys.executable, *step], cwd=root) for step in STEPS]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
