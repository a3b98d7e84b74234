"""The ReleasePlan: clip, noise, step and charge of a run as one signed object. Standard library only.

What must agree travels together: length and sensitivity are computed from the shape, rho from the
sensitivity and sigma, in exact integers, so that node, coordinator and auditor get the same number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from typing import ClassVar, Literal

from privacy.spend import Partition, Spend, Unit

_STRICT = {"extra": "forbid", "strict": True}
_NANO = 10**9
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?")


class PlanError(ValueError):
    """The plan contradicts itself or leaves the range in which its guarantee was derived."""


def decimal(text: str, name: str) -> Decimal:
    """A positive decimal in its plain spelling; PlanError otherwise."""
    if not _DECIMAL.fullmatch(text) or Decimal(text) <= 0:
        raise PlanError(f"{name} must be a positive decimal, got {text!r}")
    return Decimal(text)


@dataclass(frozen=True, slots=True)
class Gradients:
    """Sum over units of per-unit gradients, each clipped to L2 norm `clip`; `length` numbers."""

    __pydantic_config__: ClassVar = _STRICT
    family: Literal["gradients"]
    length: int
    clip: str


@dataclass(frozen=True, slots=True)
class Adam:
    """Server step: Adam at `rate`; the released model is the mean of the last `tail` rounds."""

    __pydantic_config__: ClassVar = _STRICT
    rule: Literal["adam"]
    rate: str
    tail: int


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """Every release of a run is one Gaussian mechanism over all units (full participation, no sampling).

    `sigma_steps` and the sensitivity are in grid steps, 2**grid_bits of which make one clip norm.
    Neighbouring relation: add or remove one `unit`. `max_units` bounds the float64 summation slack.
    """

    __pydantic_config__: ClassVar = _STRICT
    task: str
    dataset: str
    unit: Unit
    partition: Partition
    releases: int
    shape: Gradients
    sigma_steps: int
    grid_bits: int
    delta: str
    max_units: int
    max_rows_per_unit: int
    step: Adam

    def length(self) -> int:
        """How many numbers one contribution has."""
        return self.shape.length

    def sensitivity_steps(self) -> int:
        """L2 sensitivity of the rounded sum in grid steps, for adding or removing one unit."""
        return sensitivity_steps(self.shape.length, self.grid_bits, self.max_units)

    def rho_nano(self) -> int:
        """Cost of one release: ceil(1e9 * sensitivity^2 / (2 sigma^2)) (Bun and Steinke 2016, prop. 1.6)."""
        return rho_nano(self.sensitivity_steps(), self.sigma_steps)

    def total_rho_nano(self) -> int:
        """Cost of all releases of the run."""
        return self.releases * self.rho_nano()

    def spend(self, run: str, round: int) -> Spend:
        """The charge of one round."""
        return Spend(self.dataset, self.unit, self.partition, self.rho_nano(), run, round)

    def check(self) -> None:
        """Raise PlanError unless every field lies in the range for which the guarantee holds."""
        decimal(self.shape.clip, "clip")
        decimal(self.step.rate, "rate")
        if not re.fullmatch(r"1e-([5-9]|1[0-2])", self.delta):
            raise PlanError(f"delta must be 1e-5 ... 1e-12, got {self.delta!r}")
        for name, value, low, high in (
            ("releases", self.releases, 1, 1000),
            ("length", self.shape.length, 1, 5_000_000),
            ("grid_bits", self.grid_bits, 10, 24),
            ("max_units", self.max_units, 1, 2_000_000),
            ("max_rows_per_unit", self.max_rows_per_unit, 1, 10_000),
            ("tail", self.step.tail, 1, self.releases),
            ("sigma_steps", self.sigma_steps, 2**8, 2**52),
        ):
            if not low <= value <= high:
                raise PlanError(f"{name} must lie in {low} ... {high}, got {value}")


def sensitivity_steps(length: int, grid_bits: int, max_units: int) -> int:
    """Grid steps by which one unit can move the rounded sum of clipped float64 gradients.

    One clip norm; sqrt(length) because rounding moves each of two neighbours by half a step a
    coordinate; and twice n^2 u clip for the error of a float64 sum of n vectors in any order
    (|fl(sum) - sum| <= n u sum|x| a coordinate, Higham 2002, section 4.2), with u = 2**-53.
    """
    clip_steps = 1 << grid_bits
    summation = -(-(max_units * max_units * clip_steps * 2) // (1 << 53))
    norm_slack = 1 + (clip_steps >> 40)
    return clip_steps + isqrt(length - 1) + 1 + summation + norm_slack


def rho_nano(sensitivity: int, sigma: int) -> int:
    """Nano-rho of a Gaussian with integer `sensitivity` and `sigma`, rounded up."""
    return -(-(_NANO * sensitivity * sensitivity) // (2 * sigma * sigma))


def sigma_for(cap_nano: int, *, releases: int, length: int, grid_bits: int, max_units: int) -> int:
    """The smallest sigma in grid steps with which `releases` releases together cost at most `cap_nano`."""
    each = cap_nano // releases
    if each < 1:
        raise PlanError(f"a budget of {cap_nano} nano-rho does not hold {releases} releases")
    sensitivity = sensitivity_steps(length, grid_bits, max_units)
    # ceil(N D^2 / (2 s^2)) <= each  <=>  s^2 >= N D^2 / (2 each)
    square = -(-(_NANO * sensitivity * sensitivity) // (2 * each))
    return isqrt(square - 1) + 1
