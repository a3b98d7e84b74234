"""What only Unix systems can do, in one place; elsewhere each of these does nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from contracts.errors import Unavailable
from contracts.wording import N_

PRIVATE, OTHERS = 0o077, 0o077  # of new files, and what others may do with a file that is there
PUBLIC_FILE, PUBLIC_FOLDER = 0o644, 0o755


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


def keep_private(home: Path) -> None:
    """Close a home that others can enter or read; Unavailable if it is somebody else's. Keys are not touched: who uses
    one refuses it, since it may have been read. Not checked on Windows, where access lists decide."""
    if os.name == "nt" or not home.is_dir():
        return
    for path in _opened(home):
        try:
            path.chmod(path.stat().st_mode & ~OTHERS)
        except FileNotFoundError:
            continue
        except OSError as error:
            is_locked = error.errno == errno.EROFS
            raise Unavailable(
                N_("{path} can be read by others"),
                why=N_("its disk is read-only, so nobody can change that")
                if is_locked
                else N_("it belongs to another user, who alone can change that"),
                do=N_("make the disk writable, then start again") if is_locked else N_("chmod -R go= {home}"),
                path=path,
                home=home,
            ) from error


def _opened(home: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(home):
        for path in (Path(folder), *(Path(folder, name) for name in names if Path(folder).name != "keys")):
            with suppress(FileNotFoundError):
                if path.lstat().st_mode & OTHERS and not path.is_symlink():
                    yield path


def publish(file: Path, folders: Iterable[Path]) -> None:
    """Let everybody read a file and enter these folders: they are for a web server."""
    if os.name != "nt":
        file.chmod(PUBLIC_FILE)
        for folder in folders:
            folder.chmod(PUBLIC_FOLDER)
