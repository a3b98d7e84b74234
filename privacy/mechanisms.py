"""The lattice Gaussian: the one door for vectors, and OpenDP the one source of noise behind it.

OpenDP samples the discrete Gaussian exactly from the operating system's randomness; there is no seed,
flag or variable here that could weaken it. OpenDP checks neither finiteness nor, for plain vectors, the
length at invocation, so this module does.
"""

from __future__ import annotations

import os
from array import array
from math import sqrt

import numpy as np
import opendp.prelude as dp

from privacy.encoding import add, checked
from privacy.plan import PlanError, ReleasePlan

dp.enable_features("contrib")


class LatticeGaussian:
    """Releases of one plan, whatever its family: flat int64 grid sum in, the same with noise out.

    Neighbouring relation and sensitivity are the plan's. Raises PlanError if OpenDP's own privacy map
    finds a release dearer than the plan says.
    """

    def __init__(self, plan: ReleasePlan):
        plan.check()
        self._plan = plan
        space = dp.vector_domain(dp.atom_domain(T="i64"), size=plan.length()), dp.l2_distance(T="f64")
        self._noise = space >> dp.m.then_gaussian(scale=float(plan.sigma_steps))
        if self._noise.map(float(plan.sensitivity_steps())) * 1e9 > plan.rho_nano():
            raise PlanError("OpenDP's map finds this release dearer than the plan says")
        self._ahead: list[array[int]] = []
        self._drawn_by = os.getpid()

    def draw_ahead(self) -> None:
        """Draw the noise of one release now, so that its duration does not depend on data. Memory only,
        used once, and forgotten in a forked child."""
        self._forget_after_fork()
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
    """Refuse a broken sampler: scale, mean and independence of 4,096 draws, each within six standard errors.

    Raises RuntimeError. A correct sampler fails less than once in ten million starts.
    """
    space = dp.vector_domain(dp.atom_domain(T="i64"), size=2048), dp.l2_distance(T="f64")
    sigma = 2.0**20
    noise = space >> dp.m.then_gaussian(scale=sigma)
    first, second = noise([0] * 2048), noise([0] * 2048)
    n = 4096
    mean = sum(first + second) / n / sigma
    variance = sum(x * x for x in first + second) / n / sigma**2
    product = sum(x * y for x, y in zip(first, second, strict=True)) / 2048 / sigma**2
    if abs(mean) > 6 / sqrt(n) or abs(variance - 1) > 6 * sqrt(2 / n) or abs(product) > 6 / sqrt(2048):
        raise RuntimeError("the noise sampler of this machine is broken; nothing may be released with it")
