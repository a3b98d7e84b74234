"""Baselines of the demand benchmark that learn from windows: LGBM, ridge and networks, at one member or on all rows.

Forecasts are `(series, origins, horizon, 5)` at validation, then test origins. Models are fitted once, on refit origins
(training origins up to the last validation origin), as the READMEs say; statistics are fitted anew at each origin.
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from benchmarks.demand.methods import kind_of, series_of
from benchmarks.demand.protocol import Setting
from engine.demand.home import moving_average
from engine.demand.network import Body, Head, pinball
from engine.demand.quantiles import LEVELS
from engine.demand.windows import Series, Windows, windows

_RIDGE = 10.0


def origins_of(setting: Setting) -> tuple[int, ...]:
    """Validation, then test."""
    return (*setting.validation, *setting.test)


def learning(setting: Setting, chosen: np.ndarray, *, refit: bool = True) -> Windows:
    """Windows of the chosen series at the refit (or the training) origins; nothing after them is seen."""
    series = series_of(setting.only(chosen))
    last = setting.validation[-1] if refit else setting.training[-1]
    known = Series(series.values[:, : last + setting.horizon], series.first, series.names)
    made = windows(known, range(setting.training[0], last + 1), kind_of(setting))
    used = np.isfinite(made.y).any(1) & (made.scale > 1e-5)
    return Windows(made.x[used], made.y[used], made.scale[used], made.row[used])


def asked(setting: Setting, chosen: np.ndarray, origin: int) -> Windows:
    """One window a chosen series that has a past."""
    return windows(series_of(setting.only(chosen)), [origin], kind_of(setting), at_least=1)


def filled(setting: Setting, chosen: np.ndarray, predict) -> np.ndarray:  # type: ignore[no-untyped-def]
    """`predict(windows) -> (n, horizon, 5)` in units of the scale, put in its place."""
    made = np.zeros((len(chosen), len(origins_of(setting)), setting.horizon, 5))
    for at, origin in enumerate(origins_of(setting)):
        rows = asked(setting, chosen, origin)
        found = np.sort(np.maximum(predict(rows), 0.0), -1)
        made[rows.row, at] = found * rows.scale[:, None, None]
    return made


def lgbm(setting: Setting, learn: np.ndarray, chosen: np.ndarray, *, trees: int, leaves: int) -> np.ndarray:
    """One model a quantile over all steps; for validation origins it has not seen their targets."""
    cut = len(setting.validation)
    early, late = (boosted(setting, learning(setting, learn, refit=r), chosen, trees, leaves) for r in (False, True))
    return np.concatenate([early[:, :cut], late[:, cut:]], 1)


def boosted(setting: Setting, rows: Windows, chosen: np.ndarray, trees: int, leaves: int) -> np.ndarray:
    """Rate .05, 80 % of rows and columns per tree; the step is an input. Moving averages where there
    is nothing to learn from."""
    import lightgbm

    horizon = setting.horizon
    if not len(rows.x):  # a member whose products were all launched after the last training origin
        past, kind = setting.values[chosen], kind_of(setting)
        return np.stack([moving_average(past[:, :t], kind) for t in origins_of(setting)], 1)
    x, y = _stepped(rows, horizon), rows.y.T.reshape(-1)
    used = np.isfinite(y)
    how = {"n_estimators": trees, "num_leaves": leaves, "learning_rate": 0.05, "random_state": 0, "n_jobs": 1}
    how |= {"subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.8, "min_child_samples": 5, "verbose": -1}
    models = [lightgbm.LGBMRegressor(objective="quantile", alpha=float(q), **how).fit(x[used], y[used]) for q in LEVELS]

    def predict(asked_rows: Windows) -> np.ndarray:
        inside = _stepped(asked_rows, horizon)
        made = np.stack([np.asarray(m.predict(inside)) for m in models], -1)
        return made.reshape(horizon, len(asked_rows.x), 5).transpose(1, 0, 2)

    return filled(setting, chosen, predict)


def _stepped(rows: Windows, horizon: int) -> np.ndarray:
    step = np.repeat(np.arange(horizon), len(rows.x))[:, None]
    return np.concatenate([np.tile(rows.x, (horizon, 1)), step], 1)


def ridge(setting: Setting, learn: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Least squares for each step with a ridge; quantiles from its own residuals."""
    rows = learning(setting, learn)
    x = np.column_stack([rows.x, np.ones(len(rows.x))])
    weights, spread = [], []
    for step in range(setting.horizon):
        used = np.isfinite(rows.y[:, step])
        a, b = x[used], np.minimum(rows.y[used, step], 10.0)
        weights.append(np.linalg.solve(a.T @ a + _RIDGE * np.eye(a.shape[1]), a.T @ b))
        spread.append(np.quantile(b - a @ weights[-1], LEVELS))

    def predict(asked_rows: Windows) -> np.ndarray:
        inside = np.column_stack([asked_rows.x, np.ones(len(asked_rows.x))])
        return np.stack([(inside @ w)[:, None] + s for w, s in zip(weights, spread, strict=True)], 1)

    return filled(setting, chosen, predict)


class Net(torch.nn.Module):
    """Body and head, trained as one; the same network as the product's, from a random start."""

    def __init__(self, setting: Setting, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.head = Body(kind_of(setting)), Head(kind_of(setting)).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs -> quantiles."""
        return self.head(self.body(x))

    def predict(self, rows: Windows) -> np.ndarray:
        """Quantiles in units of the scale."""
        with torch.no_grad():
            found: np.ndarray = self(torch.from_numpy(rows.x).float()).double().numpy()
        return found


def central_network(
    setting: Setting, learn: np.ndarray, chosen: np.ndarray, *, seed: int, steps: int = 1000
) -> np.ndarray:
    """All rows in one place, Adam with a cosine."""
    net, rows = Net(setting, seed), learning(setting, learn)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        _step(net, optimiser, rows, draw, 128)
        schedule.step()
    return filled(setting, chosen, net.predict)


def fedavg(
    setting: Setting, members: list[np.ndarray], chosen: np.ndarray, *, seed: int, rounds: int = 30
) -> np.ndarray:
    """Plain weighted averaging without privacy: 20 SGD steps of 32 windows a round, momentum .9, rate .05 by cosine."""
    net, draw = Net(setting, seed), np.random.default_rng(seed)
    rows = [learning(setting, own) for own in members]
    share = np.array([len(own.x) for own in rows], dtype=float)
    for number in range(rounds):
        rate = 0.025 * (1 + np.cos(np.pi * number / rounds))
        sums: dict[str, torch.Tensor] = {}
        for own, weight in zip(rows, share / share.sum(), strict=True):
            local = copy.deepcopy(net)
            optimiser = torch.optim.SGD(local.parameters(), lr=rate, momentum=0.9)
            for _ in range(20):
                _step(local, optimiser, own, draw, 32)
            for name, values in local.state_dict().items():
                sums[name] = sums.get(name, 0) + float(weight) * values
        net.load_state_dict(sums)
    return filled(setting, chosen, net.predict)


def _step(net: Net, optimiser: torch.optim.Optimizer, rows: Windows, draw: np.random.Generator, size: int) -> None:
    at = draw.integers(0, len(rows.x), size)
    optimiser.zero_grad()
    loss = pinball(net(torch.from_numpy(rows.x[at]).float()), torch.from_numpy(rows.y[at]).float()).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
