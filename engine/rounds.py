"""Rounds over Flower: one app factory for nodes and simulation, strict framing, an in-process grid.

The only engine file that knows Flower, and only by its public names.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, Metadata, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from contracts.envelope import canonical, from_base64, strict_json, to_base64
from contracts.errors import Malformed, TrustError
from contracts.wording import N_

_MAGIC = b"mengbang-message/1\n"


# Message types. A secure sum takes all five in this order (contracts/statements/sums.py); a plain one only TRAIN.
KEYS, SHARES, TRAIN, SURVIVORS, UNMASK = (
    "query.secagg_keys",
    "query.secagg_shares",
    "train",
    "query.secagg_survivors",
    "query.secagg_unmask",
)
STEPS = (KEYS, SHARES, TRAIN, SURVIVORS, UNMASK)


@dataclass(frozen=True, slots=True)
class RoundRequest:
    """Which round a message is about, and what else it carries: signed lines or sealed shares of others."""

    run: str
    round: int
    open_index: int
    parts: tuple[bytes, ...] = ()


class Side(Protocol):
    """What differs between a node and a simulation: where rows come from, what a release costs, who is believed."""

    def contribute(self, asked: RoundRequest, model: array[float]) -> tuple[array[int], bytes]:
        """The noised sum of this round, masked if a secure sum is agreed, and its signed line (empty in simulation)."""

    def take_step(self, step: str, asked: RoundRequest) -> tuple[bytes, bytes]:
        """(line, payload) of a step of the secure sum before or after the contribution."""


def client_app(side: Side) -> ClientApp:
    """The one app that takes part in rounds."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        values, line = side.contribute(asked(message.content), read_values(message.content, "d"))
        return Message(contribution(values, line), reply_to=message)

    def answer(message: Message, context: Context) -> Message:
        line, payload = side.take_step(message.metadata.message_type, asked(message.content))
        return Message(step_reply(line, payload), reply_to=message)

    for step in (KEYS, SHARES, SURVIVORS, UNMASK):
        app.query(step.partition(".")[2])(answer)
    return app


def invitation(asked: RoundRequest, model: array[float] | None = None) -> RecordDict:
    """Content of a message to a member: with a model it asks for a contribution, else for a step of the secure sum."""
    config = {"run": asked.run, "round": asked.round, "open": asked.open_index, "parts": list(asked.parts)}
    records = RecordDict({"config": ConfigRecord(config)})  # type: ignore[arg-type]
    if model is not None:
        records["values"] = _record(model)
    return records


def asked(content: RecordDict) -> RoundRequest:
    """What `invitation` was made of."""
    config = content["config"]
    return RoundRequest(
        str(config["run"]),
        int(config["round"]),  # type: ignore[arg-type]
        int(config["open"]),  # type: ignore[arg-type]
        tuple(config["parts"]),  # type: ignore[arg-type]
    )


def contribution(values: array[int], line: bytes) -> RecordDict:
    """Content of the reply to a message that asks for a contribution."""
    return RecordDict({"values": _record(values), "config": ConfigRecord({"line": line})})


def step_reply(line: bytes, payload: bytes) -> RecordDict:
    """Content of the reply to a step of the secure sum."""
    return RecordDict({"config": ConfigRecord({"line": line, "payload": payload})})


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
    about = asked(content)
    parts = [to_base64(part) for part in about.parts]
    header = canonical({"run": about.run, "round": about.round, "open": about.open_index, "parts": parts})
    return _MAGIC + header + b"\n" + (read_values(content, "d").tobytes() if "values" in content else b"")


def unpack(data: bytes) -> tuple[RoundRequest, array[float] | None]:
    """What `invitation` was made of, from the bytes of `pack`; Malformed on anything else."""
    magic, _, rest = data.partition(b"\n")
    header, newline, body = rest.partition(b"\n")
    if magic + b"\n" != _MAGIC or not newline or len(body) % 8:
        raise Malformed(N_("this is not a round's message"))
    match strict_json(header):
        case {"run": str(run), "round": int(round), "open": int(open_index), "parts": list(parts), **more} if not more:
            about = RoundRequest(run, round, open_index, tuple(from_base64(str(part)) for part in parts))
            return about, array("d", body) if body else None
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


def message_of(content: RecordDict | Error, about: Metadata) -> Message:
    """A message under metadata of our own, which Flower's constructor takes and its overloads do not name."""
    made: Message = Message(content, metadata=about)  # type: ignore[call-overload]
    return made


class OrderedGrid(Grid):
    """A grid whose every message names its run by the order: Flower's own run is never set."""

    def set_run(self, run: Run) -> None:
        """Nothing to set: the order names the run."""

    @property
    def run(self) -> None:  # type: ignore[override]
        """There is no Flower run here."""

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See Grid."""
        return message_of(content, metadata(dst_node_id, group=group_id, ttl=ttl or 3600.0, message_type=message_type))


class LocalGrid(OrderedGrid):
    """Runs the apps of all members in this process, in a fixed order: tests, what-if runs, benchmarks."""

    def __init__(self, apps: dict[int, Callable[[Message, Context], Message]]):
        self._apps = apps
        self._replies: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        """Every member."""
        return sorted(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run each message at once and keep the reply; of a member that refuses, an error with its code."""
        names = []
        for message in messages:
            context = Context(
                run_id=0, node_id=message.metadata.dst_node_id, node_config={}, state=RecordDict(), run_config={}
            )
            names.append(message.metadata.message_id)
            try:
                reply = self._apps[message.metadata.dst_node_id](message, context)
            except TrustError as error:
                reply = Message(Error(code=0, reason=error.code), reply_to=message)
            self._replies[names[-1]] = reply
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See Grid."""
        return self.pull_messages(self.push_messages(messages))
