"""What a further vote should weigh beside a member's own model: one vote each, or what held-out rows say of it.

    python -m benchmarks.risk.weights --data ../shared/data

A choice may look at this: the rows that `benchmarks.risk` tests on are set aside, and what is left is split again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.risk.methods import Home, at_home, federated, plan_of, public_model, served, shared_chances
from benchmarks.risk.protocol import TABLES, Member, Table, score
from benchmarks.risk.region import counterparties
from benchmarks.tables import publish
from engine.binary import weights
from engine.binary.models import BinaryModel
from engine.binary.weights import PUBLIC, SHARED

SERVED = (weights._BEFORE, weights._BELIEF)
RULES = {  # name -> (weight before a row is seen, how firmly); None: one half whatever rows say
    "one vote each": None,
    "from 0": (0.0, 3.0),
    "from 1/4": (0.25, 10.0),
    "from 1/3, as served": SERVED,
    "from 1/2": (0.5, 10.0),
    "from 1/2, loosely": (0.5, 3.0),
}
WORLDS = 100  # first world of the region; `benchmarks.risk.region` reports the first few
NOTE = (
    "Brier of all members, {seeds} splits inside the rows that `benchmarks.risk` learns from, and as many worlds of "
    "the simulated region that `benchmarks.risk.region` does not report. One further vote beside the member's own "
    "model, dropped in every column where held-out rows show it worse by one standard error. A weight maximises the "
    "likelihood of held-out rows with a normal prior around 0 (variance 1/3), 1/4, 1/3, 1/2 (each 1/10) or 1/2 (1/3)."
)
READING = (
    "Read: from 1/3 no line is worse than with one vote each. Poor models of noise cost small members less (Polish "
    "firms: 4 and 6 % of the Brier score), good votes bring more (up to 4 %). From 0 and from 1/4 a good shared "
    "model brings members of a few dozen rows less than one vote each did (region); from 1/2 good votes bring a "
    "little more still, and poor ones cost half as much again as from 1/3."
)


def inside(table: Table, seed: int) -> Table:
    """The same members without their test rows: train and validation split again, by label, .6 / .2 / .2."""
    random = np.random.default_rng(500 + seed)

    def again(member: Member) -> Member:
        rows = member.learn
        share = np.empty(len(rows.y))
        for label in (0, 1):
            at = np.flatnonzero(rows.y == label)
            random.shuffle(at)
            share[at] = (np.arange(len(at)) + random.random()) / max(len(at), 1)
        train, validation, test = (
            np.flatnonzero((share >= low) & (share < high)) for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 1))
        )
        return replace(
            member, train=rows.take(train), validation=rows.take(validation), test=rows.take(test), units=test
        )

    return replace(table, members=[again(member) for member in table.members])


def further(table: Table) -> dict[str, tuple[str, BinaryModel]]:
    """Models that may have a vote, and whose."""
    made: dict[str, tuple[str, BinaryModel]] = {
        "ours, no noise": (SHARED, federated(table, plan_of(table, None), noisy=False))
    }
    for epsilon in ("4", "1"):
        made[f"ours, local epsilon {epsilon}"] = (SHARED, federated(table, plan_of(table, epsilon)))
    return made | ({"public model": (PUBLIC, public_model(table))} if table.public else {})


def judged(table: Table, homes: list[Home], whose: str, model: BinaryModel) -> dict[str, float]:
    """Brier by rule."""
    both, found = shared_chances(table, model), {"own alone": score(table, served(table, homes, {})[0]).brier}
    for rule, prior in RULES.items():
        before, belief = prior or SERVED
        weight = weights._weight if prior else lambda *_rows: 0.5
        with patch.multiple(weights, _BEFORE=before, _BELIEF=belief, _weight=weight):
            found[rule] = score(table, served(table, homes, {whose: both})[0]).brier
    return found


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    parts = {}
    sets: dict[str, Callable[[int], Table]] = {
        name: lambda seed, read=read: inside(read(chosen.data, seed), seed) for name, read in TABLES.items()
    }
    for name, made in (sets | {"Region, simulated": lambda seed: counterparties(WORLDS + seed)}).items():
        found: dict[str, list[dict[str, float]]] = {}
        for seed in range(chosen.seeds):
            table = made(seed)
            homes = [at_home(member) for member in table.members]
            for label, (whose, model) in further(table).items():
                found.setdefault(label, []).append(judged(table, homes, whose, model))
        parts[name] = [
            {"further vote": label} | {rule: f"{np.mean([one[rule] for one in each]):.5f}" for rule in each[0]}
            for label, each in found.items()
        ]
    publish("risk_weights", "What a further vote weighs", parts, [NOTE.format(seeds=chosen.seeds), READING])


if __name__ == "__main__":
    main()
