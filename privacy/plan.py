"""The ReleasePlan: clip, noise, step and charge of a run as one signed object. Standard library only.

What must agree travels together. Length and sensitivity follow from the shape, rho from the sensitivity and
sigma, in exact integers: node, coordinator and auditor call the same functions and get the same numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isqrt
from typing import ClassVar, Literal

from privacy.spend import Partition, Spend, Unit

_STRICT = {"extra": "forbid", "strict": True}
_NANO = 10**9
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?")
MAX_LENGTH = 5_000_000
GRID_BITS = 20


class PlanError(ValueError):
    """The plan contradicts itself or leaves the range in which its guarantee was derived."""


def decimal(text: str, name: str) -> Decimal:
    """A positive decimal in its plain spelling; PlanError otherwise."""
    if not _DECIMAL.fullmatch(text) or Decimal(text) <= 0:
        raise PlanError(f"{name} must be a positive decimal, got {text!r}")
    return Decimal(text)


def within(name: str, value: int, low: int, high: int) -> None:
    """PlanError unless `low <= value <= high`."""
    if not low <= value <= high:
        raise PlanError(f"{name} must lie in {low} ... {high}, got {value}")


@dataclass(frozen=True, slots=True)
class Gradients:
    """Gradient of a network of Linear layers, `(inputs, outputs)` each, by the mean loss of a unit's rows.

    A unit's vector is clipped to L2 norm `clip`.
    """

    __pydantic_config__: ClassVar = _STRICT
    family: Literal["gradients"]
    layers: tuple[tuple[int, int], ...]
    clip: str

    def length(self) -> int:
        """Weights and biases of all layers."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers)

    def parts(self) -> int:
        """The vector is clipped as a whole."""
        return 1

    def check(self) -> None:
        """PlanError unless every field is in range."""
        within("layers", len(self.layers), 1, 64)
        for sizes in self.layers:
            for size in sizes:
                within("a layer's width", size, 1, 100_000)
        decimal(self.clip, "clip")


@dataclass(frozen=True, slots=True)
class Trees:
    """Logistic gradient and Hessian per leaf of `trees` new trees a round, whose splits nobody learned.

    All splits are hashed from the public text `splits`. A row falls into one leaf of each tree, where it adds
    (g, 3 h), g = p - y and h = p (1 - p). Since p^2 (1 + 9 (1 - p)^2) <= 1 for 0 <= p <= 1, that has L2 norm at
    most 1 (`clip`) in each tree, nothing needs clipping, and a unit's mean over its rows has it too.
    """

    __pydantic_config__: ClassVar = _STRICT
    family: Literal["trees"]
    splits: str
    trees: int
    depth: int

    @property
    def clip(self) -> str:
        """Bound of one unit in one tree."""
        return "1"

    def leaves(self) -> int:
        """Leaves of all trees of one round."""
        return self.trees << self.depth

    def length(self) -> int:
        """Two sums a leaf."""
        return 2 * self.leaves()

    def parts(self) -> int:
        """Each tree holds one bounded vector of the unit."""
        return self.trees

    def check(self) -> None:
        """PlanError unless every field is in range."""
        if not re.fullmatch(r"[0-9a-f]{32}", self.splits):
            raise PlanError("splits must be 32 hexadecimal digits")
        within("trees", self.trees, 1, 1000)
        within("depth", self.depth, 1, 8)


@dataclass(frozen=True, slots=True)
class Moments:
    """Upper triangle of z z^T with z = (inputs, 1, label), mean over a unit's rows, clipped to L2 norm `clip`."""

    __pydantic_config__: ClassVar = _STRICT
    family: Literal["moments"]
    inputs: int
    clip: str

    def length(self) -> int:
        """Numbers in the triangle."""
        return (self.inputs + 2) * (self.inputs + 3) // 2

    def parts(self) -> int:
        """The vector is clipped as a whole."""
        return 1

    def check(self) -> None:
        """PlanError unless every field is in range."""
        within("inputs", self.inputs, 1, 2000)
        decimal(self.clip, "clip")


