"""Rounds over Flower: one app factory for nodes and simulation, strict framing, an in-process grid.

The only engine file that knows Flower, and only by its public names.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import uuid4

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from contracts.envelope import canonical, strict_json
from contracts.errors import Malformed
from contracts.wording import N_

_MAGIC = b"mengbang-message/1\n"
_TYPES = {"d": "<f8", "q": "<i8"}


class Side(Protocol):
    """What differs between a node and a simulation: where rows come from and what a release costs."""

    def contribute(self, run: str, round: int, open_index: int, model: array[float]) -> tuple[array[int], bytes]:
        """The noised sum of this round and its signed line (empty in simulation)."""


def client_app(side: Side) -> ClientApp:
    """The one app that takes part in rounds."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        config = message.content["config"]
        values, line = side.contribute(
            str(config["run"]), int(config["round"]), int(config["open"]), read_values(message.content, "d")
        )
        return Message(contribution(values, line), reply_to=message)

    return app


def invitation(run: str, round: int, open_index: int, model: array[float]) -> RecordDict:
    """Content of a message that asks for a contribution."""
    return RecordDict(
        {"values": _record(model), "config": ConfigRecord({"run": run, "round": round, "open": open_index})}
    )


def contribution(values: array[int], line: bytes) -> RecordDict:
    """Content of the reply."""
    return RecordDict({"values": _record(values), "config": ConfigRecord({"line": line})})


def _record(values: array) -> ArrayRecord:  # type: ignore[type-arg]
    return ArrayRecord({"flat": Array(np.frombuffer(values.tobytes(), dtype=values.typecode))})


def read_values(content: RecordDict, typecode: str) -> array:  # type: ignore[type-arg]
    """The one flat array of a message; Malformed unless it is one-dimensional and of this type."""
    record = content["values"]
    if not isinstance(record, ArrayRecord) or list(record) != ["flat"]:
        raise Malformed(N_("a message carries one flat array"))
    values = record["flat"].numpy()
    if values.ndim != 1 or values.dtype != np.dtype(typecode):
        raise Malformed(N_("a message carries one flat array of type {typecode}"), typecode=typecode)
    return array(typecode, values.tobytes())


def pack(content: RecordDict) -> bytes:
    """An invitation as bytes: magic, one line of canonical JSON, then the values. No pickle."""
    config = content["config"]
    header = canonical({"run": config["run"], "round": config["round"], "open": config["open"]})
    return _MAGIC + header + b"\n" + read_values(content, "d").tobytes()


def unpack(data: bytes) -> RecordDict:
    """The invitation of `pack`; Malformed on anything else."""
    magic, _, rest = data.partition(b"\n")
    header, newline, body = rest.partition(b"\n")
    if magic + b"\n" != _MAGIC or not newline or len(body) % 8:
        raise Malformed(N_("this is not a round's message"))
    match strict_json(header):
        case {"run": str(run), "round": int(round), "open": int(open_index), **more} if not more:
            return invitation(run, round, open_index, array("d", body))
    raise Malformed(N_("this is not a round's message"))


def metadata(node_id: int, *, group: str, ttl: float, message_type: str = "train", source: int = 1) -> Metadata:
    """Metadata of a message to a node, from Flower's public class: several runs may live in one process."""
    return Metadata(
        run_id=0,
        message_id=uuid4().hex,
        src_node_id=source,
        dst_node_id=node_id,
        reply_to_message_id="",
        group_id=group,
        created_at=time.time(),
        ttl=ttl,
        message_type=message_type,
    )


class LocalGrid(Grid):
    """Runs the apps of all members in this process, in a fixed order: tests, what-if runs, benchmarks."""

    def __init__(self, apps: dict[int, Callable[[Message, Context], Message]]):
        self._apps = apps
        self._replies: dict[str, Message] = {}

    def set_run(self, run: object) -> None:
        """Nothing to set: the order names the run."""

    @property
    def run(self) -> object:
        """There is no Flower run here."""
        return None

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See Grid."""
        return Message(
            content, metadata=metadata(dst_node_id, group=group_id, ttl=ttl or 3600.0, message_type=message_type)
        )

    def get_node_ids(self) -> Iterable[int]:
        """Every member."""
        return sorted(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run each message at once and keep the reply."""
        names = []
        for message in messages:
            context = Context(
                run_id=0, node_id=message.metadata.dst_node_id, node_config={}, state=RecordDict(), run_config={}
            )
            names.append(message.metadata.message_id)
            self._replies[names[-1]] = self._apps[message.metadata.dst_node_id](message, context)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See Grid."""
        return self.pull_messages(self.push_messages(messages))
