"""The trees of the design, written a second time in floats with ordinary Gaussian noise:
what `utility.py` compares with.

No grid, no integers, no units, no secure sum, and none of the product's code: (g, h) of every row to one
leaf a tree, whose joint bound is sqrt(trees) sqrt(1 + 1/16); a leaf is -G / (max(H, 0) + 1 + sigma of the
sum), at 1.2 / trees a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS, TREES, DEPTH, RATE = 10, 20, 3, 1.2


@dataclass(frozen=True, slots=True)
class Forest:
    """Random public questions, each `(rounds, trees, depth)`: column, cut point, and on
    which side a missing value is."""

    column: np.ndarray
    cut: np.ndarray
    missing: np.ndarray

    def leaves(self, x: np.ndarray, number: int) -> np.ndarray:
        """Leaf of each row in each tree of one round, `(rows, trees)`."""
        values = x[:, self.column[number]]
        yes = np.where(np.isnan(values), self.missing[number], values > self.cut[number])
        return yes @ (1 << np.arange(DEPTH))


def forest(cuts: Sequence[np.ndarray], random: np.random.Generator) -> Forest:
    """Columns of a tree differ where there are enough of them."""
    size = (ROUNDS, TREES, DEPTH)
    order = random.random((ROUNDS, TREES, len(cuts))).argsort(-1)
    column = np.resize(order, size) if len(cuts) < DEPTH else order[..., :DEPTH]
    cut = np.vectorize(lambda c: random.choice(cuts[c]))(column)
    return Forest(column, cut, random.random(size) < 0.5)


def federated(
    learn: Sequence[tuple[np.ndarray, np.ndarray]],
    test: Sequence[np.ndarray],
    cuts: Sequence[np.ndarray],
    *,
    rho: float,
    seed: int,
) -> list[np.ndarray]:
    """Chances `(rows,)` of each member's test rows; every member adds the noise of `rho` zCDP over all rounds."""
    random = np.random.default_rng(seed)
    asked = forest(cuts, random)
    sigma = np.sqrt(TREES * (1 + 1 / 16) * ROUNDS / (2 * rho))
    ridge, told = 1 + sigma * np.sqrt(len(learn)), [np.zeros(len(y)) for _, y in learn]
    logits = [np.zeros(len(x)) for x in test]
    for number in range(ROUNDS):
        places = [asked.leaves(x, number) for x, _ in learn]
        total = np.zeros((2, TREES, 1 << DEPTH))
        for place, logit, (_, y) in zip(places, told, learn, strict=True):
            p = 1 / (1 + np.exp(-logit))
            for tree in range(TREES):
                total[:, tree] += [np.bincount(place[:, tree], w, 1 << DEPTH) for w in (p - y, p * (1 - p))]
            total += random.normal(0, sigma, total.shape)
        leaf = -RATE / TREES * total[0] / (np.maximum(total[1], 0) + ridge)
        each = np.arange(TREES)
        told = [logit + leaf[each, place].sum(1) for logit, place in zip(told, places, strict=True)]
        logits = [z + leaf[each, asked.leaves(x, number)].sum(1) for z, x in zip(logits, test, strict=True)]
    return [1 / (1 + np.exp(-z)) for z in logits]
