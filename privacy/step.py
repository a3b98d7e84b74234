"""The server step of each family: integer sum in, model out, the same bits for coordinator, node and auditor.

Standard library only. Each operation is one float64 + - * / or sqrt, which IEEE 754 fixes completely, in an
order that is written here, so nothing depends on a library, a thread count or the order of members.
A state is one flat float64 array: what the next round's step must know beside its sum.
"""

from __future__ import annotations

from array import array
from math import sqrt

from privacy.encoding import from_grid
from privacy.plan import MAX_LENGTH, Adam, Boost, Gradients, Histogram, Moments, ReleasePlan, Ridge, Trees

_BETA1, _BETA2, _FLOOR = 0.9, 0.99, 1e-8
_FARTHEST = 2.0  # log-odds: beyond that a Newton step of a logistic overshoots
HESSIAN_WEIGHT = 3.0  # see plan.Trees: the Hessian travels times three


def start_state(plan: ReleasePlan, model: array[float]) -> array[float]:
    """The state before the first round, from the start model; ValueError if that does not fit the shape."""
    match plan.shape:
        case Gradients():
            _expect(len(model), plan.length(), "start model")
            return model + array("d", bytes(24 * len(model))) + array("d", (1.0, 1.0, 0.0))
        case Trees() as shape:
            _expect(len(model), 1, "start model")
            return model + array("d", bytes(8 * plan.releases * shape.leaves()))
        case Moments() as shape:
            _expect(len(model), shape.inputs + 1, "start model")
            return model
        case Histogram():
            return model


def fits(plan: ReleasePlan, length: int) -> bool:
    """Is a model of so many numbers one that a round of this plan may begin with? A histogram judges
    the model of another plan."""
    match plan.shape:
        case Gradients():
            return length == plan.length()
        case Trees() as shape:
            return length in (1, 1 + plan.releases * shape.leaves())
        case Moments() as shape:
            return length == shape.inputs + 1
        case Histogram():
            return True


def longest(plan: ReleasePlan) -> int:
    """No contribution, sum, model or state of a round of this plan has more numbers. A histogram judges
    the model of another plan."""
    match plan.shape:
        case Gradients():
            return 4 * plan.length() + 3
        case Trees() as shape:
            return max(plan.length(), 1 + plan.releases * shape.leaves())
        case Moments():
            return plan.length()
        case Histogram():
            return 4 * MAX_LENGTH + 3


def advance(plan: ReleasePlan, state: array[float], total: array[int], round: int) -> tuple[array[float], array[float]]:
    """(model of this round, next state) from the sum of contributions in grid steps, `(length,)`.

    No count of members or units enters. ValueError on a wrong length or a round outside the plan.
    """
    _expect(len(total), plan.length(), "sum")
    if not 1 <= round <= plan.releases:
        raise ValueError(f"round {round} is not one of {plan.releases}")
    sums = from_grid(total, plan.shape.clip, plan.grid_bits)
    match plan.step:
        case Adam() as step:
            return _adam(step, state, sums, round, plan.releases)
        case Boost() as step:
            assert isinstance(plan.shape, Trees)
            _expect(len(state), 1 + plan.releases * plan.shape.leaves(), "state")
            model = _boost(step, plan.shape, state, sums, round)
        case Ridge() as step:
            model = _ridge(step, sums, len(state))
        case _:
            model = state
    return model, model


def _adam(
    step: Adam, state: array[float], sums: array[float], round: int, releases: int
) -> tuple[array[float], array[float]]:
    """State: iterate, first and second moment, sum of the tail (each of the model's length), the two decay
    products that correct the bias, and how many rounds the tail holds. The model of the last round is the
    mean of the recorded iterates among the last `tail` rounds."""
    size = len(sums)
    _expect(len(state), 4 * size + 3, "state")
    decay1, decay2, averaged = state[-3] * _BETA1, state[-2] * _BETA2, state[-1]
    rate = float(step.rate)
    iterate, first, second = array("d"), array("d"), array("d")
    for x, m, v, gradient in zip(state[:size], state[size : 2 * size], state[2 * size : 3 * size], sums, strict=True):
        m = _BETA1 * m + (1.0 - _BETA1) * gradient
        v = _BETA2 * v + (1.0 - _BETA2) * (gradient * gradient)
        first.append(m)
        second.append(v)
        iterate.append(x - rate * (m / (1.0 - decay1)) / (sqrt(v / (1.0 - decay2)) + _FLOOR))
    tail = state[3 * size : 4 * size]
    if round > releases - step.tail:
        tail, averaged = array("d", (a + b for a, b in zip(tail, iterate, strict=True))), averaged + 1.0
    model = array("d", (a / averaged for a in tail)) if round == releases else iterate
    return model, iterate + first + second + tail + array("d", (decay1, decay2, averaged))


def _boost(step: Boost, shape: Trees, state: array[float], sums: array[float], round: int) -> array[float]:
    """The model is the start's log-odds and then every leaf of every round, zero where a round is to come."""
    rate, ridge, first = float(step.rate) / shape.trees, float(step.ridge), 1 + (round - 1) * shape.leaves()
    model = array("d", state)
    for leaf in range(shape.leaves()):
        gradient, hessian = sums[2 * leaf], sums[2 * leaf + 1] / HESSIAN_WEIGHT
        newton = -gradient / (max(hessian, 0.0) + ridge)
        model[first + leaf] = rate * min(max(newton, -_FARTHEST), _FARTHEST)
    return model


def _ridge(step: Ridge, sums: array[float], size: int) -> array[float]:
    """Weights and intercept `w` with (A + ridge I) w = b, where A and b are blocks of the noisy triangle.

    Cholesky row by row (Golub and Van Loan 2013, section 4.2); a pivot that noise made smaller than the
    penalty is set to it, so the step is total.
    """
    rows = _triangle(sums, size + 1)
    penalty, factor = float(step.ridge), list[list[float]]()
    for i in range(size):
        row = list[float]()
        for j in range(i + 1):
            value = rows[j][i - j]
            for a, b in zip(row, factor[j] if j < i else row, strict=False):
                value -= a * b
            row.append(value / factor[j][j] if j < i else sqrt(max(value + penalty, penalty)))
        factor.append(row)
    solved = [rows[i][size - i] for i in range(size)]
    for i in range(size):
        for j in range(i):
            solved[i] -= factor[i][j] * solved[j]
        solved[i] /= factor[i][i]
    for i in reversed(range(size)):
        for j in range(i + 1, size):
            solved[i] -= factor[j][i] * solved[j]
        solved[i] /= factor[i][i]
    return array("d", solved)


def _triangle(sums: array[float], size: int) -> list[array[float]]:
    """Rows of the upper triangle: row i holds columns i to `size` - 1."""
    rows, at = [], 0
    for i in range(size):
        rows.append(sums[at : at + size - i])
        at += size - i
    return rows


def _expect(got: int, expected: int, what: str) -> None:
    if got != expected:
        raise ValueError(f"a {what} of {got} numbers, expected {expected}")
