"""Exact clipped sums beside plain SGD and Opacus: CPU time of one epoch over 10,000 rows, one thread.

    python -m benchmarks.privacy.clipping

All columns compute in float64, shuffle rows, and gather them by index, a batch or 1,024 rows at a time. Opacus
(development dependency) adds no noise here. Ratios are medians over repetitions taken in turn, so that other
load on the machine meets all columns alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule
from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from benchmarks.tables import publish
from privacy.gradients import Clipped, flat_parameters, layers_of
from privacy.plan import Gradients
from privacy.units import blocks

ROWS, CHUNK, RATE = 10_000, 1024, 0.01
MOST, LEAST = 1.35, 2.0
Layer = Callable[[int, int], nn.Module]


class Tabular(nn.Module):
    """A perceptron with two hidden layers."""

    def __init__(self, layer: Layer, inputs: int, width: int, outputs: int):
        super().__init__()
        self.a, self.b, self.c = layer(inputs, width), layer(width, width), layer(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs)` -> `(batch, outputs)`."""
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Residual(nn.Module):
    """Dense encoder and decoder with skips, as in TiDE (Das et al. 2023)."""

    def __init__(self, layer: Layer, inputs: int, width: int, outputs: int):
        super().__init__()
        self.a, self.b, self.skip = layer(inputs, width), layer(width, width), layer(inputs, width)
        self.c, self.d, self.out = layer(width, width), layer(width, width), layer(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs)` -> `(batch, outputs)`."""
        h = self.b(torch.relu(self.a(x))) + self.skip(x)
        return self.out(self.d(torch.relu(self.c(h))) + h)


MODELS = {
    "perceptron 30-64-64-1": (Tabular, 30, 64, 1),
    "perceptron 30-256-256-1": (Tabular, 30, 256, 1),
    "residual 56-64-14": (Residual, 56, 64, 14),
    "residual 56-128-14": (Residual, 56, 128, 14),
}


def loss(z: Tensor, y: Tensor) -> Tensor:
    """Mean square a row."""
    return (z - y).square().mean(1)


class SquaredError(nn.Module):
    """The same loss in the form that Opacus asks for."""

    reduction = "sum"

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """One loss a row until Opacus reduces it."""
        rows = loss(z, y)
        return rows if self.reduction == "none" else rows.sum()


def linear(inputs: int, outputs: int) -> nn.Module:
    """An ordinary layer."""
    return nn.Linear(inputs, outputs, dtype=torch.float64)


def chunks(order: Tensor, batch: int) -> list[list[Tensor]]:
    """Rows of each batch, 1,024 at a time."""
    return [list(part.split(CHUNK)) for part in order.split(batch)]


def plain(make: Callable[[Layer], nn.Module], x: Tensor, y: Tensor, batch: int) -> None:
    """Sums of gradients by autograd, and SGD."""
    model = make(linear)
    step = torch.optim.SGD(model.parameters(), lr=RATE / batch)
    for parts in chunks(torch.randperm(len(x)), batch):
        step.zero_grad()
        for rows in parts:
            loss(model(x[rows]), y[rows]).sum().backward()
        step.step()


def ours(rows_a_unit: int, make: Callable[[Layer], nn.Module], x: Tensor, y: Tensor, batch: int) -> Callable[[], None]:
    """The product's sums; which rows form a unit and a bucket is known before the epoch, as on a node."""
    model = make(linear)
    clipped = Clipped(model, Gradients("gradients", layers_of(model), "1"), 20)
    order = torch.randperm(len(x))
    given = []
    for rows in order.split(batch):
        names = [str(i // rows_a_unit) for i in range(len(rows))]
        given.append(
            (x[rows], y[rows], blocks(names, b"key", max_rows=rows_a_unit, max_units=-(-len(rows) // rows_a_unit)))
        )

    flat = torch.from_numpy(flat_parameters(model))
    held = list(model.parameters())
    for parameter, part in zip(held, flat.split([p.numel() for p in held]), strict=True):
        parameter.data = part.view(parameter.shape)

    def epoch() -> None:
        for inputs, labels, units in given:
            total = torch.from_numpy(clipped.sum(loss, inputs, labels, units))
            flat.add_(total, alpha=-RATE / batch / 2**20)

    return epoch


def ghost(make: Callable[[Layer], nn.Module], x: Tensor, y: Tensor, batch: int) -> None:
    """Opacus, fast gradient clipping: two backward passes."""
    model = GradSampleModuleFastGradientClipping(
        make(linear), max_grad_norm=1.0, use_ghost_clipping=True, loss_reduction="sum"
    )
    inner = torch.optim.SGD(model.parameters(), lr=RATE / batch)
    step = DPOptimizerFastGradientClipping(
        inner, noise_multiplier=0.0, max_grad_norm=1.0, expected_batch_size=batch, loss_reduction="sum"
    )
    criterion = DPLossFastGradientClipping(model, step, SquaredError(), "sum")
    for parts in chunks(torch.randperm(len(x)), batch):
        step.zero_grad()
        for number, rows in enumerate(parts, 1):
            step.signal_skip_step(do_skip=number < len(parts))
            criterion(model(x[rows]), y[rows]).backward()
            step.step()
            step.zero_grad()


def hooks(make: Callable[[Layer], nn.Module], x: Tensor, y: Tensor, batch: int) -> None:
    """Opacus, one gradient a row in memory."""
    model = GradSampleModule(make(linear), loss_reduction="sum")
    inner = torch.optim.SGD(model.parameters(), lr=RATE / batch)
    step = DPOptimizer(inner, noise_multiplier=0.0, max_grad_norm=1.0, expected_batch_size=batch, loss_reduction="sum")
    for parts in chunks(torch.randperm(len(x)), batch):
        step.zero_grad()
        for number, rows in enumerate(parts, 1):
            step.signal_skip_step(do_skip=number < len(parts))
            loss(model(x[rows]), y[rows]).sum().backward()
            step.step()
            step.zero_grad()


def products(make: Callable[[Layer], nn.Module], batch: int) -> Callable[[], None]:
    """The matrix products that any method needs, and nothing else: forward, backprop and sum, a layer and chunk."""
    layers = [m for m in make(linear).modules() if isinstance(m, nn.Linear)]
    inputs, held = layers[0].in_features, min(batch, CHUNK)
    sides = [torch.randn(held, layer.in_features, dtype=torch.float64) for layer in layers]
    backs = [torch.randn(held, layer.out_features, dtype=torch.float64) for layer in layers]
    before, after, sums = ([torch.empty_like(t) for t in kind] for kind in (sides, backs, [m.weight for m in layers]))

    def epoch() -> None:
        for rows in (len(part) for parts in chunks(torch.arange(ROWS), batch) for part in parts):
            for k, layer in enumerate(layers):
                torch.mm(sides[k][:rows], layer.weight.detach().t(), out=after[k][:rows])
                if layer.in_features != inputs:  # nothing is passed back to the inputs
                    torch.mm(backs[k][:rows], layer.weight.detach(), out=before[k][:rows])
                torch.mm(backs[k][:rows].t(), sides[k][:rows], out=sums[k].detach())

    return epoch


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, batch: int, repetitions: int) -> dict[str, Any]:
    """One line: plain in milliseconds, the others as ratios to it."""
    kind, inputs, width, outputs = MODELS[name]
    x = torch.randn(ROWS, inputs, dtype=torch.float64)
    y = torch.randn(ROWS, outputs, dtype=torch.float64)

    def make(layer: Layer) -> nn.Module:
        return kind(layer, inputs, width, outputs)

    works = {
        "plain": partial(plain, make, x, y, batch),
        "products alone": products(make, batch),
        "ours": ours(1, make, x, y, batch),
        "ours, 8 rows a unit": ours(8, make, x, y, batch),
        "Opacus ghost": partial(ghost, make, x, y, batch),
        "Opacus hooks": partial(hooks, make, x, y, batch),
    }
    times = {label: list[float]() for label in works}
    for repetition in range(repetitions + 1):
        for label, work in works.items():
            if label != "Opacus hooks" or repetition < 2:
                times[label].append(cpu_seconds(work))
    base = statistics.median(times["plain"][1:])
    size = len(flat_parameters(make(linear)))
    ratios = {label: statistics.median(taken[1:]) / base for label, taken in times.items() if label != "plain"}
    ratios["ghost / ours"] = ratios["Opacus ghost"] / ratios["ours"]
    line: dict[str, Any] = {"model": name, "numbers": size, "batch": batch, "plain ms": round(1000 * base, 1)}
    return line | {label: round(ratio, 2) for label, ratio in ratios.items()}


def main() -> None:
    """Print the table and write it to results/clipping."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=15)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Opacus warns that it adds no noise
    lines = [compare(name, batch, chosen.repetitions) for name in MODELS for batch in (256, 1024, ROWS)]
    missed = sum(line["ours"] > MOST for line in lines), sum(line["ghost / ours"] < LEAST for line in lines)
    notes = [
        f"{ROWS:,} rows, one thread, float64, CPU time of an epoch, medians; ratios to plain SGD.",
        f"At most {MOST} times plain SGD: missed in {missed[0]} of {len(lines)} cells. At least {LEAST} times as fast "
        f"as ghost clipping: missed in {missed[1]}. Any method needs three matrix products a layer (forward, "
        f"backprop, sum), ghost clipping with its two backward passes five: the wider the layers, the nearer the two "
        f"come to 5 / 3. `products alone` is the time of the three without anything else. Rows of one unit (eight "
        f"here) add a Gram matrix a unit.",
    ]
    publish("clipping", "Clipped sums beside plain SGD and Opacus", {"Ratios": lines}, notes)


if __name__ == "__main__":
    main()
