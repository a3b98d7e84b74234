"""Demand: quantile forecasts of many series by one small network that corrects a simple forecast."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from contracts.errors import Malformed
from contracts.wording import N_
from engine.demand.windows import Windows, inputs, last_windows, training_windows
from engine.split import holdout
from engine.table import TableSchema, shipped
from engine.task import Design, Model, Served
from engine.training import fit
from privacy.gradients import Clipped, TapLinear, flat_parameters, layers_of, load_flat
from privacy.plan import Adam, Gradients, ReleasePlan
from privacy.units import blocks

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_WIDTH = 24
_SPREAD = (0.22, 0.1)  # public start: distance of the outer and inner quantiles from the median, as a share of it


class Network(nn.Module):
    """(x, base) -> quantiles `(batch, horizon, 5)` that never cross, in units of the window's scale."""

    def __init__(self, schema: TableSchema):
        super().__init__()
        torch.manual_seed(20260101)  # public: everyone starts from the same numbers
        self.horizon = schema.options["horizon"]
        self.hidden = TapLinear(inputs(schema), _WIDTH)
        self.out = TapLinear(_WIDTH, 3 * self.horizon)
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.bias.zero_()

    def forward(self, packed: Tensor) -> Tensor:
        """`packed` `(batch, inputs + horizon)` carries the base forecast in its last columns."""
        x, base = packed[:, : -self.horizon], packed[:, -self.horizon :]
        shift, inner, outer = self.out(torch.tanh(self.hidden(x))).reshape(-1, 3, self.horizon).unbind(1)
        middle = base * torch.exp(shift)
        near, far = middle * _SPREAD[1] * torch.exp(inner), middle * _SPREAD[0] * torch.exp(outer)
        wide = near + far
        return torch.stack([middle - wide, middle - near, middle, middle + near, middle + wide], 2)


def pinball(forecast: Tensor, y: Tensor) -> Tensor:
    """Mean pinball loss a window over observed steps and quantiles; `(batch,)`."""
    seen = torch.isfinite(y)
    error = (torch.where(seen, y, 0.0)[:, :, None] - forecast) * seen[:, :, None]
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    return torch.maximum(levels * error, (levels - 1) * error).sum((1, 2)) / (seen.sum(1).clamp(min=1) * len(QUANTILES))


class Demand:
    """See engine.task.Task."""

    name = "demand"
    families = ("gradients",)

    def schema(self) -> TableSchema:
        """Monthly sales of products."""
        return shipped("engine.demand")

    def design(self, schema: TableSchema, family: str, rho_nano: int) -> Design:
        """One small network, whatever the budget."""
        shape = Gradients("gradients", layers_of(Network(schema)), "0.2")
        return Design(shape, 25, lambda sigma, members: Adam("adam", "0.01", 8))

    def start(self, schema: TableSchema, family: str) -> array[float]:
        """The simple forecast with public bands: the last layer is zero."""
        return array("d", flat_parameters(Network(schema)).tolist())

    def prepare(self, frame: pl.DataFrame, schema: TableSchema) -> Windows:
        """All training windows."""
        return training_windows(frame, schema)

    def contribute(
        self, plan: ReleasePlan, model: array[float], rows: Windows, *, round: int, key: bytes
    ) -> np.ndarray:
        """See engine.task.Task. The horizon follows from the width of the rows."""
        if not isinstance(plan.shape, Gradients):
            raise Malformed(N_("demand is not learned by {family}"), family=plan.shape.family)
        units = blocks(rows.unit, key, max_rows=plan.max_rows_per_unit, max_units=plan.max_units)
        clipped = Clipped(_of(model, rows), plan.shape, plan.grid_bits)
        return clipped.sum(pinball, _packed(rows), torch.from_numpy(rows.y), units)

    def split(self, rows: Windows, key: bytes) -> tuple[Windows, Windows]:
        """By keyed hash of the series."""
        held = holdout(rows.unit, key)
        return rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))

    def fit_alone(self, rows: Windows, schema: TableSchema) -> Model:
        """The same network on the member's own series."""
        net = fit(Network(schema), pinball, _packed(rows), torch.from_numpy(rows.y), steps=200, rate=0.01)
        values = array("d", torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist())
        return Model(Gradients("gradients", layers_of(net), "0.2"), values)

    def evaluate(self, model: Model, rows: Windows, schema: TableSchema) -> dict[str, float]:
        """WQL as loss, WAPE of the median, coverage of the 80 % band, number of series."""
        if not len(rows.unit):
            return {"loss": 0.0, "wape": 0.0, "coverage": 0.0, "units": 0.0}
        forecast = _forecast(model.values, rows) * rows.scale[:, None, None]
        y = rows.y * rows.scale[:, None]
        seen = np.isfinite(y)
        error = np.where(seen, y, 0.0)[:, :, None] - forecast
        levels = np.array(QUANTILES)
        loss = 2 * (np.maximum(levels * error, (levels - 1) * error) * seen[:, :, None]).sum((0, 1)).mean()
        total = float(np.abs(y[seen]).sum()) or 1.0
        inside = (y >= forecast[:, :, 0]) & (y <= forecast[:, :, 4])
        return {
            "loss": float(loss / total),
            "wape": float(np.abs(error[:, :, 2])[seen].sum() / total),
            "coverage": float(inside[seen].mean()),
            "units": float(len(set(rows.unit))),
        }

    def serve(self, model: Model, frame: pl.DataFrame, schema: TableSchema) -> list[Served]:
        """Median and 80 % band of each series and step."""
        rows = last_windows(frame, schema)
        forecast = _forecast(model.values, rows) * rows.scale[:, None, None] if len(rows.unit) else np.zeros((0, 0, 5))
        return [
            Served(
                name,
                {
                    f"{label}_{step + 1}": max(0.0, float(path[step, q]))
                    for step in range(path.shape[0])
                    for label, q in (("low", 0), ("median", 2), ("high", 4))
                },
            )
            for name, path in zip(rows.unit, forecast, strict=True)
        ]


def _packed(rows: Windows) -> Tensor:
    return torch.from_numpy(np.concatenate([rows.x, rows.base], 1))


def _of(model: Sequence[float], rows: Windows) -> nn.Module:
    net = Network(_shape_of(rows))
    load_flat(net, model)
    return net


def _shape_of(rows: Windows) -> TableSchema:
    lookback = (rows.x.shape[1] - 2) // 2
    options = {**shipped("engine.demand").options, "lookback": lookback, "horizon": rows.y.shape[1]}
    return shipped("engine.demand").model_copy(update={"options": options})


def _forecast(model: Sequence[float], rows: Windows) -> np.ndarray:
    with torch.no_grad():
        return _of(model, rows)(_packed(rows)).numpy()


TASK = Demand()
