"""The release gate: does a new model do harm on units that nobody trained on? Exact integers, from one noisy sum.

An evaluation releases one joint histogram of holdout units (plan.Histogram). Its two counts beside another model
say how far that one is better and worse than the candidate, unit by unit: pairing cancels what all models find
hard, and two counts carry little noise. Everyone who holds the sum can decide again.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import isqrt

from contracts.statements.statements import Compared, GateVerdict
from privacy.plan import Histogram, ReleasePlan

SPREAD = Fraction(1, 2)  # a unit's difference in loss counts at most this much, either way
MARGIN = Fraction(1, 200)  # loss a unit that a new model may cost before it counts as worse
_ERRORS = 2  # standard errors of the noise that a verdict must clear


def judge(plan: ReleasePlan, total: Sequence[int], members: int, others: Sequence[str]) -> tuple[Compared, ...]:
    """The candidate against each of `others` (model digests, in the order of the counts), from the sum of
    `members` contributions in grid steps; ValueError if the sum is not the plan's."""
    shape = plan.shape
    if not isinstance(shape, Histogram) or len(total) != plan.length() or not others or shape.models != 1 + len(others):
        raise ValueError("the sum is not the histogram of this comparison")
    noise = members * plan.sigma_steps**2  # variance of one count of the sum
    beside = total[shape.classes * shape.bins :]
    held = sum(beside)  # each unit once a comparison, in grid steps, with noise of len(beside) counts
    told = held > 0 and held * held > _ERRORS**2 * noise * len(beside)
    units = Fraction(held, len(others)) if told else None
    pairs = zip(beside[::2], beside[1::2], others, strict=True)
    return tuple(_compare(worse - better, noise, units, other) for worse, better, other in pairs)


def _compare(net: int, noise: int, units: Fraction | None, other: str) -> Compared:
    """`net` is how far the candidate loses on balance; `units` is None if even their number drowns in the noise."""
    if units is None:
        return Compared(model=other, verdict="too-few", difference="0", band="0")
    lost, variance = SPREAD * net, SPREAD**2 * 2 * noise
    room = MARGIN * units - lost
    verdict: GateVerdict = "too-few"
    if lost > 0 and lost * lost > _ERRORS**2 * variance:
        verdict = "worse"
    elif room > 0 and room * room >= _ERRORS**2 * variance:
        verdict = "not-worse"
    band = _ERRORS * Fraction(isqrt(int(variance)) + 1) / units
    return Compared(model=other, verdict=verdict, difference=_text(lost / units), band=_text(band))


def _text(value: Fraction) -> str:
    """Six decimals, for people: the verdict was decided on the exact value."""
    rounded = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
    return f"{abs(rounded):f}" if rounded == 0 else f"{rounded:f}"


def verdict_of(compared: Sequence[Compared]) -> GateVerdict:
    """Worse than one is worse; not worse than all is not worse; anything else is too few to tell."""
    verdicts = {one.verdict for one in compared}
    return "worse" if "worse" in verdicts else "not-worse" if verdicts == {"not-worse"} else "too-few"
