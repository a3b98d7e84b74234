"""Make the local virtual environment once, then run a Python command in it. Standard library only.

    python3 demo/environment.py                    set up .venv
    python3 demo/environment.py -m pytest          set up if needed, then run in it

Environment: PIP_INDEX_URL and PIP_FIND_LINKS are honoured by pip itself; WHEELS=folder installs from that
folder alone; GPU=1 allows CUDA packages; EXTRAS=node (or coordinator, auditor) installs one party alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
TORCH = "torch>=2.13,<2.14"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = ("nvidia-", "cuda-", "triton")
EXTRAS = os.environ.get("EXTRAS", "all,dev")
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def main(arguments: list[str]) -> int:
    """Set up, then run `python *arguments` inside; its exit code is ours."""
    ensure()
    if not arguments:
        return 0
    return become(arguments)


def become(arguments: list[str]) -> int:
    """Run `python *arguments` inside in place of this process, so that a signal meant for it arrives; where a system
    cannot do that (Windows), beside it."""
    command, environment = [str(PYTHON), *arguments], {**os.environ, **QUIET}
    if os.name == "nt":
        return subprocess.call(command, cwd=ROOT, env=environment)
    os.chdir(ROOT)
    os.execve(PYTHON, command, environment)


def ensure() -> None:
    """Create and fill .venv unless its stamp says that this very set is installed."""
    stamp = HOME / "mengbang.stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == _wanted():
        return
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        _stop(
            f"Python {sys.version.split()[0]} is not supported",
            "the tested set of packages is for Python 3.11",
            "install Python 3.11 and run the same command with it",
        )
    print("[1/3] virtual environment in .venv", flush=True)
    venv.create(HOME, with_pip=True)
    print("[2/3] looking for the CPU build of torch", flush=True)
    source = [] if EXTRAS.startswith("auditor") else _torch_source()
    print("[3/3] installing packages (some minutes the first time)", flush=True)
    if source:
        _pip("install", *source, TORCH, "-c", "constraints.txt")
    _pip("install", *_wheels(), "-c", "constraints.txt", "-e", f".[{EXTRAS}]")
    stamp.write_text(_wanted(), encoding="ascii")


def _wanted() -> str:
    named = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(named + f"{ROOT} {EXTRAS} {sys.version}".encode()).hexdigest()


def _wheels() -> list[str]:
    folder = os.environ.get("WHEELS")
    return ["--no-index", "--find-links", folder] if folder else []


def _torch_source() -> list[str]:
    """Extra arguments that make pip take a torch without CUDA; empty if it does so by itself."""
    if os.environ.get("GPU") == "1":
        return []
    for source in (_wheels(), ["--index-url", CPU_INDEX]):
        if not _cuda_packages(source):
            return source
    _stop(
        "torch would bring gigabytes of CUDA packages",
        f"neither pip's index nor {CPU_INDEX} offers the CPU build",
        "set WHEELS=folder with a CPU wheel of torch, or GPU=1 to accept CUDA",
    )
    return []


def _cuda_packages(source: list[str]) -> bool:
    """True if installing torch from `source` fails or would install CUDA packages."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(PYTHON),
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--report",
            str(report),
            *source,
            "torch>=2.13,<2.14",
            "-c",
            str(ROOT / "constraints.txt"),
        ]
        if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
            return True
        names = [item["metadata"]["name"].lower() for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return any(name.startswith(CUDA) for name in names)


def _pip(*arguments: str) -> None:
    """Run pip, counting the packages it looks at; its own last lines are shown only if it fails."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments, "--progress-bar", "off"]
    last: deque[str] = deque(maxlen=20)
    looked_at = 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            last.append(line)
            looked_at += line.startswith(("Collecting", "Installing"))
            if sys.stdout.isatty():
                print(f"\r      {looked_at} packages", end="", flush=True)
    print(f"\r      {looked_at} packages looked at, exit code {pip.returncode}", flush=True)
    if pip.returncode:
        print("".join(last), file=sys.stderr)
        _stop(
            "the packages could not be installed",
            "pip's own message stands above",
            "check the network or PIP_INDEX_URL, then run the same command again",
        )


def _stop(what: str, why: str, do: str) -> None:
    sys.exit(f"{what}\n  {why}\n  -> {do}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
