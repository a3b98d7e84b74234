"""rho <-> epsilon: the only place in the product where epsilon is computed (the auditor has its own)."""

from __future__ import annotations

from functools import cache
from math import isfinite, log, sqrt

from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

from privacy.plan import PlanError

enable_features("contrib")  # opendp.prelude would load scikit-learn: a second of every command

_LARGEST = 10**13  # nano-rho: epsilon 10,700, beyond which OpenDP's curve has no numbers; a log may hold any


@cache
def epsilon(rho_nano: int, delta: str) -> float:
    """Epsilon at `delta` of a zCDP loss, by OpenDP's proven curve (Canonne, Kamath, Steinke 2020); of a loss that hides
    nothing by the plain bound (Bun and Steinke 2016, proposition 1.3). PlanError for a delta that is none."""
    if not 0 < float(delta) < 1:
        raise PlanError(f"delta must lie between 0 and 1, got {delta}")
    if rho_nano == 0:
        return 0.0
    if rho_nano > _LARGEST:
        rho = rho_nano / 1e9
        return rho + 2 * sqrt(rho * log(1 / float(delta)))
    space = vector_domain(atom_domain(T="i64"), size=1), l2_distance(T="f64")
    unit_loss = make_gaussian(*space, scale=1 / sqrt(2))
    return float(make_zCDP_to_approxDP(unit_loss).map(sqrt(rho_nano / 1e9)).epsilon(float(delta)))


@cache
def rho_cap(target: str, delta: str) -> int:
    """The largest nano-rho whose epsilon at `delta` stays within `target` (a decimal), rounded down. PlanError for a
    target or delta that is none."""
    limit, low, high = float(target), 0, 1
    if not isfinite(limit):
        raise PlanError(f"epsilon must be a number, got {target}")
    while epsilon(high, delta) <= limit:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon(middle, delta) <= limit else (low, middle)
    return low
