"""The Flower Strategy of the trust: full participation, quorum, deadline, exact sums, resume after a crash.

It knows no transport and no database. What must be recorded goes through a `Journal`; over LocalGrid or
Flower's simulation the journal is a plain object in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from contracts.statements.statements import RunOrder
from coordinator.learning.secure_sums import Contributed, Cut, RoundOpened, SecureSum, SumStep, read_reply
from engine.rounds import TRAIN
from privacy.secure_sum import SumError
from privacy.step import advance
from shell.log_lines import log_event


@dataclass(frozen=True, slots=True)
class Summed:
    """The replies of a round that are in its sum, the sum, and how it was unmasked (None for a plain sum)."""

    used: list[Contributed]
    total: array[int]
    unmasking: bytes | None


class Journal(Cut, Protocol):
    """Where a run stands, and where its rounds are recorded."""

    def open_round(self) -> RoundOpened | None:
        """Open the next round, or go on with the one that a crash left open; None when the run is complete."""

    def close_round(self, opened: RoundOpened, summed: Summed | None, model: array[float], state: array[float]) -> None:
        """Record the round; `summed` is None if it was aborted."""

    def state(self) -> tuple[array[float], array[float]]:
        """Model and step state after the last recorded round."""


class TrustStrategy(Strategy):
    """Rounds of one plan. Extends Strategy rather than FedAvg: sums, not weighted means of what members claim."""

    def __init__(self, run: str, order: RunOrder, *, secure_sum: bool, journal: Journal):
        self._run, self._order, self._journal = run, order, journal
        self._secure_sum = SecureSum(run, order, journal) if secure_sum else None

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 0,
        timeout: float = 0.0,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: object = None,
    ) -> Result:
        """Run what is left of the plan; every wait has a deadline."""
        while (opened := self._journal.open_round()) is not None:
            model, state = self._journal.state()
            summed = self._combine(grid, opened, model)
            if summed is not None:
                model, state = advance(self._order.plan, state, summed.total, opened.round)
            self._journal.close_round(opened, summed, model, state)
        model, _ = self._journal.state()
        result = Result()
        result.arrays = ArrayRecord({"flat": Array(np.array(model))})
        return result

    def _combine(self, grid: Grid, opened: RoundOpened, model: array[float]) -> Summed | None:
        """The sum of one round, or None where too few are left for one."""
        try:
            if self._secure_sum:
                return Summed(*self._secure_sum.combine(grid, opened, model))
        except SumError as error:
            log_event.warning("no secure sum", run=self._run, round=opened.round, why=str(error))
            return None
        step, length = (
            SumStep(grid, self._run, opened, self._order.deadline_s, self._journal),
            self._order.plan.length(),
        )
        replies = step.ask(
            TRAIN,
            dict.fromkeys(opened.members, ()),
            lambda message, member: read_reply(message, member, length),
            model=model,
        )
        used, _ = self._journal.accepted(opened, list(replies.values()))
        if len(used) < self._order.min_members:
            return None
        total = array("q", np.sum([np.frombuffer(reply.values, dtype=np.int64) for reply in used], axis=0).tolist())
        return Summed(used, total, None)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Rounds are opened in `start`, where a crash can be resumed."""
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """No metric leaves a member."""
        return None, None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Members compare at home."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """No metric leaves a member."""
        return None

    def summary(self) -> None:
        """The log is the summary."""
