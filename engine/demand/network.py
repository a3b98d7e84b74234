"""A small residual network: window in, quantiles out. The body is the public start; the head may be tuned.

All parameters of the head sit in one linear layer, so that its gradient per unit is cheap and exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.demand.quantiles import LEVELS
from engine.demand.windows import _MOST, _SMALL, Frequency

WIDTH, BLOCKS = 160, 3


class Block(nn.Module):
    """h + W2 relu(W1 norm(h))."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.one, self.two = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """`(batch, width)` -> the same."""
        return h + self.two(functional.relu(self.one(self.norm(h))))


class Body(nn.Module):
    """Inputs -> what the head reads: `(batch, WIDTH + horizon)`, features and a linear forecast of the median."""

    def __init__(self, kind: Frequency):
        super().__init__()
        self.into = nn.Linear(kind.inputs(), WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH) for _ in range(BLOCKS)), nn.LayerNorm(WIDTH))
        self.skip = nn.Linear(kind.inputs(), kind.horizon)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs)` -> `(batch, WIDTH + horizon)`."""
        return torch.cat([torch.tanh(self.blocks(self.into(x))), self.skip(x)], 1)


class Head(nn.Module):
    """What the body gives -> quantiles `(batch, horizon, 5)` that never cross, in units of the window's scale."""

    def __init__(self, kind: Frequency):
        super().__init__()
        self.out = nn.Linear(WIDTH, 5 * kind.horizon, dtype=torch.float64)

    def forward(self, read: Tensor) -> Tensor:
        """The median, and four distances that are positive, in the space of `windows.to_log`."""
        return quantiles(self.out(read[:, :WIDTH]), read[:, WIDTH:])


def quantiles(z: Tensor, median: Tensor) -> Tensor:
    """What the head's layer gives `(batch, 5 * horizon)` and the body's linear forecast of the median
    `(batch, horizon)` -> `(batch, horizon, 5)`."""
    shift, *apart = z.reshape(len(z), 5, -1).unbind(1)
    low2, low1, high1, high2 = (functional.softplus(a - 2.0) for a in apart)
    middle = median + shift
    logs = torch.stack([middle - low1 - low2, middle - low1, middle, middle + high1, middle + high1 + high2], 2)
    return torch.exp(logs.clamp(max=5.0)) - _SMALL


def layer_loss(z: Tensor, known: Tensor) -> Tensor:
    """`pinball` of what the head's layer gives; `known` is `(batch, 2 * horizon)`: the
    body's medians, then what came."""
    median, y = known.chunk(2, 1)
    return pinball(quantiles(z, median), y)


def pinball(forecast: Tensor, y: Tensor) -> Tensor:
    """Mean pinball loss a window over observed steps and quantiles; `(batch,)`."""
    seen = torch.isfinite(y)
    error = (torch.where(seen, y, 0.0).clamp(max=_MOST)[:, :, None] - forecast) * seen[:, :, None]
    levels = torch.tensor(LEVELS, dtype=forecast.dtype)
    return torch.maximum(levels * error, (levels - 1) * error).sum((1, 2)) / (seen.sum(1).clamp(min=1) * len(LEVELS))
