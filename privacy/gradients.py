"""Exact clipped sums of per-unit gradients on CPU, in float64.

In a network whose parameters all sit in Linear layers the gradient of row i for one layer is
b_i a_i^T (backprop times input). One forward pass records inputs and pre-activations, one backward pass
with respect to the pre-activations alone gives every b, and weighted products give the sums. A unit is
clipped as a whole: its gradient is that of the *mean* loss over its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privacy.plan import Gradients
from privacy.units import Blocks, on_grid


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


class Clipped:
    """Grid sums of clipped per-unit gradients of a model whose parameters all sit in TapLinear layers.

    The result is the sum over units of g_u * min(1, clip / |g_u|): L2 sensitivity `clip` for adding or
    removing one unit. Refuses (ValueError) parameters elsewhere, BatchNorm, and a layer used twice.
    """

    def __init__(self, model: nn.Module, shape: Gradients, grid_bits: int):
        self._layers = [m for m in model.modules() if isinstance(m, TapLinear)]
        held = {id(p) for layer in self._layers for p in layer.parameters()}
        if not self._layers or any(id(p) not in held for p in model.parameters()):
            raise ValueError("every parameter must sit in a TapLinear layer")
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
            raise ValueError("BatchNorm mixes rows: no per-unit gradient exists")
        if len(held) != 2 * len(self._layers):
            raise ValueError("two layers share a parameter: the norm of a unit has cross terms")
        if layers_of(model) != shape.layers:
            raise ValueError(f"the plan is for layers {shape.layers}, the model has {layers_of(model)}")
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._model, self._shape, self._clip, self._bits = model, shape, float(shape.clip), grid_bits

    def sum(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, units: Blocks) -> np.ndarray:
        """Flat int64 grid sum `(parameters,)` in the order of `flat_parameters`; zeros if there is no unit.

        `loss(model(x), y)` gives one loss a row. A unit with a value that is not finite contributes zero.
        Each bucket of units is summed in float64 and rounded to the grid once; buckets add exactly.
        """
        total = np.zeros(self._shape.length(), dtype=np.int64)
        for part, _ in units.batches():
            rows = torch.from_numpy(units.rows[part])
            unit = torch.from_numpy(units.unit[part] - units.unit[part.start])
            total += on_grid(self._batch(loss, x[rows], y[rows], unit), self._shape.clip, self._bits)
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


def layers_of(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """(inputs, outputs) of each TapLinear layer, in the order of the parameters."""
    return tuple((m.in_features, m.out_features) for m in model.modules() if isinstance(m, TapLinear))


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
