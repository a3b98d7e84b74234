"""Are there Windows wheels for all that node and auditor need? Resolved, never installed, never run.

pip judges markers such as `sys_platform` by the machine it runs on, so the closure of each extra is walked here
with Windows' markers, and pip is asked for the pinned wheel of each package alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = {
    "sys_platform": "win32",
    "platform_system": "Windows",
    "os_name": "nt",
    "platform_machine": "AMD64",
    "python_version": "3.11",
    "python_full_version": "3.11.9",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of all packages that `name[extras]` brings on Windows."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    found = {name}
    for text in _requirements(name):
        one = Requirement(text)
        asked = [WINDOWS | {"extra": extra} for extra in (extras or {""})]
        if one.marker is None or any(one.marker.evaluate(environment) for environment in asked):
            found |= needed(canonicalize_name(one.name), frozenset(one.extras), seen)
    return found


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for Windows only, so not installed where this runs; those in use need nothing else
        return []


def pinned(names: set[str]) -> list[str]:
    """`name==version` from the tested set; KeyError if a package is not in it."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line.partition(";")[0] for line in text.splitlines() if not line.startswith("#")]
    versions: dict[str, str] = {canonicalize_name(line.partition("==")[0]): line for line in lines}
    return [versions[name] for name in sorted(names - {"mengbang"})]


def resolve(extra: str) -> int:
    """0 if pip finds a wheel for Windows of every package of that extra."""
    wanted = pinned(needed("mengbang", frozenset({extra}), set()))
    platform = ("--platform", "win_amd64", "--python-version", "3.11", "--only-binary", ":all:", "--no-deps")
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "-qq", "--target", target, *platform, *wanted]
        code = subprocess.call(command)
    print(f"windows, {extra}: {len(wanted)} wheels {'found' if code == 0 else 'NOT found'}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(max(resolve(extra) for extra in ("node", "auditor")))
