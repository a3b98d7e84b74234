"""Second moments of inputs and label: all that least squares needs, in one release.

Sufficient statistics perturbation (Vu and Slavkovic 2009; Wang 2018); the solving is step.py's.
"""

from __future__ import annotations

import numpy as np

from privacy.plan import Moments
from privacy.units import Blocks, inside_grid


def moment_sums(shape: Moments, x: np.ndarray, y: np.ndarray, units: Blocks, *, grid_bits: int) -> np.ndarray:
    """The exact grid sum, flat int64 `(length,)`, of each unit's mean moments clipped to L2 norm `clip`.

    Each unit is taken to the grid toward zero before it is added: order and number of units do not matter.
    A unit with a value that is not finite adds nothing.
    """
    total = np.zeros(shape.length(), dtype=np.int64)
    upper, weight = np.triu_indices(shape.inputs + 2), units.weights()
    for part, count in units.batches:
        rows, first = units.rows[part], units.unit[part.start]
        z = np.column_stack([x[rows], np.ones(len(rows)), y[rows]])
        mean = np.zeros((count, shape.length()))
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is left out below
            np.add.at(mean, units.unit[part] - first, z[:, upper[0]] * z[:, upper[1]] * weight[part, None])
            clipped = _clipped(mean, float(shape.clip))
        total += inside_grid(clipped * units.scale, shape.clip, grid_bits).sum(0).astype(np.int64)
    return total


def _clipped(vectors: np.ndarray, clip: float) -> np.ndarray:
    norm = np.sqrt(np.square(vectors).sum(1))
    finite = np.isfinite(norm)
    factor = np.where(finite, np.minimum(1.0, clip / np.maximum(norm, 1e-300)), 0.0)
    return np.where(finite[:, None], vectors, 0.0) * factor[:, None]
