"""Clipped sums against per-row autograd in float64, and against neighbours."""

import resource

import numpy as np
import pytest
import torch
from torch import nn

from privacy.gradients import Clipped, flat_parameters, layers_of, load_flat
from privacy.plan import Gradients, sensitivity_steps
from privacy.units import blocks


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, dtype=torch.float64)


class Residual(nn.Module):
    """Two layers share an input and their outputs add: autograd hands both the same backprop tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.out = linear(5, 8), linear(8, 8), linear(8, 8), linear(8, 1)

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.out(h + self.b(h) + self.c(h))


class Dense(nn.Module):
    """Everything else that is allowed: ReLUs, a skip from the inputs, a value that three steps read, one read twice."""

    def __init__(self):
        super().__init__()
        self.a, self.skip, self.b, self.c, self.out = (linear(5, 8), *(linear(i, 8) for i in (5, 8, 8)), linear(8, 1))
        self.curve = nn.ReLU()

    def forward(self, x):
        h = self.curve(self.a(x)) + self.skip(x)
        k = torch.relu(h)
        return self.out(torch.tanh(self.b(k)) + torch.relu(self.c(h)) + h + (k + k))


def loss(z, y):
    return (z[:, 0] - y) ** 2


def clipped(model, clip="1"):
    """The production path, in units of the gradient."""
    held = Clipped(model, Gradients("gradients", layers_of(model), clip), 20)
    return lambda x, y, units: held.sum(loss, x, y, units) * float(clip) / 2**20


def grouped(unit, rows):
    return blocks([str(u) for u in unit], b"key", max_rows=rows, max_units=1000)


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


@pytest.mark.parametrize("network", [Residual, Dense])
@pytest.mark.parametrize("per_unit", [1, 4, 7, 16, 160])
def test_sums_equal_per_unit_autograd(per_unit, network):
    torch.manual_seed(1)
    x, y = torch.randn(160, 5, dtype=torch.float64) * 3, torch.randn(160, dtype=torch.float64)
    unit, model = [i // per_unit for i in range(160)], network()
    got = clipped(model, "0.7")(x, y, grouped(unit, per_unit))
    assert np.abs(got - reference(model, x, y, unit, 0.7)).max() < 2**-19


def test_one_unit_more_moves_the_sum_by_at_most_the_clip_at_any_scale():
    worst = 0.0
    for scale in (1e-2, 1.0, 1e3):
        torch.manual_seed(2)
        x, y, model = torch.randn(90, 5, dtype=torch.float64) * scale, torch.randn(90, dtype=torch.float64), Residual()
        query, unit = clipped(model), [i // 3 for i in range(90)]
        whole = query(x, y, grouped(unit, 3))
        for gone in range(0, 30, 5):
            keep = [i for i in range(90) if unit[i] != gone]
            less = query(x[keep], y[keep], grouped([unit[i] for i in keep], 3))
            worst = max(worst, float(np.linalg.norm(whole - less)))
    assert 0.9 < worst <= 1 + 1e-5


@pytest.mark.parametrize("rows", [4, 24])  # one way to a norm, and the other
@pytest.mark.parametrize("clip", ["3", "0.05", "0.000001"])
def test_a_unit_whose_rows_cancel_is_clipped_all_the_same(clip, rows):
    """What is left of large rows that cancel may be far less than what float64 loses of their products."""
    rng, shape = np.random.default_rng(6), Gradients("gradients", ((160, 1),), clip)
    for _ in range(100):
        x = torch.from_numpy(np.tile(rng.uniform(-1, 1, 160), (rows, 1)))
        slope = np.array([50.0, -50.0] * (rows // 2)) * rng.uniform(0.5, 1, rows)
        left = rng.uniform(1, 3) * float(clip) * rows / np.sqrt(float((x[0] ** 2).sum()) + 1)
        slope[-1] = left - slope[:-1].sum()
        query = Clipped(nn.Linear(160, 1, dtype=torch.float64), shape, 20)
        moved = query.sum(lambda z, y: z[:, 0] * y, x, torch.from_numpy(slope), grouped([7] * rows, rows))
        assert np.linalg.norm(moved.astype(float)) <= sensitivity_steps(shape, 20, 1000)


def test_a_unit_of_ten_thousand_rows_takes_no_more_memory_than_its_rows():
    """Products of all its rows with each other would be 800 MB a layer: a small machine would end
    the node because of them."""
    rows, width = 10_000, 12
    x, y = torch.rand(rows, width, dtype=torch.float64), torch.rand(rows, dtype=torch.float64)
    query = clipped(nn.Linear(width, 1, dtype=torch.float64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert np.linalg.norm(query(x, y, grouped([1] * rows, rows))) <= 1 + 1e-5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


def test_a_unit_with_nan_or_inf_contributes_nothing():
    torch.manual_seed(3)
    x, y, model = torch.randn(12, 5, dtype=torch.float64), torch.randn(12, dtype=torch.float64), Residual()
    clean = clipped(model)(x[:10], y[:10], grouped(range(10), 1))
    x[10, 0], x[11, 2] = float("nan"), float("inf")
    assert np.allclose(clipped(model)(x, y, grouped(range(12), 1)), clean, atol=2**-19)


def test_no_rows_give_zeros_of_the_right_length():
    model, empty = Residual(), torch.zeros(0, 5, dtype=torch.float64)
    got = clipped(model)(empty, torch.zeros(0, dtype=torch.float64), grouped([], 1))
    assert got.shape == flat_parameters(model).shape and not got.any()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(linear(2, 2), nn.LayerNorm(2, dtype=torch.float64)), "Linear layer"),
        (nn.Sequential(nn.Tanh()), "Linear layer"),
        (nn.Linear(2, 1), "float64"),
        (nn.Linear(2, 1, bias=False, dtype=torch.float64), "bias"),
        (nn.Sequential(linear(2, 2), nn.BatchNorm1d(2, affine=False)), "BatchNorm1d is none of"),
        (nn.Sequential(linear(2, 2), nn.Dropout()), "Dropout is none of"),
        (nn.Sequential(*[linear(2, 2)] * 2), "exactly once"),
    ],
)
def test_what_cannot_be_bounded_is_refused(model, said):
    with pytest.raises(ValueError, match=said):
        clipped(model)


class Odd(nn.Module):
    """A layer, and whatever `then(h, x)` makes of it."""

    def __init__(self, then):
        super().__init__()
        self.a, self.then = linear(2, 2), then

    def forward(self, x):
        return self.then(self.a(x), x)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (lambda h, x: h * h, "mul is none of"),
        (lambda h, x: h.mean(0), "mean is none of"),
        (lambda h, x: h + 1.0, "takes more"),
        (lambda h, x: torch.relu(x), "a does not reach"),
        (lambda h, x: (h, h), "one tensor"),
    ],
)
def test_a_step_that_is_not_on_the_list_is_refused(then, said):
    with pytest.raises(ValueError, match=said):
        clipped(Odd(then))


def test_a_plan_for_other_layers_is_refused():
    with pytest.raises(ValueError, match="the plan is for layers"):
        Clipped(linear(2, 1), Gradients("gradients", ((3, 1),), "1"), 20)


def test_two_layers_that_share_their_weights_are_refused():
    first, second = linear(2, 2), linear(2, 2)
    second.weight = first.weight
    with pytest.raises(ValueError, match="share"):
        clipped(nn.Sequential(first, second))


def test_parameters_go_flat_and_back():
    model, other = Residual(), Residual()
    load_flat(other, flat_parameters(model))
    assert np.array_equal(flat_parameters(other), flat_parameters(model))
    with pytest.raises(ValueError, match="do not fit"):
        load_flat(model, [0.0])
