"""The auditor's own arithmetic from rho to epsilon, with `math` only: a second opinion, not a copy."""

from __future__ import annotations

from math import exp, inf, log, log1p


def epsilon(rho: float, delta: float) -> float:
    """Smallest epsilon at `delta` of a rho-zCDP loss (Canonne, Kamath, Steinke 2020, proposition 7).

    Minimises (over the Rényi order a > 1) a rho + log1p(-1/a) - (log(delta) + log(a)) / (a - 1) ... by golden
    section on log(a - 1), where the function has one valley.
    """
    if rho == 0:
        return 0.0
    low, high = -20.0, 20.0
    ratio = (5**0.5 - 1) / 2
    for _ in range(200):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if _at(rho, delta, left) < _at(rho, delta, right) else (left, high)
    return max(0.0, _at(rho, delta, (low + high) / 2))


def _at(rho: float, delta: float, log_excess: float) -> float:
    excess = exp(log_excess)
    order = 1.0 + excess
    if order > 1e12:
        return inf
    return order * rho + log1p(-1.0 / order) - (log(delta) + log(order)) / excess
