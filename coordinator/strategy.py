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

from engine.rounds import invitation, read_values
from privacy.plan import ReleasePlan
from privacy.step import advance


@dataclass(frozen=True, slots=True)
class Opened:
    """A round that may be asked for now: its number, log index, and Flower node ids of those asked."""

    round: int
    index: int
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A contribution as it came: who, grid integers, signed line."""

    node: int
    values: array[int]
    line: bytes


class Journal(Protocol):
    """Where a run stands, and where its rounds are recorded."""

    def open_round(self) -> Opened | None:
        """Open the next round, or go on with the one that a crash left open; None when the run is complete."""

    def accepted(self, opened: Opened, replies: list[Reply]) -> list[Reply]:
        """The replies that count at the cut-off, in a fixed order; fewer than the minimum means aborted."""

    def close_round(
        self, opened: Opened, used: list[Reply], total: array[int] | None, model: array[float], state: array[float]
    ) -> None:
        """Record the round; `total` is None if it was aborted."""

    def state(self) -> tuple[array[float], array[float]]:
        """Model and step state after the last recorded round."""


class TrustStrategy(Strategy):
    """Rounds of one plan. Extends Strategy rather than FedAvg: sums, not weighted means of what members claim."""

    def __init__(self, run: str, plan: ReleasePlan, *, min_members: int, deadline_s: float, journal: Journal):
        self._run, self._plan, self._least, self._deadline_s, self._journal = (
            run,
            plan,
            min_members,
            deadline_s,
            journal,
        )

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 0,
        timeout: float = 0.0,  # type: ignore[override]
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: object = None,
    ) -> Result:
        """Run what is left of the plan; every wait has a deadline."""
        while (opened := self._journal.open_round()) is not None:
            model, _ = self._journal.state()
            replies = grid.send_and_receive(self._invitations(grid, opened, model), timeout=self._deadline_s)
            self._finish(opened, [reply for message in replies if (reply := _reply(message, self._plan.length()))])
        model, _ = self._journal.state()
        result = Result()
        result.arrays = ArrayRecord({"flat": Array(np.array(model))})
        return result

    def _invitations(self, grid: Grid, opened: Opened, model: array[float]) -> list[Message]:
        content = invitation(self._run, opened.round, opened.index, model)
        return [
            grid.create_message(content, "train", node, str(opened.round), ttl=self._deadline_s)
            for node in opened.nodes
        ]

    def _finish(self, opened: Opened, replies: list[Reply]) -> None:
        used = self._journal.accepted(opened, replies)
        model, state = self._journal.state()
        if len(used) < self._least:
            self._journal.close_round(opened, [], None, model, state)
            return
        total = array("q", np.sum([np.frombuffer(reply.values, dtype=np.int64) for reply in used], axis=0).tolist())
        model, state = advance(self._plan, state, total, opened.round)
        self._journal.close_round(opened, used, total, model, state)

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


def _reply(message: Message, length: int) -> Reply | None:
    """A reply of the right shape, or None: what is malformed is dropped, never repaired."""
    if message.has_error():
        return None
    values = read_values(message.content, "q")
    line = message.content["config"]["line"]
    if len(values) != length or not isinstance(line, bytes):
        return None
    return Reply(message.metadata.src_node_id, values, line)
