"""The light extra in an environment of its own: small, quick to start, and enough to judge the
demo's pack without a network."""

import os
import resource
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import median

import pytest

from demo.story import main as tell

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*words, ok=0):
    done = subprocess.run([str(w) for w in words], capture_output=True, encoding="utf-8", cwd="/", env=clean())
    assert done.returncode == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def clean():
    """Nothing of this checkout may help."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MENGBANG_LANG": "en"}


def cpu_s(*words, ok=0):
    """Median of five: processor seconds, which a busy machine changes less than the clock;
    and the shortest wall time."""
    taken, walls = [], []
    for _ in range(5):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        run(*words, ok=ok)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        walls.append(time.monotonic() - began)
    return median(taken), min(walls)


def megabytes(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """(bin folder, MB that the extra added) of an environment that holds `mengbang[auditor]` and nothing else."""
    place = tmp_path_factory.mktemp("light")
    beside = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "docs")
    source = shutil.copytree(ROOT, place / "source", ignore=beside)  # a build leaves files where it is made
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", place, source)
    [wheel] = place.glob("*.whl")
    venv.create(place / "venv", with_pip=True)
    site = next((place / "venv").glob("lib/python*/site-packages"))
    before = megabytes(site)
    pip = (place / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt")
    run(*pip, f"mengbang[auditor] @ file://{wheel}")
    return place / "venv" / "bin", megabytes(site) - before


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The demo's pack and pins, by the documented commands of a full installation."""
    folder = tmp_path_factory.mktemp("demo")
    assert tell(3, True, "en", folder / "demo", "tiny") == 0
    code = "from auditor.cli import main; main()"
    words = ["pack", str(folder / "demo" / "mirror"), str(folder / "evidence.pack")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return folder / "evidence.pack", folder / "demo" / "pins.json"


def test_it_is_small_and_starts_at_once(light, tmp_path):
    bin, added = light
    help_cpu, help_wall = cpu_s(bin / "auditor", "--help")
    (tmp_path / "pins.json").write_text("{}", encoding="utf-8")
    start_cpu, start_wall = cpu_s(bin / "auditor", "verify", tmp_path, "--pins", tmp_path / "pins.json", ok=2)
    print(
        f"\n{added:.1f} MB; --help {help_cpu:.2f} s CPU ({help_wall:.2f} s at best);"
        f" verify has loaded everything after {start_cpu:.2f} s CPU ({start_wall:.2f} s at best)"
    )
    assert added < 60 and help_cpu < 0.5 and start_cpu < 1
    heavy = ("torch", "numpy", "flwr", "opendp", "polars", "fastapi", "typst")
    run(bin / "python", "-c", f"import importlib.util as u; assert not any(map(u.find_spec, {heavy}))")


def test_it_judges_the_demos_pack_without_a_network(light, pack):
    alone = ("unshare", "-rn")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody take the network away (unshare -rn)")
    bin, _ = light
    evidence, pins = pack
    no_network = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    assert "unreachable" in run(*alone, bin / "python", "-c", no_network, ok=1)
    assert "verdict: clean" in run(*alone, bin / "auditor", "verify", evidence, "--pins", pins)
    assert "fingerprint" in run(*alone, bin / "auditor", "verify", evidence, ok=2)
    assert "epsilon" in run(*alone, bin / "auditor", "budget", evidence)
    no_extra = run(*alone, bin / "auditor", "verify", evidence, "--pins", pins, "--report", "/tmp/audit.pdf", ok=2)
    assert len(no_extra.strip().splitlines()) == 3 and "pip install 'mengbang[auditor-report]'" in no_extra
