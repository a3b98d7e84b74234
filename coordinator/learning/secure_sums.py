"""The coordinator's side of the secure sum: five short steps over any Flower grid, exact or aborted.

    keys -> sealed shares -> masked contributions -> signatures under the list of survivors -> shares revealed

Whoever is silent in one step is not in the next; the sum holds while two thirds of those asked stay. Nothing is
kept here between steps: replies, and what was asked, are the grid's, so a coordinator that was killed takes the
same steps again and gets the same replies. A contribution is never here without its masks.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from flwr.app import Message
from flwr.serverapp import Grid

from contracts.envelope import canonical, from_base64, strict_json, to_base64
from contracts.errors import Malformed, TrustError
from contracts.fields import new_id
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.statements import RunOrder
from contracts.statements.sums import Unmasking, context, limit_steps, list_of, read_keys, read_survivors
from contracts.wording import N_
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK, RoundRequest, invitation, read_values
from privacy.secure_sum import LEAST, SEALED, Group, PublicKeys, SumError, check_keys, read_share, recover, unmask

POLL_S, GRACE_S = 0.01, 2.0
PARTS = {KEYS: 0.2, SHARES: 0.25, TRAIN: 0.8, SURVIVORS: 0.5}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoundOpened:
    """A round that may be asked for now: number, log index, members asked, and their Flower node ids. It `ends` at a
    time after which it can only be aborted; None where the agreement knows none."""

    round: int
    index: int
    members: tuple[str, ...]
    nodes: tuple[int, ...]
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Contributed:
    """A contribution as it came, masked if a secure sum is agreed: who, grid integers, signed line."""

    member: str
    values: array[int]
    line: bytes


class Cut(Protocol):
    """What a sum needs of a journal."""

    def accepted(self, opened: RoundOpened, replies: list[Contributed]) -> tuple[list[Contributed], int]:
        """(replies that count, cut-off): decided once a round, before anyone is asked to sign the list of survivors."""

    def node_keys(self, opened: RoundOpened) -> dict[str, str]:
        """Public node key of every member asked."""

    def malformed(self, opened: RoundOpened, step: str, member: str) -> None:
        """Write down that what a member replied is not what its step asked for."""


def read_reply(message: Message, member: str, length: int) -> Contributed:
    """A contribution of the right shape; ValueError or TrustError otherwise: malformed is dropped, never repaired."""
    values = read_values(message.content, "q")
    line = message.content["config"]["line"]
    if len(values) != length or not isinstance(line, bytes):
        raise ValueError("a contribution of another shape")
    return Contributed(member, values, line)


def read_sealed(data: bytes) -> dict[str, bytes]:
    """{peer: shares sealed for it}; Malformed (SHAPE) unless each has the one size."""
    match strict_json(data):
        case dict(told) if all(isinstance(text, str) for text in told.values()):
            carried = {str(peer): from_base64(text) for peer, text in told.items()}
            if all(len(sealed) == SEALED for sealed in carried.values()):
                return carried
    raise Malformed(N_("sealed shares of a secure sum have one size and nothing beside them"), code="SHAPE")


def read_shares(data: bytes) -> dict[str, int]:
    """{peer: share shown}; Malformed (SHAPE) unless each is a number of the field."""
    match strict_json(data):
        case dict(told) if all(isinstance(text, str) for text in told.values()):
            with suppress(SumError):
                return {str(peer): read_share(text) for peer, text in told.items()}
    raise Malformed(N_("a share that is shown is a number of the field, and nothing stands beside it"), code="SHAPE")


class SumStep:
    """Asks members of one open round and reads their replies; one that cannot be read is told to the journal. `parts`
    are the shares of the time left that a step may wait, all of it where none is named."""

    def __init__(
        self,
        grid: Grid,
        run: str,
        opened: RoundOpened,
        deadline_s: float,
        journal: Cut,
        parts: Mapping[str, float] | None = None,
    ):
        self._grid, self._run, self._opened, self._deadline_s = grid, run, opened, deadline_s
        self._journal, self._parts = journal, parts or {}
        self._member = dict(zip(opened.nodes, opened.members, strict=True))
        self._node = dict(zip(opened.members, opened.nodes, strict=True))

    def ask(
        self,
        step: str,
        parts: Mapping[str, tuple[bytes, ...]],
        read: Callable[[Message, str], T],
        *,
        model: array[float] | None = None,
        enough: int | None = None,
    ) -> dict[str, T]:
        """{member: reply as `read`} of the members of `parts`, in order; what cannot be read is left out.

        Waits for all until the deadline, and closes the step; with `enough`, only a moment longer than for so many.
        """
        messages, wait_s = (
            [self._message(step, member, sent, model) for member, sent in parts.items()],
            self._wait_s(step),
        )
        if enough is None:
            found = self._read(self._grid.send_and_receive(messages, timeout=wait_s), read)[0]
        else:
            found = self._until(messages, read, enough, wait_s)
        return {member: found[member] for member in parts if member in found}

    def _wait_s(self, step: str) -> float:
        """How long a step waits for the silent: where the round ends, so that the steps
        after it have their time too."""
        if self._opened.ends is None:
            return self._deadline_s
        left = max(0.0, (self._opened.ends - datetime.now(UTC)).total_seconds())
        return min(self._deadline_s, left * self._parts.get(step, 1.0))

    def _message(self, step: str, member: str, parts: tuple[bytes, ...], model: array[float] | None) -> Message:
        about = RoundRequest(self._run, self._opened.round, self._opened.index, parts)
        group = str(self._opened.round)
        return self._grid.create_message(
            invitation(about, model), step, self._node[member], group, ttl=max(1.0, self._deadline_s)
        )

    def _read(self, replies: Iterable[Message], read: Callable[[Message, str], T]) -> tuple[dict[str, T], set[str]]:
        """Replies that read well, and everyone who has said anything."""
        found, heard = {}, set[str]()
        for reply in replies:
            member = self._member.get(reply.metadata.src_node_id)
            if member is None:
                continue  # Flower's own link answers for a reply that was fetched before
            heard.add(member)
            if not reply.has_error():
                try:
                    found[member] = read(reply, member)
                except (TrustError, ValueError, KeyError, TypeError):
                    self._journal.malformed(self._opened, reply.metadata.message_type, member)
        return found, heard

    def _until(
        self, messages: list[Message], read: Callable[[Message, str], T], enough: int, wait_s: float
    ) -> dict[str, T]:
        names, found, heard = list(self._grid.push_messages(messages)), dict[str, T](), set[str]()
        end = time.monotonic() + wait_s
        while True:  # once at least: a coordinator that comes back late takes what was replied in time
            more, also = self._read(self._grid.pull_messages(names), read)
            found, heard = {**found, **more}, heard | also
            if len(found) >= enough:
                end = min(end, time.monotonic() + GRACE_S)
            if len(heard) >= len(messages) or time.monotonic() >= end:
                return found
            time.sleep(POLL_S)


class SecureSum:
    """The sum of the open rounds of one run."""

    def __init__(self, run: str, order: RunOrder, journal: Cut):
        self._run, self._order, self._journal = run, order, journal

    def combine(
        self, grid: Grid, opened: RoundOpened, model: array[float]
    ) -> tuple[list[Contributed], array[int], bytes]:
        """(masked replies that are in it, their exact sum, document of the unmasking). SumError if there is none."""
        order, step = self._order, SumStep(grid, self._run, opened, self._order.deadline_s, self._journal, PARTS)
        group = Group(context(order.agreement, self._run, opened.round), opened.members)
        least = max(LEAST, order.min_members, group.threshold)
        node_keys = self._journal.node_keys(opened)
        lines = _enough(step.ask(KEYS, dict.fromkeys(opened.members, ()), self._keys(opened, node_keys)), least)
        shown = tuple(line for line, _ in lines.values())
        keys = {m: PublicKeys(*_raw(said)) for m, (_, said) in lines.items()}
        sealed = _enough(step.ask(SHARES, dict.fromkeys(lines, shown), _sealed_for(set(lines))), least)
        masked = step.ask(
            TRAIN,
            {m: (_incoming(m, sealed),) for m in sealed},
            lambda message, member: read_reply(message, member, order.plan.length()),
            model=model,
        )
        used, cutoff = self._journal.accepted(opened, list(masked.values()))
        names = tuple(reply.member for reply in used)
        _enough(dict.fromkeys(names), least)
        expected = list_of(self._list(opened, cutoff, tuple(sealed), names))
        asked = canonical({"cutoff": cutoff, "masked": list(sealed), "survivors": list(names)})
        signed = _enough(
            step.ask(
                SURVIVORS,
                dict.fromkeys(names, (asked,)),
                lambda message, member: _signature(message, member, node_keys, expected),
                enough=group.threshold,
            ),
            group.threshold,
        )
        told = step.ask(UNMASK, dict.fromkeys(signed, tuple(signed.values())), _shares, enough=group.threshold)
        in_set = {member: keys[member] for member in sealed}
        seeds, mask_keys = recover(group, in_set, names, told)
        total = unmask(group, in_set, {reply.member: reply.values for reply in used}, seeds, mask_keys)
        if max(max(total), -min(total)) > len(used) * limit_steps(order.plan):
            raise SumError("the sum is larger than the plan allows")
        document = Unmasking(tuple(lines[member][0] for member in sealed), tuple(signed.values()), seeds, mask_keys)
        return used, total, document.to_bytes()

    def _keys(self, opened: RoundOpened, node_keys: dict[str, str]) -> Callable[[Message, str], tuple[bytes, SumKeys]]:
        def read(message: Message, member: str) -> tuple[bytes, SumKeys]:
            line = _bytes(message, "line")
            about = {"agreement": self._order.agreement, "order": self._run}
            said = read_keys(line, {member: node_keys[member]}, round=opened.round, **about)
            check_keys(PublicKeys(*_raw(said)))
            return line, said

        return read

    def _list(
        self, opened: RoundOpened, cutoff: int, masked: tuple[str, ...], survivors: tuple[str, ...]
    ) -> SumSurvivors:
        return SumSurvivors(
            record_id=new_id(),
            issued_at="2000-01-01T00:00:00Z",  # neither this nor who speaks is part of what signers have in common
            member=survivors[0],
            order=self._run,
            open=opened.index,
            round=opened.round,
            cutoff=cutoff,
            masked=masked,
            survivors=survivors,
        )


def _enough(found: dict[str, T], least: int) -> dict[str, T]:
    if len(found) < least:
        raise SumError(f"{len(found)} members are left of {least} that a sum needs")
    return found


def _bytes(message: Message, name: str) -> bytes:
    data = message.content["config"][name]
    if not isinstance(data, bytes):
        raise TypeError(name)
    return data


def _raw(said: SumKeys) -> tuple[bytes, bytes, bytes]:
    return from_base64(said.mask), from_base64(said.share), bytes.fromhex(said.seed.removeprefix("sha256:"))


def _sealed_for(members: set[str]) -> Callable[[Message, str], dict[str, bytes]]:
    """Reads {peer: sealed shares}: one for every other member, each of the one size."""

    def read(message: Message, member: str) -> dict[str, bytes]:
        carried = read_sealed(_bytes(message, "payload"))
        if carried.keys() != members - {member}:
            raise ValueError("shares for other members than were named")
        return carried

    return read


def _incoming(member: str, sealed: dict[str, dict[str, bytes]]) -> bytes:
    """Shares for `member` by sender, of everyone who shared."""
    return canonical({peer: to_base64(told[member]) for peer, told in sealed.items() if peer != member})


def _signature(message: Message, member: str, node_keys: dict[str, str], expected: bytes) -> bytes:
    line = _bytes(message, "line")
    read_survivors(line, {member: node_keys[member]}, expected)
    return line


def _shares(message: Message, member: str) -> dict[str, int]:
    return read_shares(_bytes(message, "payload"))
