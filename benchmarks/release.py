"""One member's round, step by step: 5,000 rows, from the signed order to masked bytes.

    python -m benchmarks.release

Verify the order's signature and plan, charge the ledger (fsynced), sum clipped gradients, draw OpenDP's noise, keep
the bytes (fsynced), mask them among 30 members. Medians of CPU milliseconds (of wall milliseconds in the two
last columns); "noise ahead" is the same round with the noise drawn while the node waited.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter
from torch import nn

from client_node.book import Caps
from client_node.budget import Budget
from contracts.artefact import of_round
from contracts.envelope import open_entry, seal
from privacy.gradients import Clipped, TapLinear, layers_of
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Adam, Gradients, ReleasePlan, planned
from privacy.secure_sum import Group, mask, new_secrets
from privacy.spend import Unit
from privacy.units import blocks

ROWS, RELEASES, MEMBERS, CAP_NANO = 5_000, 25, 30, 24_355_970
WIDTHS = {1_400: (20, 36), 7_000: (40, 84), 20_000: (100, 123)}
STEPS = ("verify", "reserve", "clip", "noise", "publish", "mask")
_CAPS = Caps(10**12, 10**12, 10**12, "2026", "2026-05-01T08:00:00Z")


class Round:
    """All that a node holds before a round is asked of it."""

    def __init__(self, folder: Path, numbers: int):
        inputs, width = WIDTHS[numbers]
        self.model = nn.Sequential(TapLinear(inputs, width), nn.Tanh(), TapLinear(width, width // 2), nn.Tanh())
        self.model.append(TapLinear(width // 2, 1))
        shape = Gradients("gradients", layers_of(self.model), "1")
        self.plan = planned(
            CAP_NANO,
            task="risk",
            dataset="rows",
            unit=Unit.COUNTERPARTY,
            shape=shape,
            step=Adam("adam", "0.1", 8),
            releases=RELEASES,
            delta="1e-6",
            max_units=ROWS,
            max_rows_per_unit=1,
        )
        self.office = Ed25519PrivateKey.generate()
        self.entry = seal(TypeAdapter(ReleasePlan).dump_json(self.plan), [self.office])
        self.clipped, self.noise = Clipped(self.model, shape, self.plan.grid_bits), LatticeGaussian(self.plan)
        self.x, self.y = torch.randn(ROWS, inputs, dtype=torch.float64), torch.rand(ROWS, dtype=torch.float64)
        self.names = [f"C{i}" for i in range(ROWS)]
        self.budget = Budget(folder / f"{numbers}.db")
        self.group = Group(b"benchmark", tuple(f"{i:02d}" for i in range(MEMBERS)))
        self.secrets = {name: new_secrets() for name in self.group.names}
        self.keys = {name: own.public() for name, own in self.secrets.items()}

    def run(self, number: int, took: dict[str, list[float]]) -> None:
        """One round; CPU milliseconds of each step are added to `took`."""
        run, me = f"run {number // RELEASES}", self.group.names[0]
        with timed("verify", took):
            assert open_entry(self.entry).holds_for(self.office.public_key())
            self.plan.check()
        with timed("reserve", took):
            assert self.budget.reserve(self.plan.spend(run, 1 + number % RELEASES), _CAPS) is None
        with timed("clip", took):
            units = blocks(self.names, b"key", max_rows=1, max_units=ROWS)
            total = self.clipped.sum(_loss, self.x, self.y, units)
        with timed("noise", took):
            values = self.noise.release(total)
        with timed("publish", took):
            data = of_round("contribution", run, 1 + number % RELEASES, values).to_bytes()
            self.budget.publish(run, 1 + number % RELEASES, data, b"{}")
        with timed("mask", took):
            mask(self.group, me, self.secrets[me], self.keys, array("q", values))


def _loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (z[:, 0] - y).square()


@contextmanager
def timed(step: str, took: dict[str, list[float]]) -> Iterator[None]:
    """Add CPU milliseconds of a step."""
    began = time.process_time()
    yield
    took.setdefault(step, []).append(1000 * (time.process_time() - began))


def measure(folder: Path, numbers: int, rounds: int) -> dict[str, float]:
    """Medians of one model size: each step, the round, and the round with noise drawn ahead."""
    one, took, ahead = Round(folder, numbers), dict[str, list[float]](), dict[str, list[float]]()
    wall: dict[str, list[float]] = {"now": [], "ahead": []}
    for number in range(2 * rounds):
        if number % 2:
            one.noise.draw_ahead()
        began = time.perf_counter()
        one.run(number, ahead if number % 2 else took)
        wall["ahead" if number % 2 else "now"].append(1000 * (time.perf_counter() - began))
    line = {"numbers": float(one.plan.length())} | {step: statistics.median(took[step]) for step in STEPS}
    line["round"] = float(np.median(np.sum([took[step] for step in STEPS], axis=0)))
    line["noise ahead"] = float(np.median(np.sum([ahead[step] for step in STEPS], axis=0)))
    return line | {"wall": statistics.median(wall["now"]), "wall, ahead": statistics.median(wall["ahead"])}


def main() -> None:
    """Print one table and, with --json, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        lines = [measure(Path(place), numbers, chosen.rounds) for numbers in WIDTHS]
    if chosen.json:
        print(json.dumps(lines, indent=1))
        return
    print("".join(f"{label:>13}" for label in lines[0]))
    for line in lines:
        print("".join(f"{value:>13.1f}" if label != "numbers" else f"{value:>13.0f}" for label, value in line.items()))
        shares = ((label, 100 * line[label] / line["round"]) for label in STEPS)
        print(f"{'share':>13}" + "".join(f"{share:>12.0f}%" for _, share in shares))


if __name__ == "__main__":
    main()
