"""`python -m engine.demand.pretrain`: make the public start anew from generated series. No data of any member.

The same machine and build of torch give the same bytes; elsewhere the last digits may differ, so the shipped bytes
are what counts and their digest stands in `engine.demand.start`.
"""

from __future__ import annotations

import argparse
import math
import time
from array import array
from pathlib import Path

import numpy as np
import torch

from contracts.envelope import digest
from contracts.statements.artefact import Artefact
from engine.demand import synthetic
from engine.demand.network import Body, Head, pinball
from engine.demand.windows import FREQUENCIES, Frequency, inputs
from privacy.gradients import flat_parameters

_SEED, _BATCH, _RATE = 20260101, 512, 2e-3
SERIES = 24_000  # generated in each epoch: every epoch sees new ones
EPOCHS = {"monthly": 72, "weekly": 24, "nine-weeks": 24}  # about three CPU-minutes, and one each


def dataset(kind: Frequency, series: int, seed: int, *, each: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """(x, y) of `each` random origins a series; half of the windows forget a part of their past."""
    random = np.random.default_rng([seed, kind.season])
    values, first = (synthetic.monthly if kind.season == 12 else synthetic.weekly)(random, series)
    origins = np.sort(random.integers(6, values.shape[1] - kind.horizon + 1, (series, each)), 1)
    x, y = [], []
    for column in range(each):
        origin = origins[:, column]
        past, later = _cut(values, origin, kind)
        keep = np.where(random.random(series) < 0.5, kind.memory(), random.integers(4, kind.memory(), series))
        past[np.arange(kind.memory()) < kind.memory() - keep[:, None]] = np.nan
        usable = (np.isfinite(past).sum(1) >= 3) & np.isfinite(later).any(1) & (np.nan_to_num(past).sum(1) > 0)
        inside, scale = inputs(past[usable], (first + origin)[usable], kind)
        x.append(inside.astype(np.float32))
        y.append((later[usable] / scale[:, None]).astype(np.float32))
    return torch.from_numpy(np.concatenate(x)), torch.from_numpy(np.concatenate(y))


def _cut(values: np.ndarray, origin: np.ndarray, kind: Frequency) -> tuple[np.ndarray, np.ndarray]:
    padded = np.concatenate([np.full((len(values), kind.memory()), np.nan), values], 1)
    place = origin[:, None] + np.arange(kind.memory() + kind.horizon)
    cut = np.take_along_axis(padded, place, 1)
    return cut[:, : kind.memory()].copy(), cut[:, kind.memory() :]


def train(kind: Frequency, series: int, epochs: int, *, say: bool = True) -> tuple[Body, Head]:
    """Body and head after `epochs` passes; one thread, fixed seeds."""
    torch.set_num_threads(1)
    torch.manual_seed(_SEED)
    body, head = Body(kind), Head(kind).float()
    _from_zero(body, head)
    optimiser = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=_RATE, weight_decay=1e-4)
    began = time.process_time()
    for epoch in range(epochs):
        x, y = dataset(kind, series, _SEED + epoch)
        order, total = torch.randperm(len(x)), 0.0
        for at in range(0, len(x) - _BATCH + 1, _BATCH):
            chosen = order[at : at + _BATCH]
            optimiser.param_groups[0]["lr"] = _RATE * _pace((epoch + at / len(x)) / epochs)
            optimiser.zero_grad(set_to_none=True)
            loss = pinball(head(body(x[chosen])), y[chosen]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*body.parameters(), *head.parameters()], 1.0)
            optimiser.step()
            total += float(loss.detach())
        if say:
            mean = total / (len(x) // _BATCH)
            print(
                f"{kind.name} {epoch + 1}/{epochs}  loss {mean:.4f}  {time.process_time() - began:.0f} CPU s",
                flush=True,
            )
    return body, head


def _pace(done: float) -> float:
    """Share of the full rate: up for a tenth of the way, then down by half a cosine."""
    return done / 0.1 if done < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.1) / 0.9)


def _from_zero(body: Body, head: Head) -> None:
    with torch.no_grad():
        for parameter in (*head.parameters(), *body.skip.parameters()):
            parameter.zero_()


def as_artefact(kind: Frequency, body: Body, head: Head) -> Artefact:
    """Body, then head, as one flat float64 array."""
    values = np.concatenate([flat_parameters(body), flat_parameters(head)])
    return Artefact("model", {"task": "demand", "part": "start", "frequency": kind.name}, array("d", values.tolist()))


def main() -> None:
    """Write the artefacts and print their digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "starts", help="folder for the artefacts")
    parser.add_argument("--only", choices=[kind.name for kind in FREQUENCIES], help="make one of them")
    chosen = parser.parse_args()
    for kind in FREQUENCIES:
        if chosen.only in (None, kind.name):
            data = as_artefact(kind, *train(kind, SERIES, EPOCHS[kind.name])).to_bytes()
            (chosen.out / f"{kind.name}.bin").write_bytes(data)
            print(f"{kind.name}.bin {len(data)} bytes {digest(data)}")


if __name__ == "__main__":
    main()
