"""What the services write into their log: one line an event, and where a failure happened; never the values at hand.

structlog by itself shows every local variable of a traceback (rows of a member among them) and
texts of others as they are.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

from contracts.wording import visible, visible_lines

_TRACE = "exception"


class LineFormatter(logging.Formatter):
    """The same of what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return visible_lines(super().format(record)).replace("\n", "\n    ")


_LIBRARIES = {"handlers": ["stderr"], "level": "WARNING", "propagate": False}
LIBRARIES: dict[str, Any] = {  # what uvicorn configures when a server starts
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": LineFormatter, "fmt": "%(asctime)s [%(levelname)s] %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "lines"}},
    "loggers": {"uvicorn": _LIBRARIES, "asyncio": _LIBRARIES, "apscheduler": _LIBRARIES},
}


def _seen(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nothing that somebody else wrote begins a line or moves the cursor; lines of a traceback are set in."""
    for name, value in event.items():
        if name == _TRACE:
            event[name] = "\n".join(f"    {line}" for line in visible_lines(value).split("\n"))
        elif not isinstance(value, int | float | None):
            event[name] = visible(str(value))
    return event


structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        _seen,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
log_event = structlog.get_logger()
