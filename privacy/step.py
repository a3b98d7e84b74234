"""The server step: integer sum in, model out, the same bits for coordinator, node and auditor.

Standard library only. Each operation is one float64 + - * / or sqrt on one coordinate, which IEEE 754
fixes completely, so nothing depends on a library, a thread count or the order of members.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import sqrt

from privacy.encoding import step_size
from privacy.plan import ReleasePlan

_BETA1, _BETA2, _FLOOR = 0.9, 0.99, 1e-8


@dataclass(frozen=True, slots=True)
class StepState:
    """What Adam remembers: raw iterate, first and second moment, running sum of the tail (each of the
    model's length), the two decay products that correct its bias, and how many rounds the tail holds."""

    iterate: array[float]
    first: array[float]
    second: array[float]
    tail: array[float]
    decay1: float
    decay2: float
    averaged: float

    def values(self) -> array[float]:
        """One flat float64 array: iterate, first, second, tail, decay1, decay2, averaged."""
        flat = array("d")
        for part in (self.iterate, self.first, self.second, self.tail):
            flat.extend(part)
        flat.extend((self.decay1, self.decay2, self.averaged))
        return flat


def start_state(model: array[float]) -> StepState:
    """The state before the first round."""
    zeros = array("d", bytes(8 * len(model)))
    return StepState(model, zeros, zeros, zeros, 1.0, 1.0, 0.0)


def state_from(values: array[float]) -> StepState:
    """The state whose `values()` these are; ValueError if the length fits no model."""
    length, rest = divmod(len(values) - 3, 4)
    if rest or length < 1:
        raise ValueError(f"{len(values)} numbers are not a step state")
    parts = [values[i * length : (i + 1) * length] for i in range(4)]
    iterate, first, second, tail = parts
    return StepState(iterate, first, second, tail, values[-3], values[-2], values[-1])


def advance(plan: ReleasePlan, state: StepState, total: array[int], round: int) -> tuple[array[float], StepState]:
    """One round of Adam on the sum of contributions: (model of this round, next state).

    `total` is in grid steps, `(length,)`. Adam divides the sum by its own running size, so no count of
    members or units enters. The model of the last round is the mean of the recorded iterates among the
    last `tail` rounds.
    """
    if not len(total) == len(state.iterate) == plan.length():
        raise ValueError(f"expected {plan.length()} numbers, got {len(total)} for a model of {len(state.iterate)}")
    step, rate = step_size(plan.shape.clip, plan.grid_bits), float(plan.step.rate)
    decay1, decay2 = state.decay1 * _BETA1, state.decay2 * _BETA2
    iterate, first, second = array("d"), array("d"), array("d")
    for x, m, v, t in zip(state.iterate, state.first, state.second, total, strict=True):
        gradient = t * step
        m = _BETA1 * m + (1.0 - _BETA1) * gradient
        v = _BETA2 * v + (1.0 - _BETA2) * (gradient * gradient)
        first.append(m)
        second.append(v)
        iterate.append(x - rate * (m / (1.0 - decay1)) / (sqrt(v / (1.0 - decay2)) + _FLOOR))
    tail, averaged = state.tail, state.averaged
    if round > plan.releases - plan.step.tail:
        tail, averaged = array("d", (a + b for a, b in zip(tail, iterate, strict=True))), averaged + 1.0
    model = array("d", (a / averaged for a in tail)) if round == plan.releases else iterate
    return model, StepState(iterate, first, second, tail, decay1, decay2, averaged)
