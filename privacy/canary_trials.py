"""One trial a family: planted units on synthetic rows through the product's own sums, noise and server step.

Each gives what left the member as a `canaries.Trial`. Moments and histograms are one release a run: their trials are as
many runs as releases, whose shares of the budget add up to the claim, through one mechanism.
"""

from __future__ import annotations

import secrets
from array import array

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privacy.accounting import rho_cap
from privacy.canaries import CANARIES, CLAIM, DELTA, Trial
from privacy.gradients import Clipped, load_flat
from privacy.histogram import histogram_sums
from privacy.mechanisms import LatticeGaussian
from privacy.moments import moment_sums
from privacy.plan import (
    Adam,
    Boost,
    Gradients,
    Histogram,
    Moments,
    ReleasePlan,
    Ridge,
    Shape,
    Step,
    Tally,
    Trees,
    planned,
)
from privacy.spend import Unit
from privacy.step import advance, start_state
from privacy.trees import leaf_sums, leaves, splits
from privacy.units import Blocks, blocks

_CROWD, _ORDINARY, _BACKGROUND = 60, 100, 6
_HUGE, _LINEAR, _MAX_ROWS = 1e6, 2.0, 3
_COLUMNS = 8  # of the table that trees are attacked on


def _plan(shape: Shape, step: Step, rows: int, *, releases: int, runs: int = 1) -> ReleasePlan:
    """A plan of the claim's budget, or of one of so many runs that share it."""
    return planned(
        rho_cap(CLAIM, DELTA) // runs,
        task="canaries",
        dataset="synthetic",
        unit=Unit.COUNTERPARTY,
        shape=shape,
        step=step,
        releases=releases,
        delta=DELTA,
        max_units=rows,
        max_rows_per_unit=_MAX_ROWS,
    )


def _blocks(plan: ReleasePlan, units: list[str]) -> Blocks:
    return blocks(units, b"canaries", max_rows=plan.max_rows_per_unit, max_units=plan.max_units)


def _added(plan: ReleasePlan, gone: list[array[int]], sums: list[np.ndarray]) -> np.ndarray:
    """`(releases, length)`: by how much each release differs from the exact sum behind it, in units of sigma."""
    noise: np.ndarray = (np.array(gone, dtype=np.int64) - np.array(sums)) / plan.sigma_steps
    return noise


def _planted_units(present: np.ndarray) -> list[str]:
    """A unit for each canary that is present, a crowd of one-row units, a crowd of units with a row too many."""
    many = _MAX_ROWS + 1
    units = [f"canary {i}" for i in np.flatnonzero(present)] + [f"one {i}" for i in range(_CROWD)]
    return units + [f"many {i // many}" for i in range(_CROWD * many)]


def gradient_trial(present: np.ndarray, releases: int = 50) -> Trial:
    """The gradient path: a linear model with a column a canary, `releases` rounds from a zero start."""
    x, y, units = _rows(present)
    length = x.shape[1] + 1
    shape = Gradients("gradients", ((length - 1, 1),), "1")
    plan = _plan(shape, Adam("adam", "0.1", 1), len(y), releases=releases)
    model = array("d", bytes(8 * length))
    noise, state, gone, sums = LatticeGaussian(plan), start_state(plan, model), [], []
    grouped = _blocks(plan, units)
    for number in range(1, releases + 1):
        net = nn.Linear(length - 1, 1, dtype=torch.float64)
        load_flat(net, model)
        total = Clipped(net, shape, plan.grid_bits).sum(_loss, x, y, grouped)
        if number % 2:
            noise.draw_ahead()  # a node draws ahead while it waits; both ways are attacked
        released = noise.release(total)
        model, state = advance(plan, state, released, number)
        gone.append(released)
        sums.append(total)
    left, unit = np.array(gone, dtype=np.float64), float(1 << plan.grid_bits)
    return Trial(left, present, 2, _CROWD, unit, float(plan.sigma_steps), _added(plan, gone, sums))


