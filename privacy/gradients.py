"""Exact clipped sums of per-unit gradients on CPU, in float64.

In a network whose parameters all sit in Linear layers the gradient of row i for one layer is
b_i a_i^T (backprop times input). One forward pass records inputs and pre-activations, one backward pass
with respect to the pre-activations alone gives every b, and weighted products give the sums. A unit is
clipped as a whole: its gradient is that of the *mean* loss over its rows.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_MICRO_BATCH = 1024


class TapLinear(nn.Linear):  # type: ignore[misc]  # the type checker does not read torch
    """A Linear layer that records what `Clipped` needs while a tape is laid out."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, dtype=torch.float64)
        self.tape: list[tuple[TapLinear, Tensor, Tensor]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs)` -> `(batch, outputs)`."""
        z = functional.linear(x, self.weight, self.bias)
        if self.tape is not None:
            if not z.requires_grad:
                z.requires_grad_(True)
            self.tape.append((self, x, z))
        return z


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows in order of unit: `rows[i]` belongs to unit `unit[i]` of `count`, with weight 1/rows of the unit."""

    count: int
    rows: np.ndarray
    unit: np.ndarray


def blocks(unit_ids: Sequence[object], max_rows: int, key: bytes) -> Blocks:
    """Group row numbers by unit; of a unit with more than `max_rows` rows a keyed hash chooses which stay.

    The choice depends on that unit's rows and the key only. Units come in order of their keyed hash, so
    that the micro-batch of a unit does not depend on who else is there more than summation error allows.
    """
    by_unit: dict[object, list[int]] = {}
    for row, name in enumerate(unit_ids):
        by_unit.setdefault(name, []).append(row)
    ordered = sorted(by_unit.items(), key=lambda item: _keyed(key, repr(item[0])))
    rows, unit = [], []
    for number, (name, members) in enumerate(ordered):
        kept = sorted(range(len(members)), key=lambda place: _keyed(key, f"{name!r}/{place}"))[:max_rows]
        rows += [members[place] for place in sorted(kept)]
        unit += [number] * len(kept)
    return Blocks(len(ordered), np.array(rows, dtype=np.int64), np.array(unit, dtype=np.int64))


def _keyed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Clipped:
    """Sums of clipped per-unit gradients of a model whose parameters all sit in TapLinear layers.

    The result is the sum over units of g_u * min(1, clip / |g_u|): L2 sensitivity `clip` for adding or
    removing one unit. Refuses (ValueError) parameters elsewhere, BatchNorm, and a layer used twice.
    """

    def __init__(self, model: nn.Module, clip: float):
        self._layers = [m for m in model.modules() if isinstance(m, TapLinear)]
        held = {id(p) for layer in self._layers for p in layer.parameters()}
        if not self._layers or any(id(p) not in held for p in model.parameters()):
            raise ValueError("every parameter must sit in a TapLinear layer")
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
            raise ValueError("BatchNorm mixes rows: no per-unit gradient exists")
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._model, self._clip = model, clip

    def sum(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, units: Blocks) -> np.ndarray:
        """Flat float64 `(parameters,)` in the order of `flat_parameters`; zeros if there is no unit.

        `loss(model(x), y)` gives one loss a row. A unit with a value that is not finite contributes zero.
        """
        total = np.zeros(sum(p.numel() for p in self._model.parameters()))
        for start, stop in _batches(units.unit):
            rows = torch.from_numpy(units.rows[start:stop])
            unit = torch.from_numpy(units.unit[start:stop] - units.unit[start])
            total += self._batch(loss, x[rows], y[rows], unit)
        return total

    def _batch(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, unit: Tensor) -> np.ndarray:
        taps, backs = self._backprops(loss, x, y)
        count = int(unit[-1]) + 1
        weight = 1.0 / torch.bincount(unit, minlength=count).to(torch.float64)[unit]
        backs = [b * weight[:, None] for b in backs]
        square = torch.zeros(count, dtype=torch.float64)
        for (_, a, _), b in zip(taps, backs, strict=True):
            square += _unit_squares(a, b, unit, count)
        scale = (self._clip / square.sqrt().clamp(min=1e-300)).clamp(max=1.0)
        finite = torch.isfinite(square)
        row_scale, bad = torch.where(finite, scale, 0.0)[unit], ~finite[unit][:, None]
        parts: dict[int, Tensor] = {}
        for (layer, a, _), b in zip(taps, backs, strict=True):
            # never in place: two layers may hold the same backprop tensor; 0 * inf would be NaN, so mask both
            b, a = (b * row_scale[:, None]).masked_fill(bad, 0.0), a.masked_fill(bad, 0.0)
            parts[id(layer.weight)], parts[id(layer.bias)] = b.t() @ a, b.sum(0)
        flat: np.ndarray = torch.cat([parts[id(p)].reshape(-1) for p in self._model.parameters()]).numpy()
        return flat

    def _backprops(
        self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
    ) -> tuple[list[tuple[TapLinear, Tensor, Tensor]], list[Tensor]]:
        taps: list[tuple[TapLinear, Tensor, Tensor]] = []
        for layer in self._layers:
            layer.tape = taps
        try:
            losses = loss(self._model(x), y)
        finally:
            for layer in self._layers:
                layer.tape = None
        if len({id(layer) for layer, _, _ in taps}) != len(taps) or len(taps) != len(self._layers):
            raise ValueError("each layer must be used exactly once in a forward pass")
        backs = torch.autograd.grad(losses.sum(), [z for _, _, z in taps])
        return [(layer, a.detach(), z) for layer, a, z in taps], [b.detach() for b in backs]


def _unit_squares(a: Tensor, b: Tensor, unit: Tensor, count: int) -> Tensor:
    """Squared norm of each unit's gradient of one layer: |sum_i b_i a_i^T|^2 + |sum_i b_i|^2, `(count,)`."""
    if count == len(unit):
        return (a.square().sum(1) + 1.0) * b.square().sum(1)
    # sum_ij (a_i.a_j + 1)(b_i.b_j) over pairs of rows of one unit
    pairs = ((a @ a.t()) + 1.0) * (b @ b.t())
    same = unit[:, None] == unit[None, :]
    return torch.zeros(count, dtype=a.dtype).index_add_(0, unit, pairs.masked_fill(~same, 0.0).sum(1)).clamp(min=0.0)


def _batches(unit: np.ndarray) -> list[tuple[int, int]]:
    """Cut rows into micro-batches that never split a unit."""
    cuts, start = [], 0
    while start < len(unit):
        stop = min(start + _MICRO_BATCH, len(unit))
        while stop < len(unit) and unit[stop] == unit[stop - 1]:
            stop += 1
        cuts.append((start, stop))
        start = stop
    return cuts


def flat_parameters(model: nn.Module) -> np.ndarray:
    """All parameters as one flat float64 array, in the order of `model.parameters()`."""
    flat: np.ndarray = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy().astype(np.float64)
    return flat


def load_flat(model: nn.Module, values: Sequence[float] | np.ndarray) -> None:
    """Write a flat array back into the parameters; ValueError if its length does not fit."""
    flat = torch.from_numpy(np.asarray(values, dtype=np.float64).copy())
    if len(flat) != sum(p.numel() for p in model.parameters()):
        raise ValueError(f"{len(flat)} numbers do not fit the model")
    at = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(flat[at : at + parameter.numel()].reshape(parameter.shape))
            at += parameter.numel()
