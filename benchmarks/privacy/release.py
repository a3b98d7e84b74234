"""One member's round, step by step: 5,000 rows, from the signed order to masked bytes.

    python -m benchmarks.privacy.release

Verify the order's signature and plan, charge the ledger (fsynced), sum clipped gradients, draw OpenDP's noise, keep
the bytes (fsynced), mask them among 30 members. Medians of CPU milliseconds (of wall milliseconds where it says so);
"ahead" is the same round with the noise drawn while the node waited, as nodes do; "first, ahead" is that of a node
that has done no round of the run before, rows grouped anew.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter
from torch import nn

from benchmarks.tables import publish
from client_node.ledger.chain import Caps
from client_node.ledger.ledger import Budget
from contracts.envelope import open_entry, seal
from contracts.statements.artefact import of_round
from privacy.gradients import Clipped, layers_of
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Adam, Gradients, ReleasePlan, planned
from privacy.secure_sum import Group, mask, new_secrets
from privacy.spend import Unit
from privacy.units import blocks

ROWS, RELEASES, MEMBERS, CAP_NANO = 5_000, 25, 30, 24_355_970
WIDTHS = {1_400: (20, 36), 7_000: (40, 84), 20_000: (100, 123)}
AT_MOST = {1_400: 60, 7_000: 180, 20_000: 450}  # milliseconds
STEPS = ("verify", "reserve", "clip", "noise", "publish", "mask")
_CAPS = Caps(10**12, 10**12, 10**12, "2026", "2026-05-01T08:00:00Z")


class Round:
    """All that a node holds before a round is asked of it."""

    def __init__(self, folder: Path, numbers: int, name: str = "steady"):
        inputs, width = WIDTHS[numbers]
        self.model = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width // 2), nn.Tanh())
        self.model.append(nn.Linear(width // 2, 1)).double()
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
        self.names, self.key = [f"C{i}" for i in range(ROWS)], secrets.token_bytes(16)
        self.budget = Budget(folder / f"{numbers} {name}.db")
        self.group = Group(b"benchmark", tuple(f"{i:02d}" for i in range(MEMBERS)))
        self.held = {name: new_secrets() for name in self.group.names}
        self.keys = {name: own.public() for name, own in self.held.items()}

    def run(self, number: int, took: dict[str, list[float]]) -> None:
        """One round; CPU milliseconds of each step are added to `took`."""
        run, me = f"run {number // RELEASES}", self.group.names[0]
        with timed("verify", took):
            assert open_entry(self.entry).holds_for(self.office.public_key())
            self.plan.check()
        with timed("reserve", took):
            assert self.budget.reserve(self.plan.spend(run, 1 + number % RELEASES), _CAPS) is None
        with timed("clip", took):
            units = blocks(self.names, self.key, max_rows=1, max_units=ROWS)
            total = self.clipped.sum(_loss, self.x, self.y, units)
        with timed("noise", took):
            values = self.noise.release(total)
        with timed("publish", took):
            data = of_round("contribution", run, 1 + number % RELEASES, values).to_bytes()
            self.budget.publish(run, 1 + number % RELEASES, data, b"{}")
        with timed("mask", took):
            mask(self.group, me, self.held[me], self.keys, array("q", values))


def _loss(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (z[:, 0] - y).square()


@contextmanager
def timed(step: str, took: dict[str, list[float]]) -> Iterator[None]:
    """Add CPU milliseconds of a step."""
    began = time.process_time()
    yield
    took.setdefault(step, []).append(1000 * (time.process_time() - began))


def measure(folder: Path, numbers: int, rounds: int) -> dict[str, Any]:
    """Medians of one model size: each step, the round, the round with noise drawn ahead, and a first such round."""
    one, took, ahead = Round(folder, numbers), dict[str, list[float]](), dict[str, list[float]]()
    wall: dict[str, list[float]] = {"now": [], "ahead": [], "first": []}
    for number in range(2 * rounds):
        if number % 2:
            one.noise.draw_ahead()
        wall["ahead" if number % 2 else "now"].append(_wall(one, number, ahead if number % 2 else took))
    for number in range(rounds):
        fresh = Round(folder, numbers, f"first {number}")
        fresh.noise.draw_ahead()
        wall["first"].append(_wall(fresh, 0, {}))
    line: dict[str, Any] = {"numbers": one.plan.length()}
    line |= {step: round(statistics.median(took[step]), 1) for step in STEPS}
    line["round"] = round(float(np.median(np.sum([took[step] for step in STEPS], axis=0))), 1)
    line["ahead"] = round(float(np.median(np.sum([ahead[step] for step in STEPS], axis=0))), 1)
    names = {"now": "wall", "ahead": "wall, ahead", "first": "wall, first, ahead"}
    line |= {name: round(statistics.median(wall[key]), 1) for key, name in names.items()}
    return line | {"at most": AT_MOST[numbers], "met": "yes" if line["wall"] <= AT_MOST[numbers] else "no"}


def _wall(one: Round, number: int, took: dict[str, list[float]]) -> float:
    began = time.perf_counter()
    one.run(number, took)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Print the tables and write them to results/release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        lines = [measure(Path(place), numbers, chosen.rounds) for numbers in WIDTHS]
    shares = [
        {"numbers": line["numbers"]} | {step: f"{100 * line[step] / line['round']:.0f} %" for step in STEPS}
        for line in lines
    ]
    publish(
        "release",
        "One member's round",
        {"Milliseconds": lines, "Share of each step in the round": shares},
        [f'{ROWS:,} rows, {MEMBERS} members, one thread; steps, "round" and "ahead" are CPU time, medians.'],
    )


if __name__ == "__main__":
    main()
