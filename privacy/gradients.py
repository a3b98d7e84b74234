"""Exact clipped sums of per-unit gradients on CPU, in float64.

In a network whose parameters all sit in Linear layers the gradient of row i for one layer is
b_i a_i^T (backprop times input). One forward pass records inputs and pre-activations, one backward pass
with respect to the pre-activations alone gives every b, and weighted products give the sums. A unit is
clipped as a whole: its gradient is that of the *mean* loss over its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privacy.encoding import step_size
from privacy.plan import Gradients
from privacy.units import Blocks


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
        self._model, self._shape, self._clip = model, shape, float(shape.clip)
        self._step = step_size(shape.clip, grid_bits)

    def sum(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, units: Blocks) -> np.ndarray:
        """Flat int64 grid sum `(parameters,)` in the order of `flat_parameters`; zeros if there is no unit.

        `loss(model(x), y)` gives one loss a row. A unit with a value that is not finite contributes zero.
        Each bucket of units is summed in float64 and rounded to the grid once; buckets add exactly.
        """
        total = torch.zeros(self._shape.length(), dtype=torch.int64)
        flat = torch.empty(self._shape.length(), dtype=torch.float64)
        places = self._views(flat)
        for part, count in units.batches():
            rows = torch.from_numpy(units.rows[part])
            grouped = _Grouped(units.unit[part] - units.unit[part.start], count)
            self._batch(loss, x[rows], y[rows], grouped, places)
            total += flat.round_().to(torch.int64)
        summed: np.ndarray = total.numpy()
        return summed

    def _batch(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        units: _Grouped,
        places: dict[int, Tensor],
    ) -> None:
        """Write the clipped sum of one bucket, in grid steps but not yet rounded, into `places`."""
        taps, backs = self._backprops(loss, x, y)
        backs = units.weighted(backs)
        square = units.squares([(a, b) for (_, a, _), b in zip(taps, backs, strict=True)])
        scale, bad = (square.rsqrt() * self._clip).clamp_(max=1.0).div_(self._step), None
        if not isfinite(float(square.sum())):
            good = torch.isfinite(square)
            scale, bad = torch.where(good, scale, 0.0), ~units.spread(good)[:, None]
        scale = units.spread(scale)
        for (layer, a, _), b in zip(taps, backs, strict=True):
            if bad is not None:  # 0 * inf would be NaN, so mask both
                b, a = b.masked_fill(bad, 0.0), a.masked_fill(bad, 0.0)
            torch.mv(b.t(), scale, out=places[id(layer.bias)])
            # scale the narrower side, never in place: two layers may hold the same tensor
            b, a = (b * scale[:, None], a) if b.shape[1] <= a.shape[1] else (b, a * scale[:, None])
            torch.mm(b.t(), a, out=places[id(layer.weight)])

    def _views(self, flat: Tensor) -> dict[int, Tensor]:
        """The part of `flat` that holds each parameter, by the parameter's identity."""
        held = list(self._model.parameters())
        parts = flat.split([p.numel() for p in held])
        return {id(p): part.view(p.shape) for p, part in zip(held, parts, strict=True)}

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


class _Grouped:
    """Rows of one bucket in order of unit; `unit` `(rows,)` counts from 0 to `count` - 1."""

    def __init__(self, unit: np.ndarray, count: int):
        self._unit, self._count, self._single = torch.from_numpy(unit), count, len(unit) == count

    def weighted(self, backs: list[Tensor]) -> list[Tensor]:
        """Each row by 1 / (rows of its unit), so that a unit's sum is the gradient of its mean loss."""
        if self._single:
            return backs
        weight = self.spread(1.0 / torch.bincount(self._unit, minlength=self._count))[:, None]
        return [b * weight for b in backs]

    def spread(self, values: Tensor) -> Tensor:
        """`(count,)` -> `(rows,)`."""
        return values if self._single else values[self._unit]

    def squares(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Squared norm of each unit's gradient, `(count,)`: over layers |sum_i b_i a_i^T|^2 + |sum_i b_i|^2."""
        known: dict[int, Tensor] = {}  # layers of a residual block share tensors

        def once(tensor: Tensor) -> Tensor:
            if id(tensor) not in known:
                known[id(tensor)] = self._products(tensor)
            return known[id(tensor)]

        total: Tensor = sum(((once(a) + 1.0) * once(b) for a, b in pairs), torch.zeros((), dtype=torch.float64))
        return total if self._single else total.sum((1, 2)).clamp(min=0.0)

    def _products(self, rows: Tensor) -> Tensor:
        """Inner products of the rows of each unit, `(count, longest, longest)`; with one row each, squares `(count,)`.

        A place that no row fills is zero in every backprop, so it adds nothing.
        """
        if self._single:
            return torch.linalg.vector_norm(rows, dim=1).square()
        sizes = torch.bincount(self._unit, minlength=self._count)
        longest = int(sizes.max())
        if len(rows) == self._count * longest:
            padded = rows.view(self._count, longest, -1)
        else:
            first = torch.cumsum(sizes, 0) - sizes
            padded = rows.new_zeros(self._count, longest, rows.shape[1])
            padded[self._unit, torch.arange(len(rows)) - first[self._unit]] = rows
        return padded @ padded.transpose(1, 2)


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
