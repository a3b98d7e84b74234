"""One plain training loop, for the models that stay at home."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def fit(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 300,
    rate: float = 0.05,
    decay: float = 1e-3,
) -> nn.Module:
    """Full-batch Adam on the mean of `loss(model(x), y)` plus L2 `decay`; deterministic for a given model."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps if len(x) else 0):
        optimiser.zero_grad()
        size = sum(parameter.square().sum() for parameter in model.parameters())
        (loss(model(x), y).mean() + decay * size).backward()
        optimiser.step()
    return model
