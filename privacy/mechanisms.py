"""The lattice Gaussian: the one door for vectors, and OpenDP the one source of noise behind it.

OpenDP samples the discrete Gaussian exactly from the operating system's randomness; there is no seed,
flag or variable here that could weaken it. OpenDP checks neither finiteness nor, for plain vectors, the
length at invocation, so this module does.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from itertools import combinations
from math import sqrt
from statistics import NormalDist

import numpy as np
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import then_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

from privacy.encoding import add, checked
from privacy.plan import PlanError, ReleasePlan

enable_features("contrib")

_DRAWS, _SIGMA, _BINS = 8192, 2.0**20, 64


class LatticeGaussian:
    """Releases of one plan, whatever its family: flat int64 grid sum in, the same with noise out.

    Neighbouring relation and sensitivity are the plan's. Raises PlanError if OpenDP's own privacy map
    finds a release dearer than the plan says.
    """

    def __init__(self, plan: ReleasePlan):
        plan.check()
        self._plan = plan
        space = vector_domain(atom_domain(T="i64"), size=plan.length()), l2_distance(T="f64")
        self._noise = space >> then_gaussian(scale=float(plan.sigma_steps))
        if self._noise.map(float(plan.sensitivity_steps())) * 1e9 > plan.rho_nano():
            raise PlanError("OpenDP's map finds this release dearer than the plan says")
        self._ahead: list[array[int]] = []
        self._drawn_by = os.getpid()

    def draw_ahead(self) -> None:
        """Draw the noise of one release now, so that its duration does not depend on data; nothing if it waits already.
        Memory only, used once, and forgotten in a forked child."""
        self._forget_after_fork()
        if not self._ahead:
            self._ahead.append(self._draw())

    def release(self, total: np.ndarray) -> array[int]:
        """The exact grid sum `total`, int64 `(length,)`, plus noise.

        ValueError on another type or length, EncodingError if the sum leaves the grid.
        """
        if total.dtype != np.int64 or total.shape != (self._plan.length(),):
            raise ValueError(f"expected int64 ({self._plan.length()},), got {total.dtype} {total.shape}")
        exact = checked(array("q", total.tobytes()))
        self._forget_after_fork()
        return add((exact, self._ahead.pop() if self._ahead else self._draw()))

    def _draw(self) -> array[int]:
        return array("q", self._noise([0] * self._plan.length()))

    def _forget_after_fork(self) -> None:
        if self._drawn_by != os.getpid():
            self._ahead.clear()
            self._drawn_by = os.getpid()


def self_test() -> None:
    """Refuse a broken sampler: RuntimeError unless three times 8,192 draws of OpenDP look like fresh Gaussian noise.

    Variance and mean, counts in 64 bins of equal probability (chi-square), the lowest bit, neighbouring
    coordinates, two calls, and a call in a forked child. Every limit is six standard errors: a correct
    sampler fails less than once in ten million starts. Takes about two seconds at most.
    """
    space = vector_domain(atom_domain(T="i64"), size=_DRAWS), l2_distance(T="f64")
    noise = space >> then_gaussian(scale=_SIGMA)
    calls = [np.array(noise([0] * _DRAWS)), np.array(noise([0] * _DRAWS)), *_of_a_child(noise)]
    if any(not _is_gaussian(call) for call in calls) or any(not _apart(a, b) for a, b in combinations(calls, 2)):
        raise RuntimeError("the noise sampler of this machine is broken; nothing may be released with it")


def _of_a_child(noise: Callable[[list[int]], list[int]]) -> list[np.ndarray]:
    """What a forked child draws; nothing where the system cannot fork."""
    if not hasattr(os, "fork"):
        return []
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(array("q", noise([0] * _DRAWS)).tobytes())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        drawn = np.frombuffer(pipe.read(), dtype=np.int64)
    os.waitpid(child, 0)
    return [drawn if len(drawn) == _DRAWS else np.zeros(_DRAWS, dtype=np.int64)]


def _is_gaussian(draws: np.ndarray) -> bool:
    """Moments, shape, lowest bit and neighbouring coordinates of one call."""
    x, n = draws / _SIGMA, len(draws)
    edges = np.array([NormalDist().inv_cdf(share) for share in np.arange(1, _BINS) / _BINS])
    counts = np.bincount(np.searchsorted(edges, x), minlength=_BINS)
    surprise = float(np.square(counts - n / _BINS).sum() / (n / _BINS))
    return bool(
        abs(x.mean()) < 6 / sqrt(n)
        and abs(x.var() - 1) < 6 * sqrt(2 / n)
        and surprise < _BINS - 1 + 6 * sqrt(2 * (_BINS - 1))
        and abs((draws & 1).mean() - 0.5) < 3 / sqrt(n)
        and _apart(draws[1:], draws[:-1])
    )


def _apart(first: np.ndarray, second: np.ndarray) -> bool:
    """No correlation between two lots of draws."""
    return bool(abs((first / _SIGMA * (second / _SIGMA)).mean()) < 6 / sqrt(len(first)))
