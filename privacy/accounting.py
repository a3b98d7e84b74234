"""rho <-> epsilon: the only place in the product where epsilon is computed (the auditor has its own)."""

from __future__ import annotations

from functools import cache
from math import sqrt

from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

enable_features("contrib")  # opendp.prelude would load scikit-learn: a second of every command


@cache
def epsilon(rho_nano: int, delta: str) -> float:
    """Epsilon at `delta` of a zCDP loss, by OpenDP's proven curve (Canonne, Kamath, Steinke 2020)."""
    if rho_nano == 0:
        return 0.0
    space = vector_domain(atom_domain(T="i64"), size=1), l2_distance(T="f64")
    unit_loss = make_gaussian(*space, scale=1 / sqrt(2))
    return float(make_zCDP_to_approxDP(unit_loss).map(sqrt(rho_nano / 1e9)).epsilon(float(delta)))


@cache
def rho_cap(target: str, delta: str) -> int:
    """The largest nano-rho whose epsilon at `delta` stays within `target` (a decimal), rounded down."""
    limit, low, high = float(target), 0, 1
    while epsilon(high, delta) <= limit:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon(middle, delta) <= limit else (low, middle)
    return low
