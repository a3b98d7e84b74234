"""Where a party keeps its folder unless it is told."""

from __future__ import annotations

from pathlib import Path


def default_home(party: str) -> Path:
    """Below the user's own folder; below the current one for a user who has none, as services and containers may."""
    try:
        user = Path.home()
    except RuntimeError:
        user = Path()
    return user / ".local" / "share" / "mengbang" / party
