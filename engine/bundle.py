"""Digest of the installed code that touches a member's data, computed by each side from its own files."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from contracts.envelope import canonical, digest

PACKAGES = ("contracts", "engine", "privacy")
ALONE = ("client_node/flower_app.py", "client_node/rows.py")


@cache
def bundle_digest() -> str:
    """Digest of the canonical list of [path, digest] over every Python file of the listed packages."""
    listed = []
    for package in PACKAGES:
        folder = _folder(package)
        listed += [
            [f"{package}/{p.relative_to(folder).as_posix()}", digest(p.read_bytes())]
            for p in sorted(folder.rglob("*.py"))
        ]
    for path in ALONE:
        package, _, name = path.partition("/")
        listed.append([path, digest((_folder(package) / name).read_bytes())])
    return digest(canonical(sorted(listed)))


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"package {package} is not installed")
    return Path(spec.origin).parent
