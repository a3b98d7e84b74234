"""A party's home folder: where it is unless it is told, and how it is made whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import Unavailable
from contracts.wording import N_
from shell.unix import keep_private

_UNFINISHED = ".unfinished-"


def default_home(party: str) -> Path:
    """Below the user's own folder; below the current one for a user who has none, as services and containers may."""
    try:
        user = Path.home()
    except RuntimeError:
        user = Path()
    return user / ".local" / "share" / "mengbang" / party


def check_empty(home: Path) -> None:
    """Unavailable if something lies where a new home shall be, or others would read what is kept there. What a process
    left that was killed counts for nothing."""
    if home.exists() and (not home.is_dir() or any(not p.name.startswith(_UNFINISHED) for p in home.iterdir())):
        raise Unavailable(
            N_("{home} is not empty"),
            why=N_("a home holds nothing else"),
            do=N_("choose another folder with --home"),
            home=home,
        )
    keep_private(home)


@contextmanager
def new_home(home: Path, last: str) -> Iterator[Path]:
    """Where to make a home, which comes to its place when it is whole; Unavailable if it
    cannot, and then nothing is left.

    It comes there as one. A folder that is there already stays, with its owner and rights: it may be a mount point, or
    its user may write nothing beside it. So it is filled, with the file `last`, which makes it a home, at the end.
    """
    is_there = home.is_dir()
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=home if is_there else home.parent) as beside:
        made = Path(beside) / "home"
        yield made
        try:
            _fill(home, made, last) if is_there else made.rename(home)
        except OSError as error:
            raise Unavailable(N_("{home} cannot be written"), why=N_("{error}"), home=home, error=error) from error


def _fill(home: Path, made: Path, last: str) -> None:
    """Folders first: none takes the place of another, should two processes make one home."""
    moved: list[str] = []
    try:
        for path in sorted(made.iterdir(), key=lambda one: (one.name == last, not one.is_dir(), one.name)):
            os.rename(path, home / path.name)
            moved.append(path.name)
    except BaseException:
        for name in moved:
            os.rename(home / name, made / name)
        raise
