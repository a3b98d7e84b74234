"""How often somebody may do a thing: so many at once, then so many a second."""

from __future__ import annotations

from collections import OrderedDict

MOST_KNOWN = 4096  # callers remembered by TokenBuckets; the one that came longest ago is forgotten


class TokenBuckets:
    """A token bucket a caller."""

    def __init__(self, per_s: float, burst: float):
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def wait(self, caller: str, now: float, most: float = 0.0) -> float | None:
        """Seconds until one more is in pace; None, and nothing is counted, if they are more than `most`."""
        left, at = self._left.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        wait = max(0.0, (1 - left) / self._per_s)
        if wait > most:
            return None
        self._left[caller] = left - 1, now
        self._left.move_to_end(caller)
        if len(self._left) > MOST_KNOWN:
            self._left.popitem(last=False)
        return wait
