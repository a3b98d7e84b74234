"""The product's rounds in one process over LocalGrid: members with rows, noise unless it is
left out, perhaps wrong ones."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.rounds import LocalGrid, RoundRequest, client_app, invitation, read_values
from engine.task import Model, Task
from privacy.mechanisms import LatticeGaussian
from privacy.plan import ReleasePlan
from privacy.step import advance, start_state

KEY = b"benchmark: public data, no secret"
Sent = Callable[["array[int]"], "array[int]"]


class Side:
    """One member's side of a round: its training rows, and noise unless there is none; `sent` is what a wrong member
    makes of its contribution."""

    def __init__(
        self,
        task: Task,
        plan: ReleasePlan,
        rows: Any,
        noise: LatticeGaussian | None,
        sent: Sent = lambda values: values,
    ):
        self._task, self._plan, self._rows, self._noise, self._sent = task, plan, rows, noise, sent

    def contribute(self, asked: RoundRequest, model: array[float]) -> tuple[array[int], bytes]:
        """See engine.rounds.Side."""
        total = self._task.contribute(self._plan, model, self._rows, round=asked.round, key=KEY)
        return self._sent(self._noise.release(total) if self._noise else array("q", total.tobytes())), b""


def federated(
    task: Task,
    plan: ReleasePlan,
    rows: Sequence[Any],
    model: array[float],
    *,
    noisy: bool = True,
    once: bool = False,
) -> Model:
    """The model of a whole run that begins with `model`; `rows` are a member each. `once`: one member adds
    noise for all (research)."""
    noise = LatticeGaussian(plan) if noisy else None
    sides = [Side(task, plan, own, None if once and at else noise) for at, own in enumerate(rows)]
    made = play(plan, sides, model, start_state(plan, model))
    assert made is not None
    return Model(plan.shape, made)


def play(
    plan: ReleasePlan,
    sides: Sequence[Side],
    model: array[float],
    state: array[float],
    *,
    first: int = 1,
    accepts: Callable[[array[int], int], bool] = lambda values, members: True,
) -> array[float] | None:
    """The model after rounds `first` to the plan's last. Sums are those of the coordinator: int64 that wrap as masked
    words do. `accepts` is asked about each contribution (of 1 member), then about the sum of those that it took; None
    where it refuses a sum: such a round is lost, and so would the next one be."""
    grid = LocalGrid({number: client_app(side) for number, side in enumerate(sides, 1)})
    for number in range(first, plan.releases + 1):
        asked = [
            grid.create_message(invitation(RoundRequest("run", number, 1), model), "train", node, str(number))
            for node in grid.get_node_ids()
        ]
        replies = [read_values(reply.content, "q") for reply in grid.send_and_receive(asked)]
        used = [np.frombuffer(values, dtype=np.int64) for values in replies if accepts(values, 1)]
        total = array("q", np.sum(used, axis=0).tobytes())
        if not accepts(total, len(used)):
            return None
        model, state = advance(plan, state, total, number)
    return model
