"""Exact clipped sums of per-unit gradients on CPU, in float64.

In a network whose parameters all sit in Linear layers the gradient of row i for one layer is
b_i a_i^T (backprop times input). One forward pass gives every a, one backward pass with respect to the
pre-activations alone every b, and weighted products give the sums. A unit is
clipped as a whole: its gradient is that of the *mean* loss over its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from privacy.backprop import Passes
from privacy.encoding import step_size
from privacy.plan import Gradients
from privacy.units import Blocks

_LOST = 2.0**-50  # eight times what float64 rounds off, for each of the numbers that a product of two rows adds up


class Clipped:
    """Grid sums of clipped per-unit gradients of a model of float64 Linear layers, ReLU, tanh and sums.

    The result is the sum over units of g_u * min(1, clip / |g_u|): L2 sensitivity `clip` for adding or
    removing one unit. Refuses (ValueError) any other model (see `Passes`): batch norms, shared or repeated layers.
    """

    def __init__(self, model: nn.Module, shape: Gradients, grid_bits: int):
        self._passes = Passes(model)
        if layers_of(model) != shape.layers:
            raise ValueError(f"the plan is for layers {shape.layers}, the model has {layers_of(model)}")
        model.requires_grad_(False)
        step = step_size(shape.clip, grid_bits)
        self._most, self._reach = 1.0 / step, float(shape.clip) / step
        self._gathered, self._scratch = (torch.empty(0, dtype=torch.float64) for _ in "ab")  # fresh memory is dear
        self._flat = torch.empty(shape.length(), dtype=torch.float64)
        parts = self._flat.split([p.numel() for p in model.parameters()])
        places = iter(part.view(p.shape) for p, part in zip(model.parameters(), parts, strict=True))
        self._places = list(zip(places, places, strict=True))  # weight and bias of each layer

    def sum(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, units: Blocks) -> np.ndarray:
        """Flat int64 grid sum `(parameters,)` in the order of `flat_parameters`; zeros if there is no unit.

        `loss(model(x), y)` gives one loss a row. A unit with a value that is not finite contributes zero.
        Each bucket of units is summed in float64 and rounded to the grid once; buckets add exactly, since a plan's
        2e6 units of 2**24 steps stay below 2**53.
        """
        total = torch.zeros_like(self._flat)
        for part, count in units.batches:
            rows = torch.from_numpy(units.rows[part])
            inputs = torch.index_select(x, 0, rows, out=self._gathered.resize_(len(rows), *x.shape[1:]))
            self._batch(loss, inputs, y[rows], _Grouped(units.unit[part], count))
            total += self._flat.mul_(units.scale).round_()
        summed: np.ndarray = total.to(torch.int64).numpy()
        return summed

    def _batch(self, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, units: _Grouped) -> None:
        """Write the clipped sum of one bucket, in grid steps but not yet rounded, into the flat buffer."""
        z = self._passes.forward(x).detach().requires_grad_()
        inputs, backs = self._passes.backward(torch.autograd.grad(loss(z, y).sum(), z)[0])
        backs = units.weighted(backs)
        square = units.squares(inputs, backs)
        scale, bad = (square.rsqrt() * self._reach).clamp_(max=self._most), None
        if not isfinite(float(square.sum())):
            good = torch.isfinite(square)
            scale, bad = torch.where(good, scale, 0.0), ~units.spread(good)[:, None]
        scale = units.spread(scale)
        for (weight, bias), a, b in zip(self._places, inputs, backs, strict=True):
            if bad is not None:  # 0 * inf would be NaN, so mask both
                b, a = b.masked_fill(bad, 0.0), a.masked_fill(bad, 0.0)
            torch.mv(b.t(), scale, out=bias)
            # scale the narrower side, never in place: two layers may hold the same tensor
            narrow = b if b.shape[1] <= a.shape[1] else a
            scaled = torch.mul(narrow, scale[:, None], out=self._scratch.resize_(narrow.shape))
            b, a = (scaled, a) if narrow is b else (b, scaled)
            torch.mm(b.t(), a, out=weight)


class _Grouped:
    """Rows of one bucket in order of unit: `unit` `(rows,)` rises by at most one from row to
    row, `count` units in all."""

    def __init__(self, unit: np.ndarray, count: int):
        self._single = len(unit) == count
        self._count, self._unit = count, torch.from_numpy(unit - unit[0])

    @cached_property
    def _sizes(self) -> Tensor:
        """Rows of each unit, `(count,)`."""
        return torch.bincount(self._unit, minlength=self._count)

    @cached_property
    def _longest(self) -> int:
        return int(self._sizes.max())

    def weighted(self, backs: list[Tensor]) -> list[Tensor]:
        """Each row by 1 / (rows of its unit), so that a unit's sum is the gradient of its mean loss."""
        if self._single:
            return backs
        weight = self.spread(1.0 / self._sizes)[:, None]
        return [b * weight for b in backs]

    def spread(self, values: Tensor) -> Tensor:
        """`(count,)` -> `(rows,)`."""
        return values if self._single else values[self._unit]

    def squares(self, inputs: list[Tensor], backs: list[Tensor]) -> Tensor:
        """Squared norm of each unit's gradient, `(count,)`: over layers |sum_i b_i a_i^T|^2 + |sum_i b_i|^2. Never too
        small: where rows cancel, little is left beside what float64 loses of them, which is added."""
        if not self._single and self._longest**2 > max(
            a.shape[1] * b.shape[1] for a, b in zip(inputs, backs, strict=True)
        ):
            return self._of_gradients(inputs, backs)
        layers, held = len(inputs), {id(t): t for t in (*inputs, *backs)}  # layers of a residual block share tensors
        products = self._products(list(held.values()))
        if len(held) < 2 * layers:
            place = {known: i for i, known in enumerate(held)}
            products = products[[place[id(t)] for t in (*inputs, *backs)]]
        terms = (products[:layers] + 1.0) * products[layers:]
        if self._single:
            return terms.sum(0)
        each = terms.diagonal(dim1=2, dim2=3).clamp(min=0.0).sqrt().sum(2)  # of a layer, the norms of all rows together
        lost = _LOST * (terms.shape[-1] + max(t.shape[1] for t in held.values())) * each.square().sum(0)
        return terms.sum((0, 2, 3)).clamp(min=0.0) + lost

    def _of_gradients(self, inputs: list[Tensor], backs: list[Tensor]) -> Tensor:
        """`squares` by the gradients of units, where those are smaller than the products of all rows of a unit."""
        total = inputs[0].new_zeros(self._count)
        for a, b in zip(map(self._padded, inputs), map(self._padded, backs), strict=True):
            square = torch.bmm(b.transpose(1, 2), a).square().sum((1, 2)) + b.sum(1).square().sum(1)
            each = ((a.square().sum(2) + 1.0) * b.square().sum(2)).sqrt().sum(1)  # the norms of all rows together
            total += (square.sqrt() + _LOST * self._longest * each).square()
        return total

    def _products(self, tensors: list[Tensor]) -> Tensor:
        """Inner products of the rows of each unit in each tensor, `(tensors, count, longest, longest)`; with one row
        each, squares `(tensors, count)`.

        A place that no row fills is zero in every backprop, so it adds nothing.
        """
        if self._single:
            norms = tensors[0].new_empty(len(tensors), self._count)
            for norm, rows in zip(norms, tensors, strict=True):
                torch.linalg.vector_norm(rows, dim=1, out=norm)
            return norms.square_()
        out = tensors[0].new_empty(len(tensors), self._count, self._longest, self._longest)
        for grams, rows in zip(out, tensors, strict=True):
            padded = self._padded(rows)
            torch.bmm(padded, padded.transpose(1, 2), out=grams)
        return out

    def _padded(self, rows: Tensor) -> Tensor:
        """`(rows, width)` -> `(count, longest, width)`, zero where a unit has fewer rows."""
        if len(rows) == self._count * self._longest:
            return rows.view(self._count, self._longest, -1)
        first = torch.cumsum(self._sizes, 0) - self._sizes
        padded = rows.new_zeros(self._count, self._longest, rows.shape[1])
        padded[self._unit, torch.arange(len(rows)) - first[self._unit]] = rows
        return padded


def layers_of(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """(inputs, outputs) of each Linear layer, in the order of the parameters."""
    return tuple((m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear))


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
