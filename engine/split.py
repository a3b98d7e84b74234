"""Training and holdout by keyed hash of the unit, so that a unit never stands on both sides."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np

HOLDOUT_SHARE = 0.2
MEMBER = "member"  # the name of the one unit of a table whose unit is the whole member


def holdout(units: Sequence[str], key: bytes) -> np.ndarray:
    """True for rows whose unit is held out, `(rows,)`. The whole member is not: one in five would never teach."""
    return np.array([name != MEMBER and _share(key, name) < HOLDOUT_SHARE for name in units], dtype=bool)


def _share(key: bytes, name: str) -> float:
    return int.from_bytes(hmac.new(key, b"holdout/" + name.encode(), hashlib.sha256).digest()[:7], "big") / 2**56
