"""Build the wheel of the newest commit so that whoever builds it again gets the same bytes, and list its files.

    python -m demo.release dist

writes dist/mengbang-VERSION-py3-none-any.whl and dist/mengbang-VERSION.release. Nothing of the machine gets in: the
tree comes from the commit, not from the folder; modes and times are fixed; files are stored, so no zlib has a say; the
build back end is pinned in pyproject.toml. What the release file holds and who signs it: docs/how-to/release.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EPOCH = "315532800"  # 1980-01-01, the first time that a zip file can tell


def build(out: Path, source: Path = ROOT) -> Path:
    """The wheel of the newest commit of the checkout `source`, in the folder `out`."""
    commit = subprocess.run(["git", "-C", str(source), "archive", "HEAD"], check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(commit), encoding="utf-8") as tree:
            tree.extractall(folder, filter="data")
        line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "-w", str(out), folder]
        mask = -1 if os.name == "nt" else 0o022
        subprocess.run(line, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, umask=mask)
    [wheel] = out.glob("mengbang-*.whl")
    return wheel


def release_file(wheel: Path) -> str:
    """Version, wheel and every installed file with its digest, one a line; signatures come after an empty line."""
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as held:
        names = sorted(name for name in held.namelist() if not name.startswith(f"mengbang-{version}.dist-info/"))
        files = [f"file {_digest(held.read(name))} {name}\n" for name in names]
    head = f"mengbang-release/1\nversion {version}\nwheel {_digest(wheel.read_bytes())} {wheel.name}\n"
    return head + "".join(files)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def main(out: Path) -> int:
    """Both files, in a folder that holds no other wheel of ours."""
    if not (ROOT / ".git").exists():
        sys.exit(
            "nothing to release\n  this folder is not a git checkout, and a release is made of a commit\n  -> "
            "clone the repository"
        )
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("mengbang-*.whl"):
        old.unlink()
    wheel = build(out)
    written = out / f"mengbang-{wheel.name.split('-')[1]}.release"
    written.write_text(release_file(wheel), encoding="utf-8", newline="\n")
    print(f"{wheel}  {_digest(wheel.read_bytes())}\n{written}")
    print(
        f"Next: coordinator sign-code {written}, then auditors: auditor sign-code {written} --identity KEY --pins PINS"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
