"""The public start: a network that learnt from generated series, shipped with the product and known by its digest."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from engine.demand.network import Body, Head
from engine.demand.windows import Frequency, Windows
from engine.starts import read_start
from privacy.gradients import flat_parameters, load_flat

DIGEST = {
    "monthly": "sha256:34a14df57cba85b5adf23cfdb76ad6d2e640307c3e4e01ebcf3e2435270aed93",
    "nine-weeks": "sha256:8e111493a4830fe3ae539ba6a122585f44ab54354d3f051cc75a7a0dffc37337",
    "weekly": "sha256:1e5af63d17b89ad243cf39ce33d7882b144ff3f29f29cea1f78fef87b23cc2c5",
}


def head_length(kind: Frequency) -> int:
    """Numbers of the head: what a run may tune."""
    return len(flat_parameters(Head(kind)))


def head(kind: Frequency) -> array[float]:
    """The head of the public start."""
    return _parts(kind)[1]


def read(kind: Frequency, x: np.ndarray) -> np.ndarray:
    """What the head reads of windows `x` `(windows, inputs)`: `(windows, WIDTH + horizon)` float64."""
    with torch.no_grad():
        found: np.ndarray = _parts(kind)[0](torch.from_numpy(x)).numpy()
    return found


def forecast(kind: Frequency, values: Sequence[float], rows: Windows) -> np.ndarray:
    """Quantiles `(windows, horizon, 5)` in the unit of the data, by a head with these `values`."""
    with torch.no_grad():
        made: np.ndarray = head_of(kind, values)(torch.from_numpy(read(kind, rows.x))).numpy()
    quantiles: np.ndarray = np.maximum(made, 0.0) * rows.scale[:, None, None]
    return quantiles


def head_of(kind: Frequency, values: Sequence[float]) -> Head:
    """A head with these numbers; ValueError if they do not fit."""
    made = Head(kind)
    load_flat(made, values)
    return made


@cache
def _parts(kind: Frequency) -> tuple[Body, array[float]]:
    values = read_start("engine.demand", f"starts/{kind.name}.bin", DIGEST[kind.name])
    body = Body(kind).double()
    at = len(values) - head_length(kind)
    load_flat(body, values[:at])
    body.requires_grad_(False)
    return body, values[at:]
