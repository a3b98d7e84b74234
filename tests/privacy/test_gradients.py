"""Clipped sums against per-row autograd in float64, and against neighbours."""

import numpy as np
import pytest
import torch
from torch import nn

from privacy.gradients import Clipped, TapLinear, blocks, flat_parameters, load_flat


class Residual(nn.Module):
    """Two layers share an input and their outputs add: autograd hands both the same backprop tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.out = TapLinear(5, 8), TapLinear(8, 8), TapLinear(8, 8), TapLinear(8, 1)

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.out(h + self.b(h) + self.c(h))


def loss(z, y):
    return (z[:, 0] - y) ** 2


def reference(model, x, y, unit, clip):
    total = np.zeros(len(flat_parameters(model)))
    for name in sorted(set(unit)):
        rows = [i for i, u in enumerate(unit) if u == name]
        for p in model.parameters():
            p.requires_grad_(True)
            p.grad = None
        loss(model(x[rows]), y[rows]).mean().backward()
        g = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()
        total += g * min(1.0, clip / np.linalg.norm(g)) if np.isfinite(g).all() else 0.0
    return total


@pytest.mark.parametrize("per_unit", [1, 4, 16])
def test_sums_equal_per_unit_autograd(per_unit):
    torch.manual_seed(1)
    x, y = torch.randn(160, 5, dtype=torch.float64) * 3, torch.randn(160, dtype=torch.float64)
    unit, model = [i // per_unit for i in range(160)], Residual()
    got = Clipped(model, 0.7).sum(loss, x, y, blocks(unit, per_unit, b"key"))
    assert np.allclose(got, reference(model, x, y, unit, 0.7), rtol=1e-9, atol=1e-12)


def test_one_unit_more_moves_the_sum_by_at_most_the_clip_at_any_scale():
    worst = 0.0
    for scale in (1e-2, 1.0, 1e3):
        torch.manual_seed(2)
        x, y, model = torch.randn(90, 5, dtype=torch.float64) * scale, torch.randn(90, dtype=torch.float64), Residual()
        clipped, unit = Clipped(model, 1.0), [i // 3 for i in range(90)]
        whole = clipped.sum(loss, x, y, blocks(unit, 3, b"k"))
        for gone in range(0, 30, 5):
            keep = [i for i in range(90) if unit[i] != gone]
            less = clipped.sum(loss, x[keep], y[keep], blocks([unit[i] for i in keep], 3, b"k"))
            worst = max(worst, float(np.linalg.norm(whole - less)))
    assert 0.9 < worst <= 1 + 1e-9


def test_a_unit_with_nan_or_inf_contributes_nothing():
    torch.manual_seed(3)
    x, y, model = torch.randn(12, 5, dtype=torch.float64), torch.randn(12, dtype=torch.float64), Residual()
    clean = Clipped(model, 1.0).sum(loss, x[:10], y[:10], blocks(range(10), 1, b"k"))
    x[10, 0], x[11, 2] = float("nan"), float("inf")
    assert np.allclose(Clipped(model, 1.0).sum(loss, x, y, blocks(range(12), 1, b"k")), clean)


def test_no_rows_give_zeros_of_the_right_length():
    model, empty = Residual(), torch.zeros(0, 5, dtype=torch.float64)
    got = Clipped(model, 1.0).sum(loss, empty, torch.zeros(0, dtype=torch.float64), blocks([], 1, b"k"))
    assert got.shape == flat_parameters(model).shape and not got.any()


def test_what_cannot_be_bounded_is_refused():
    with pytest.raises(ValueError, match="TapLinear"):
        Clipped(nn.Linear(2, 1), 1.0)
    with pytest.raises(ValueError, match=r"TapLinear|BatchNorm"):
        Clipped(nn.Sequential(TapLinear(2, 2), nn.BatchNorm1d(2)), 1.0)
    with pytest.raises(ValueError, match="BatchNorm"):
        Clipped(nn.Sequential(TapLinear(2, 2), nn.BatchNorm1d(2, affine=False)), 1.0)
    layer = TapLinear(2, 2)
    with pytest.raises(ValueError, match="exactly once"):
        Clipped(nn.Sequential(layer, layer), 1.0).sum(
            lambda z, y: z[:, 0], torch.ones(3, 2, dtype=torch.float64), torch.ones(3), blocks(range(3), 1, b"k")
        )


def test_which_rows_of_a_large_unit_stay_depends_on_that_unit_alone():
    alone, together = blocks(["a"] * 9, 4, b"key"), blocks(["a"] * 9 + ["b"] * 9, 4, b"key")
    assert set(alone.rows) == {r for r in together.rows if r < 9} and len(alone.rows) == 4
    assert set(blocks(["a"] * 9, 4, b"other").rows) != set(alone.rows)


def test_parameters_go_flat_and_back():
    model, other = Residual(), Residual()
    load_flat(other, flat_parameters(model))
    assert np.array_equal(flat_parameters(other), flat_parameters(model))
    with pytest.raises(ValueError, match="do not fit"):
        load_flat(model, [0.0])
