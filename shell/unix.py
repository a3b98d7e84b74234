"""What only Unix systems can do, in one place; elsewhere each of these does nothing."""

from __future__ import annotations

from contextlib import suppress


def raise_file_limit() -> None:
    """As many open connections as the system grants a process."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
