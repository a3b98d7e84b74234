"""The head of the public start, tuned by a setting's members over the round protocol in one process."""

from __future__ import annotations

from array import array

import numpy as np

from benchmarks.demand_methods import kind_of, series_of
from benchmarks.demand_protocol import Setting
from engine.demand.task import TASK, Rows, rows_of
from engine.demand.windows import windows
from engine.rounds import Asked, LocalGrid, client_app, invitation, read_values
from engine.table import TableSchema
from engine.task import plan_for
from privacy.curves import rho_cap
from privacy.encoding import add
from privacy.mechanisms import LatticeGaussian
from privacy.plan import ReleasePlan
from privacy.step import advance, start_state

_KEY = b"benchmark: public data, no secret"
NO_NOISE = "8"  # epsilon of the plan whose noise is left out


class Member:
    """One member's side of a round: its training windows, and noise unless `noisy` is false."""

    def __init__(self, rows: Rows, plan: ReleasePlan, noisy: bool):
        self._rows, self._plan = rows, plan
        self._noise = LatticeGaussian(plan) if noisy else None

    def contribute(self, asked: Asked, model: array[float]) -> tuple[array[int], bytes]:
        """See engine.rounds.Side."""
        total = TASK.contribute(self._plan, model, self._rows, round=asked.round, key=_KEY)
        return (self._noise.release(total) if self._noise else array("q", total.tobytes())), b""


def schema_of(setting: Setting) -> TableSchema:
    """The task's schema with the setting's season and horizon."""
    options = {"horizon": setting.horizon, "season": setting.season}
    return TASK.schema().model_copy(update={"options": options})


def training_rows(setting: Setting) -> dict[str, Rows]:
    """Each member's windows at the training origins."""
    found = {}
    for name in setting.members():
        own = setting.only(np.flatnonzero(setting.member == name))
        kind, series = kind_of(own), series_of(own)
        known = series.values[:, : max(setting.training) + setting.horizon]
        series = type(series)(known, series.first, series.names)
        found[name] = rows_of(kind, series, windows(series, setting.training, kind))
    return found


def tune(setting: Setting, rows: dict[str, Rows], epsilon: str | None, *, once: bool = False) -> array[float]:
    """The released head. None: the same rounds without noise. `once`: one member adds noise for all (research only)."""
    schema = schema_of(setting)
    plan = plan_for(
        TASK,
        schema,
        family="gradients",
        releases=0,
        rho_nano=rho_cap(epsilon or NO_NOISE, "1e-6"),
        delta="1e-6",
        members=len(rows),
    )
    sides = [Member(own, plan, epsilon is not None and not (once and at)) for at, own in enumerate(rows.values())]
    grid = LocalGrid({number: client_app(side) for number, side in enumerate(sides, 1)})
    model = TASK.start(schema, "gradients")
    state = start_state(plan, model)
    for number in range(1, plan.releases + 1):
        asked = [
            grid.create_message(invitation(Asked("run", number, 1), model), "train", node, str(number))
            for node in grid.get_node_ids()
        ]
        total = add([read_values(reply.content, "q") for reply in grid.send_and_receive(asked)])
        model, state = advance(plan, state, total, number)
    return model
