"""A Spend says what one release costs, before the noise exists. Integers only: nano-rho of zCDP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Partition = Literal["train", "holdout"]


class Unit(StrEnum):
    """Whose presence is hidden: neighbouring datasets differ by adding or removing one such unit."""

    ROW = "row"
    COUNTERPARTY = "counterparty"
    SERIES = "series"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Spend:
    """One release of one round: `rho_nano` is 1e9 times its zCDP rho, rounded up."""

    dataset: str
    unit: Unit
    partition: Partition
    rho_nano: int
    run: str
    round: int


def total(spends: Iterable[Spend], dataset: str, unit: Unit, partition: Partition) -> int:
    """Nano-rho charged to one account; zCDP composes by addition (Bun and Steinke 2016, lemma 1.7)."""
    account = (dataset, unit, partition)
    return sum(s.rho_nano for s in spends if (s.dataset, s.unit, s.partition) == account)
