"""When a contribution leaves: at fixed offsets from the question, so that its time says little
about the rows behind it."""

from __future__ import annotations

FIRST_S = 2.0  # of a run: the member's files are read and checked, and no noise is drawn ahead yet
STEADY_S = 0.25


class SendSlots:
    """One node's slots. A contribution leaves FIRST_S after the first question of a run, STEADY_S after each later one;
    what takes longer leaves after twice, four times, ... as long, and the run keeps that slot: all that the time can
    tell is the power of two."""

    def __init__(self) -> None:
        self._slots: dict[str, float] = {}

    def left(self, run: str, elapsed_s: float) -> float:
        """Seconds to wait, for a contribution that is ready `elapsed_s` after its question."""
        begun, slot = run in self._slots, self._slots.get(run, FIRST_S)
        while slot < elapsed_s:
            slot *= 2
        self._slots[run] = slot if begun else STEADY_S
        return slot - elapsed_s
