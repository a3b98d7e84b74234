"""A Spend says what one release costs, before the noise exists. Integers only: nano-rho of zCDP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from statistics import NormalDist
from typing import Literal

Partition = Literal["train", "holdout"]
PARTITIONS: tuple[Partition, ...] = ("train", "holdout")


class Unit(StrEnum):
    """Whose presence is hidden: neighbouring datasets differ by adding or removing one such unit."""

    ROW = "row"
    COUNTERPARTY = "counterparty"
    SERIES = "series"
    MEMBER = "member"


_INSIDE: dict[Unit, tuple[Unit, ...]] = {
    Unit.ROW: (),
    Unit.COUNTERPARTY: (Unit.ROW,),
    Unit.SERIES: (Unit.ROW,),
    Unit.MEMBER: (Unit.COUNTERPARTY, Unit.SERIES, Unit.ROW),
}


def charged_to(unit: Unit | str) -> dict[Unit, int]:
    """Whose accounts a release that hides one `unit` is charged to: unit -> factor on its rho.

    Its own once, and every finer unit inside it four times: one row more or less turns a counterparty's clipped
    contribution into another one, which is a removal and an addition, so the sum moves by up to twice the
    sensitivity and rho grows with its square.
    """
    return {Unit(unit): 1} | dict.fromkeys(_INSIDE[Unit(unit)], 4)


@dataclass(frozen=True, slots=True)
class Spend:
    """One release of one round: `rho_nano` is 1e9 times its zCDP rho, rounded up."""

    dataset: str
    unit: Unit
    partition: Partition
    rho_nano: int
    run: str
    round: int


def seen_by_sum(rounds: Iterable[tuple[int, Sequence[int]]]) -> int:
    """Nano-rho that whoever sees only the sums holds: of each round (sensitivity, sigma of each honest survivor).

    The noise of honest survivors adds up, so a round costs D^2 / (2 sum of sigma^2), rounded up. Drop-outs and
    unequal sigmas count, which a division of rho by the number of members would not see.
    """
    return sum(-(-(10**9) * reach * reach // (2 * sum(s * s for s in sigmas))) for reach, sigmas in rounds)


def insider_recognition(rho_nano: int, outsider_error: float = 0.01) -> float:
    """Share of insiders recognised by someone wrong at most `outsider_error` of the time on outsiders.

    Exact for one Gaussian mechanism with mu = sqrt(2 rho) (Dong, Roth, Su 2022).
    """
    normal = NormalDist()
    return normal.cdf(normal.inv_cdf(outsider_error) + sqrt(2 * rho_nano / 1e9))