def _rows(present: np.ndarray) -> tuple[Tensor, Tensor, list[str]]:
    """Canaries, a crowd of one-row units, a crowd of units with a row too many, two broken units, ordinary rows."""
    first, count = len(present), _ORDINARY
    width = first + 2 + _BACKGROUND
    ordinary = np.zeros((count, width))
    ordinary[:, first + 2 :] = np.sin(1.7 * np.arange(count * _BACKGROUND)).reshape(count, _BACKGROUND)
    many = _MAX_ROWS + 1
    columns = [*np.flatnonzero(present), *[first] * _CROWD, *[first + 1] * (_CROWD * many), first, first + 1]
    planted = np.zeros((len(columns), width))
    planted[np.arange(len(columns)), columns] = _HUGE
    planted[-2:, first] = np.nan, np.inf
    labels = np.concatenate([np.full(len(columns), _LINEAR), (np.arange(count) % 3 == 0) * 1.0])
    units = [*_planted_units(present), "nan", "inf", *(f"row {i}" for i in range(count))]
    return torch.from_numpy(np.vstack([planted, ordinary])), torch.from_numpy(labels), units


def _loss(z: Tensor, y: Tensor) -> Tensor:
    """Linear for planted rows, whose gradient then never fades; logistic for the others."""
    logit = z[:, 0]
    ordinary = functional.binary_cross_entropy_with_logits(logit, y.clamp(max=1.0), reduction="none")
    return torch.where(y == _LINEAR, logit, ordinary)


def tree_trial(present: np.ndarray, releases: int = 50) -> Trial:
    """The path of trees: one tree a round asks all eight columns of 0 and 1, so that each of 256 patterns has a leaf.

    From a start that is sure of the opposite, a unit adds exactly minus one to the gradient of its leaf. Canary i has
    pattern i; the two crowds have the last two patterns, as have two units whose label is none. The rate is so small
    that the start's certainty stays.
    """
    first, many = len(present), _MAX_ROWS + 1
    if first + 2 > 1 << _COLUMNS:
        raise ValueError(f"at most {(1 << _COLUMNS) - 2} canaries fit into a tree")
    pattern = [*np.flatnonzero(present), *[first] * _CROWD, *[first + 1] * (_CROWD * many), first, first + 1]
    units = [*_planted_units(present), "nan", "huge"]
    bits = ((np.arange(first + 2)[:, None] >> np.arange(_COLUMNS)) & 1).astype(np.float64)
    x, y, cuts = bits[pattern], np.ones(len(pattern)), [np.array([0.5])] * _COLUMNS
    y[-2:] = np.nan, _HUGE
    shape = Trees("trees", secrets.token_hex(16), 1, _COLUMNS)
    plan = _plan(shape, Boost("boost", "0.000001", "1000000"), len(y), releases=releases)
    noise, model = LatticeGaussian(plan), array("d", [-40.0])
    state, shown, gone, sums = start_state(plan, model), [], [], []
    grouped = _blocks(plan, units)
    for number in range(1, releases + 1):
        told = np.array(model)
        total = leaf_sums(shape, told, x, y, grouped, round=number, cuts=cuts, grid_bits=plan.grid_bits)
        released = noise.release(total)
        model, state = advance(plan, state, released, number)
        shown.append(-np.array(released, dtype=np.float64)[2 * leaves(splits(shape, number, cuts), bits)[:, 0]])
        gone.append(released)
        sums.append(total)
    unit, sigma = float(1 << plan.grid_bits), float(plan.sigma_steps)
    return Trial(np.array(shown), present, 2, _CROWD, unit, sigma, _added(plan, gone, sums))