@dataclass(frozen=True, slots=True)
class Histogram:
    """One model's scores on the holdout, counted per class and bin, beside `models` - 1 others.

    First `classes` times `bins` counts; then for each other model two: how far it is better, and how far worse,
    as shares of a unit. A unit's counts of the scores add to 1, and so do its two counts beside each other model.
    """

    __pydantic_config__: ClassVar = _STRICT
    family: Literal["histogram"]
    models: int
    classes: int
    bins: int

    @property
    def clip(self) -> str:
        """Bound of one unit in the counts of one model."""
        return "1"

    def length(self) -> int:
        """Counts of the scores, then of each comparison."""
        return self.classes * self.bins + 2 * (self.models - 1)

    def parts(self) -> int:
        """The scores, and each comparison, hold one bounded vector of the unit."""
        return self.models

    def check(self) -> None:
        """PlanError unless every field is in range."""
        within("models", self.models, 1, 16)
        within("classes", self.classes, 1, 16)
        within("bins", self.bins, 2, 1024)


Shape = Gradients | Trees | Moments | Histogram


@dataclass(frozen=True, slots=True)
class Adam:
    """Step of gradients: Adam at `rate`; the released model is the mean of the last `tail` rounds."""

    __pydantic_config__: ClassVar = _STRICT
    rule: Literal["adam"]
    rate: str
    tail: int


@dataclass(frozen=True, slots=True)
class Boost:
    """Step of trees: a leaf becomes -(rate / trees) G / (max(H, 0) + ridge)."""

    __pydantic_config__: ClassVar = _STRICT
    rule: Literal["boost"]
    rate: str
    ridge: str


