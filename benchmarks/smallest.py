"""Every benchmark in its smallest form, so that none rots: the same lines run, the figures mean
nothing and are thrown away.

    python -m benchmarks.smallest risk demand.bands      these, each in a process of its own
    python -m benchmarks.smallest                        all

A script that reads public data is left out, and says so, where `../shared/data` is not there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import tables

DATA = Path("../shared/data")
FEW = 4  # members of a public set


@dataclass(frozen=True, slots=True)
class Form:
    """Words of the command line, constants of the script that make it long, and loaders of which few members stay."""

    words: tuple[str, ...] = ()
    constants: dict[str, Any] = field(default_factory=dict)
    loaders: tuple[str, ...] = ()
    reads_data: bool = False


def on_data(*loaders: str, words: tuple[str, ...] = (), **constants: Any) -> Form:
    """The form of a script that reads public data."""
    return Form(("--data", str(DATA), *words), constants, loaders, reads_data=True)


ONE_SEED = ("--seeds", "1")
FORMS: dict[str, Form] = {
    "first_run": on_data("uci", "texas"),
    "risk": on_data("TABLES", words=(*ONE_SEED, "--only", "Polish")),
    "risk.region": Form(("--worlds", "1"), {"MEMBERS": 8}),
    "risk.region_firms": Form(("--worlds", "1"), {"SIZES": {60: 1}}),
    "risk.receipts": Form((*ONE_SEED, "--members", "1", "--preset", "tiny"), {"RATES": (0.05,)}),
    "risk.weights": on_data("TABLES", words=ONE_SEED),
    "demand": on_data("texas", "retail", words=(*ONE_SEED, "--only", "Retail, normal")),
    "demand.bands": on_data("texas", "retail", DRAWS=20),
    "demand.offers": on_data(words=("--members", "2"), PLANTED=(1.0,), ORIGINS=1),
    "demand.public_start": on_data("texas", "retail"),
    "privacy.clipping": Form(("--repetitions", "1"), {"ROWS": 600}),
    "privacy.neighbours": Form(("--tables", "50", "--releases", "500")),
    "privacy.release": Form(("--rounds", "2"), {"ROWS": 500}),
    "privacy.totals": Form(("--years", "8"), {"SIZES": (6,), "AVAILABLE": (0.9,)}),
    "privacy.secure_sum": Form(("--length", "500")),
    "privacy.utility": on_data("TABLES", words=(*ONE_SEED, "--table", "polish")),
    "rounds.round_time": Form((), {"ROUNDS": 3, "RISK_MEMBERS": 2, "DEMAND_MEMBERS": 2, "DEMAND_SERIES": 10}),
    "rounds.poisoned": on_data(words=ONE_SEED, FAULTS=("labels flipped",)),
    "log": Form(("--runs", "1", "--million", "1000", "--start", "200"), {"SUBMITTERS": 10, "EACH": 20, "BATCHES": 2}),
    "log.audit": Form(("--sizes", "400", "--opaque", "1000", "--runs", "1")),
    "node.import_lines": Form(("--rows", "20000")),
    "node.serving": Form(("--asked", "5", "--batch", "200", "--repeats", "1")),
}


def start(name: str) -> None:
    """Run one script in this process, which is its own; its results go into a folder that goes away."""
    form, script = FORMS[name], _module(name)
    changes = form.constants | {loader: few(getattr(script, loader)) for loader in form.loaders}
    for word, value in changes.items():
        assert hasattr(script, word), f"{name} has no {word} any more"
        setattr(script, word, value)
    sys.argv[1:] = form.words
    with tempfile.TemporaryDirectory() as folder:
        tables.RESULTS = Path(folder)
        script.main()


def _module(name: str) -> Any:
    """The module that `python -m benchmarks.NAME` runs."""
    module = import_module(f"benchmarks.{name}")
    return import_module(f"{module.__name__}.__main__") if hasattr(module, "__path__") else module


def few(loaders: Any) -> Any:
    """A loader, or a table of loaders, whose sets have their largest members alone."""
    if isinstance(loaders, Mapping):
        return {name: few(one) for name, one in loaders.items()}
    return lambda *given, **how: _largest(loaders(*given, **how))


def _largest(public: Any) -> Any:
    from benchmarks.demand.tuning import Setting, largest

    return largest(public, FEW) if isinstance(public, Setting) else replace(public, members=public.members[-FEW:])


def main(names: list[str]) -> int:
    """0 if each ran to its end; one alone runs in this process."""
    left_out = [name for name in names if FORMS[name].reads_data and not DATA.is_dir()]
    for name in left_out:
        print(f"{name} was not run: {DATA} is not here", flush=True)
    match [name for name in names if name not in left_out]:
        case [name]:
            start(name)
            return 0
        case several:
            return max((_timed(name) for name in several), default=0)


def _timed(name: str) -> int:
    """The exit code of one in a process of its own, whose seconds are printed, and all it said if it failed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.smallest", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    print(f"{time.monotonic() - began:5.0f} s  {name}{': failed' if done.returncode else ''}", flush=True)
    if done.returncode:
        print(done.stdout, flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(FORMS)))