def moment_trial(present: np.ndarray, releases: int = 20) -> Trial:
    """The path of moments: canary i has a pair of inputs of its own, both huge, and so one product of its own.

    The clip norm of such a unit falls on three numbers alike, the product and two squares that it shares with others;
    the crowds are huge in one input, whose square then takes all of it.
    """
    paired = next(n for n in range(2, 1000) if n * (n - 1) // 2 >= len(present))
    pairs = np.column_stack(np.triu_indices(paired, 1))[: len(present)]
    x, units = _paired_rows(present, pairs, paired)
    y, width = np.zeros(len(x)), x.shape[1]
    shape = Moments("moments", width, "1")
    plan = _plan(shape, Ridge("ridge", "1000"), len(x), releases=1, runs=releases)
    noise, grouped, gone, sums = LatticeGaussian(plan), _blocks(plan, units), [], []
    for _ in range(releases):
        total = moment_sums(shape, x, y, grouped, grid_bits=plan.grid_bits)
        released = noise.release(total)
        advance(plan, start_state(plan, array("d", bytes(8 * (width + 1)))), released, 1)
        gone.append(released)
        sums.append(total)
    left, place = np.array(gone, dtype=np.float64), np.zeros((width + 2, width + 2), dtype=np.int64)
    place[np.triu_indices(width + 2)] = np.arange(shape.length())
    shown = [*place[pairs[:, 0], pairs[:, 1]], place[paired, paired], place[paired + 1, paired + 1]]
    unit, sigma = float(1 << plan.grid_bits), float(plan.sigma_steps)
    return Trial(left[:, shown], present, 2, _CROWD, unit, sigma, _added(plan, gone, sums))


def _paired_rows(present: np.ndarray, pairs: np.ndarray, paired: int) -> tuple[np.ndarray, list[str]]:
    """Canaries, two crowds, two broken units, and ordinary rows on inputs that nobody else uses."""
    planted = int(present.sum())
    x = np.zeros((planted + _CROWD * (_MAX_ROWS + 2) + 2 + _ORDINARY, paired + 2 + _BACKGROUND))
    x[np.arange(planted)[:, None], pairs[present]] = _HUGE
    x[planted : planted + _CROWD, paired] = _HUGE
    x[planted + _CROWD : -2 - _ORDINARY, paired + 1] = _HUGE
    x[-2 - _ORDINARY : -_ORDINARY, paired] = np.nan, np.inf
    x[-_ORDINARY:, paired + 2 :] = np.sin(np.arange(_ORDINARY * _BACKGROUND)).reshape(_ORDINARY, _BACKGROUND)
    return x, [*_planted_units(present), "nan", "inf", *(f"row {i}" for i in range(_ORDINARY))]


def histogram_trial(present: np.ndarray, releases: int = 20) -> Trial:
    """The path of holdout counts: each canary has a bin of its own, the crowds the last two, beside one other model.

    To the crowds that model is hugely better, to all others it is the same: without the halves that everybody adds, the
    two crowds together add half a unit each to what is counted as worse, which is a third crowd.
    """
    first, many = len(present), _MAX_ROWS + 1
    cells = [*np.flatnonzero(present), *[first] * _CROWD, *[first + 1] * (_CROWD * many), first, first + 1]
    shape = Histogram("histogram", 2, 2, -(-(first + 2) // 2))
    cell = np.array(cells)
    score = ((cell % shape.bins + 0.5) / shape.bins) ** 2
    score[-2:] = np.nan, np.inf
    lost = np.where(cell < first, 0.0, _HUGE)
    plan = _plan(shape, Tally("tally"), len(cell), releases=1, runs=releases)
    grouped = _blocks(plan, [*_planted_units(present), "nan", "inf"])
    noise, gone, sums = LatticeGaussian(plan), [], []
    for _ in range(releases):
        total = histogram_sums(shape, score, cell // shape.bins, [lost], grouped, grid_bits=plan.grid_bits)
        gone.append(noise.release(total))
        sums.append(total)
    left, unit = np.array(gone, dtype=np.float64), float(1 << plan.grid_bits)
    worse = left[:, -2] - unit * (int(present.sum()) + 2 * _CROWD) / 2
    shown = np.column_stack([left[:, : first + 2], worse])
    return Trial(shown, present, 3, _CROWD, unit, float(plan.sigma_steps), _added(plan, gone, sums))


TRIALS = {
    "gradients": (gradient_trial, CANARIES),
    "trees": (tree_trial, 250),
    "moments": (moment_trial, 250),
    "histogram": (histogram_trial, 250),
}
