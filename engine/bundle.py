"""Digest of the installed code that touches a member's data, computed by each side from its own files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from contracts.envelope import canonical, digest

PACKAGES = ("contracts", "engine", "privacy")
ALONE = ("client_node/rounds/flower_app.py", "client_node/rounds/training_data.py")


@cache
def bundle_digest() -> str:
    """The digest of what is installed here."""
    files = {}
    for package in PACKAGES:
        folder = _folder(package)
        for path in folder.rglob("*.py"):
            files[f"{package}/{path.relative_to(folder).as_posix()}"] = digest(path.read_bytes())
    for name in ALONE:
        package, _, path_in_it = name.partition("/")
        files[name] = digest((_folder(package) / path_in_it).read_bytes())
    return bundle_of(files)


def bundle_of(files: Mapping[str, str]) -> str:
    """Digest of the canonical list of [path, digest] over every Python file of the listed packages, as agreements and
    orders name it. `files` may hold others too, as a release file does."""
    held = sorted(
        [path, name]
        for path, name in files.items()
        if path in ALONE or (path.endswith(".py") and path.partition("/")[0] in PACKAGES)
    )
    return digest(canonical(held))


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"package {package} is not installed")
    return Path(spec.origin).parent
