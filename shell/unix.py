"""What only Unix systems can do, in one place; elsewhere each of these does nothing."""

from __future__ import annotations

from contextlib import suppress


def raise_file_limit() -> None:
    """As many open connections as the system grants a process."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_memory(most: int) -> None:
    """This process gets no more address space than that: what asks for more fails instead of taking the machine's."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))
