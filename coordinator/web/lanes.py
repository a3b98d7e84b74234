"""Whose turn it is: each member has a lane of its own, strangers share a narrow one and keep to a pace.

What a member does at once is bounded, so that another waits for a few of its requests at most, never for all of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from contracts.errors import Unavailable
from contracts.wording import N_
from shell.pace import TokenBuckets

MEMBER_AT_ONCE = 4  # requests of one member in work: a node sends one or two at a time
STRANGERS_AT_ONCE = 2  # of all strangers together: members keep what these leave of the cores
MOST_WAITING = 64  # in one lane: more than a node or a browser ever asks at once
READS_PER_S, READ_BURST = 20.0, 1000.0  # an auditor copies 256,000 entries at once, then 5,000 a second
JOINS_PER_S, JOIN_BURST = 0.5, 120.0  # a whole assembly behind one address, then one in two seconds
LONGEST_WAIT_S = 10.0  # who would have to be held back longer is refused
MOST_LANES = 4096  # remembered; the one that was asked for longest ago is forgotten


@dataclass(slots=True)
class Lane:
    """Requests of one caller, in their order."""

    places: anyio.CapacityLimiter
    waiting: int = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place, which is left at the end, or before by calling what is given; Unavailable (BUSY) if too
        many wait already."""
        if self.waiting >= MOST_WAITING:
            raise busy(self.waiting)
        self.waiting += 1
        try:
            await self.places.acquire_on_behalf_of(place := object())
        finally:
            self.waiting -= 1
        held = [place]

        def leave() -> None:
            if held:
                self.places.release_on_behalf_of(held.pop())

        try:
            yield leave
        finally:
            leave()


class Lanes:
    """The lanes of all callers that were heard lately."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._strangers = anyio.CapacityLimiter(STRANGERS_AT_ONCE)
        self._reads, self._joins = TokenBuckets(READS_PER_S, READ_BURST), TokenBuckets(JOINS_PER_S, JOIN_BURST)

    def of_member(self, name: str) -> Lane:
        """The lane of whoever has signed."""
        return self._lane(f"member {name}", None)

    async def of_stranger(self, address: str, *, joins: bool) -> Lane:
        """The lane of an address, once it is in pace; their places are common to all."""
        wait = (self._joins if joins else self._reads).wait(address, time.monotonic(), LONGEST_WAIT_S)
        if wait is None:
            raise busy(JOINS_PER_S if joins else READS_PER_S)
        await anyio.sleep(wait)
        return self._lane(f"address {address}", self._strangers)

    def _lane(self, name: str, places: anyio.CapacityLimiter | None) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(places or anyio.CapacityLimiter(MEMBER_AT_ONCE))
            if len(self._lanes) > MOST_LANES:
                self._lanes.popitem(last=False)
        self._lanes.move_to_end(name)
        return lane


def busy(limit: float) -> Unavailable:
    return Unavailable(
        N_("too many requests of one caller"),
        why=N_("the limit is {limit}"),
        do=N_("go on in a minute, and wait for an answer before asking more"),
        limit=limit,
        code="BUSY",
    )