@dataclass(frozen=True, slots=True)
class Ridge:
    """Step of moments: least squares of the label on the inputs with penalty `ridge`, by Cholesky."""

    __pydantic_config__: ClassVar = _STRICT
    rule: Literal["ridge"]
    ridge: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Step of a histogram: nothing is learned, the model stays as it is."""

    __pydantic_config__: ClassVar = _STRICT
    rule: Literal["tally"]


Step = Adam | Boost | Ridge | Tally
_STEP_OF = {Gradients: Adam, Trees: Boost, Moments: Ridge, Histogram: Tally}


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """Every release of a run is one Gaussian mechanism over all units (full participation, no sampling).

    `sigma_steps` and the sensitivity are in grid steps, 2**grid_bits of which make one clip norm.
    Neighbouring relation: add or remove one `unit`. `max_units` bounds the float64 summation slack.
    `rho_total_nano` states what the whole run costs; `check` computes it again.
    """

    __pydantic_config__: ClassVar = _STRICT
    task: str
    dataset: str
    unit: Unit
    partition: Partition
    releases: int
    shape: Shape
    sigma_steps: int
    grid_bits: int
    delta: str
    max_units: int
    max_rows_per_unit: int
    step: Step
    rho_total_nano: int

    def length(self) -> int:
        """How many numbers one contribution has."""
        return self.shape.length()

    def sensitivity_steps(self) -> int:
        """L2 sensitivity of the rounded sum in grid steps, for adding or removing one unit."""
        return sensitivity_steps(self.shape, self.grid_bits, self.max_units)

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
        """Raise PlanError unless shape, step and cost agree and every field lies where the guarantee holds."""
        for name, value, low, high in (
            ("releases", self.releases, 1, 1000),
            ("grid_bits", self.grid_bits, 10, 24),
            ("max_units", self.max_units, 1, 2_000_000),
            ("max_rows_per_unit", self.max_rows_per_unit, 1, 1 if self.unit is Unit.ROW else 10_000),
            ("sigma_steps", self.sigma_steps, 2**8, 2**52),
        ):
            within(name, value, low, high)
        if not re.fullmatch(r"1e-([5-9]|1[0-2])", self.delta):
            raise PlanError(f"delta must be 1e-5 ... 1e-12, got {self.delta!r}")
        self.shape.check()
        within("length", self.length(), 1, MAX_LENGTH)
        _check_step(self)
        if self.rho_total_nano != self.total_rho_nano():
            raise PlanError(f"the run costs {self.total_rho_nano()} nano-rho, not the stated {self.rho_total_nano}")


def _check_step(plan: ReleasePlan) -> None:
    """The step belongs to the family; one release where one is all; a holdout is counted and nothing else."""
    if type(plan.step) is not _STEP_OF[type(plan.shape)]:
        raise PlanError(f"{plan.shape.family} are not stepped by {plan.step.rule}")
    match plan.step:
        case Adam(rate=rate, tail=tail):
            decimal(rate, "rate")
            within("tail", tail, 1, plan.releases)
        case Boost(rate=rate, ridge=ridge):
            decimal(rate, "rate")
            decimal(ridge, "ridge")
        case Ridge(ridge=ridge):
            decimal(ridge, "ridge")
    if isinstance(plan.step, Ridge | Tally) and plan.releases != 1:
        raise PlanError(f"{plan.shape.family} are one release, not {plan.releases}")
    if (plan.partition == "holdout") != isinstance(plan.shape, Histogram):
        raise PlanError(f"{plan.shape.family} are not released from the {plan.partition} partition")


def sensitivity_steps(shape: Shape, grid_bits: int, max_units: int) -> int:
    """Grid steps by which one unit can move the rounded sum of bounded float64 vectors.

    One clip norm a part of the vector, so sqrt(parts) of them; sqrt(length) because rounding moves each of
    two neighbours by half a step a coordinate; and twice n^2 u times the bound for the error of a float64 sum
    of n vectors in any order (|fl(sum) - sum| <= n u sum|x| a coordinate, Higham 2002, section 4.2), u = 2**-53.
    """
    bound = isqrt((shape.parts() << (2 * grid_bits)) - 1) + 1
    summation = -(-(max_units * max_units * bound * 2) // (1 << 53))
    norm_slack = 1 + (bound >> 40)
    return bound + isqrt(shape.length() - 1) + 1 + summation + norm_slack


def rho_nano(sensitivity: int, sigma: int) -> int:
    """Nano-rho of a Gaussian with integer `sensitivity` and `sigma`, rounded up."""
    return -(-(_NANO * sensitivity * sensitivity) // (2 * sigma * sigma))


def sigma_for(cap_nano: int, *, releases: int, shape: Shape, grid_bits: int, max_units: int) -> int:
    """The smallest sigma in grid steps with which `releases` releases together cost at most `cap_nano`."""
    each = cap_nano // releases
    if each < 1:
        raise PlanError(f"a budget of {cap_nano} nano-rho does not hold {releases} releases")
    sensitivity = sensitivity_steps(shape, grid_bits, max_units)
    # ceil(N D^2 / (2 s^2)) <= each  <=>  s^2 >= N D^2 / (2 each)
    square = -(-(_NANO * sensitivity * sensitivity) // (2 * each))
    return isqrt(square - 1) + 1


def planned(
    cap_nano: int,
    *,
    task: str,
    dataset: str,
    unit: Unit,
    shape: Shape,
    step: Step,
    releases: int,
    delta: str,
    max_units: int,
    max_rows_per_unit: int,
) -> ReleasePlan:
    """The plan with the least noise for which all its releases together cost at most `cap_nano`."""
    sigma = sigma_for(cap_nano, releases=releases, shape=shape, grid_bits=GRID_BITS, max_units=max_units)
    partition: Partition = "holdout" if isinstance(shape, Histogram) else "train"
    plan = ReleasePlan(
        task=task,
        dataset=dataset,
        unit=unit,
        partition=partition,
        releases=releases,
        shape=shape,
        sigma_steps=sigma,
        grid_bits=GRID_BITS,
        delta=delta,
        max_units=max_units,
        max_rows_per_unit=max_rows_per_unit,
        step=step,
        rho_total_nano=0,
    )
    return stated(plan)


def stated(plan: ReleasePlan) -> ReleasePlan:
    """The plan with its cost written in."""
    return replace(plan, rho_total_nano=plan.total_rho_nano())
