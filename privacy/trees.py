"""Boosted trees whose splits nobody learned: they are hashed from a public text, only leaf sums touch data.

A tree is oblivious: all nodes of a level ask the same question, so a leaf is a binary number with one bit a
level. Splits cost nothing, a row touches one leaf a tree, and the leaf sums of a round are one release.
Extremely randomised trees: Geurts, Ernst, Wehenkel 2006; Newton leaves: Chen and Guestrin 2016.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privacy.plan import Trees
from privacy.step import HESSIAN_WEIGHT
from privacy.units import Blocks, inside_grid

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Splits:
    """One round's questions, each `(trees, depth)`: is `column` above `cut`, and does a missing value say yes?"""

    column: np.ndarray
    cut: np.ndarray
    missing: np.ndarray


def splits(shape: Trees, round: int, cuts: Sequence[np.ndarray]) -> Splits:
    """Questions of one round over the public cut points of each column; columns of one tree differ if they can."""
    column = np.zeros((shape.trees, shape.depth), dtype=np.int64)
    cut, missing = np.zeros(column.shape), np.zeros(column.shape, dtype=bool)
    for tree in range(shape.trees):
        free = list(range(len(cuts)))
        for level in range(shape.depth):
            mark = hashlib.sha256(f"{shape.splits}/{round}/{tree}/{level}".encode()).digest()
            which, where = (int.from_bytes(part, "big") for part in (mark[:8], mark[8:16]))
            free = free or list(range(len(cuts)))
            chosen = free.pop(which * len(free) >> 64)
            column[tree, level] = chosen
            cut[tree, level] = cuts[chosen][where * len(cuts[chosen]) >> 64]
            missing[tree, level] = mark[16] & 1
    return Splits(column, cut, missing)


def leaves(asked: Splits, x: np.ndarray) -> np.ndarray:
    """`(rows, trees)`: the leaf of each row in each tree, for raw columns `x` `(rows, columns)` with NaN missing."""
    found = np.zeros((len(x), len(asked.column)), dtype=np.int64)
    for level in range(asked.column.shape[1]):
        values = x[:, asked.column[:, level]]
        yes = np.where(np.isnan(values), asked.missing[:, level], values > asked.cut[:, level])
        found |= yes.astype(np.int64) << level
    return found


def score(shape: Trees, model: np.ndarray, x: np.ndarray, cuts: Sequence[np.ndarray]) -> np.ndarray:
    """Log-odds `(rows,)`; `model` is the start's log-odds and the leaves of all rounds, or the start alone."""
    total = np.full(len(x), model[0])
    for number, values in enumerate(_rounds(shape, model), 1):
        asked = splits(shape, number, cuts)
        for part in _chunks(len(x) if values.any() else 0):
            total[part] += np.take_along_axis(values.T, leaves(asked, x[part]), 0).sum(1)
    return total


def leaf_sums(
    shape: Trees,
    model: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    units: Blocks,
    *,
    round: int,
    cuts: Sequence[np.ndarray],
    grid_bits: int,
) -> np.ndarray:
    """The exact grid sum of one round, flat int64 `(2 * leaves,)`: see plan.Trees for what a row adds.

    Integers from the first: each row is taken to the grid toward zero before it is added, so that order and
    number of rows do not matter. A row whose label is not 0 or 1 adds nothing.
    """
    x, y = x[units.rows], y[units.rows]
    known = (y == 0) | (y == 1)
    p = 1.0 / (1.0 + np.exp(-np.clip(score(shape, model, x, cuts), -40.0, 40.0)))
    weight = np.where(known, units.weights() * units.scale, 0.0)
    gradient = inside_grid(np.where(known, p - y, 0.0) * weight, shape.clip, grid_bits)
    hessian = inside_grid(HESSIAN_WEIGHT * p * (1.0 - p) * weight, shape.clip, grid_bits)
    asked, total = splits(shape, round, cuts), np.zeros((shape.leaves(), 2), dtype=np.int64)
    for part in _chunks(len(x)):
        place = (leaves(asked, x[part]) + (np.arange(shape.trees) << shape.depth)).ravel()
        for column, value in enumerate((gradient, hessian)):
            spread = np.repeat(value[part], shape.trees)
            total[:, column] += np.bincount(place, spread, minlength=shape.leaves()).astype(np.int64)
    return total.ravel()


def contributions(shape: Trees, model: np.ndarray, x: np.ndarray, cuts: Sequence[np.ndarray]) -> np.ndarray:
    """Exact share of each column in each row's log-odds, `(rows, columns)`.

    Shapley values against an answer that is as likely yes as no: a tree is a sum of products of its answers
    (+1 or -1), and each product is shared evenly by the questions in it. With the start and the mean leaf of every tree
    they add up to `score`.
    """
    shared = np.zeros((len(x), len(cuts)))
    subsets = np.arange(1 << shape.depth)
    signs = _signs(subsets[:, None], subsets)  # (leaves, subsets)
    holds = (subsets[:, None] >> np.arange(shape.depth)) & 1  # (subsets, levels)
    even = holds / np.maximum(holds.sum(1, keepdims=True), 1)
    for number, values in enumerate(_rounds(shape, model), 1):
        asked = splits(shape, number, cuts)
        by_leaf = (signs * (values @ signs / len(subsets))[:, None, :]) @ even  # (trees, leaves, levels)
        for part in _chunks(len(x) if values.any() else 0):
            at = leaves(asked, x[part])
            for tree, level in np.ndindex(asked.column.shape):
                shared[part, asked.column[tree, level]] += by_leaf[tree, at[:, tree], level]
    return shared


def _chunks(rows: int) -> list[slice]:
    """Rows in pieces that stay in the cache."""
    return [slice(start, start + _CHUNK) for start in range(0, rows, _CHUNK)]


def _signs(leaf: np.ndarray, subset: np.ndarray) -> np.ndarray:
    """Product of the answers (+1 yes, -1 no) of leaf `leaf` over the questions in `subset`."""
    no = np.bitwise_count(~leaf & subset)
    signs: np.ndarray = 1.0 - 2.0 * (no & 1)
    return signs


def _rounds(shape: Trees, model: np.ndarray) -> np.ndarray:
    """Leaf values `(rounds, trees, leaves of a tree)`."""
    return np.asarray(model[1:]).reshape(-1, shape.trees, 1 << shape.depth)
