"""A service's warnings of a certificate that ends: for its log, which an auditor neither has nor installs."""

from __future__ import annotations

from datetime import datetime

from contracts.wording import filled
from shell.certificates import stage, warning
from shell.log_lines import log_event


class Warned:
    """Says it in a log once at each of 60, 30 and 7 days, and at the end."""

    def __init__(self, do: str):
        self._do = do
        self._stage: int | None = None

    def look(self, ends: datetime | None, now: datetime) -> None:
        """Warn if a stage was reached since the last look."""
        told = warning(ends, now) if ends else None
        reached = stage(ends, now) if ends else None
        if told and reached != self._stage:
            log_event.warning(filled(*told), do=self._do)
        self._stage = reached
