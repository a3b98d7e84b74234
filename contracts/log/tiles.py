"""The log as static files (C2SP tlog-tiles): names, entry bundles, hash tiles, and the strict way back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.errors import Malformed
from contracts.log.merkle import WIDTH as WIDTH
from contracts.wording import N_

_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class TileName:
    """Which tile: `level` (None = entry bundle), number `n` in its level, `width` entries or hashes in it."""

    level: int | None
    n: int
    width: int = WIDTH

    def path(self) -> str:
        """Path below the log's prefix."""
        digits = f"{self.n % 1000:03d}"
        rest = self.n // 1000
        while rest:
            digits = f"x{rest % 1000:03d}/{digits}"
            rest //= 1000
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{digits}{partial}"


def parse_path(path: str) -> TileName:
    """The tile of `path`; Malformed unless it is spelled exactly as `TileName.path` spells it."""
    match = _PATH.fullmatch(path)
    if match:
        level, number, width = match.groups()
        name = TileName(
            None if level == "entries" else int(level), int(re.sub(r"[x/]", "", number)), int(width or WIDTH)
        )
        if name.path() == path and name.width >= 1 and (name.level or 0) < 64:
            return name
    raise Malformed(N_("{path} is not the path of a tile"), path=path)


def bundle_names(size: int, first: int = 0) -> Iterator[TileName]:
    """The entry bundles of a log of `size` from number `first` on, in order; the last may be partial."""
    return _level(None, size, first)


def _level(level: int | None, count: int, first: int = 0) -> Iterator[TileName]:
    yield from (TileName(level, n) for n in range(first, count // WIDTH))
    if count % WIDTH:
        yield TileName(level, count // WIDTH, count % WIDTH)


def names(size: int) -> Iterator[TileName]:
    """Every tile of a log of `size`, bundles first; the last of a level may be partial."""
    for level in (None, *range(8)):
        count = size if level is None else size >> (8 * level)
        yield from _level(level, count)
        if level is not None and count < WIDTH:
            return


def is_of(name: TileName, size: int) -> bool:
    """Is this one of `names(size)`? Of a log of any size, without a list of them."""
    count = size >> 8 * (name.level or 0)
    return (name.level or 0) < 8 and name.width == min(WIDTH, count - name.n * WIDTH) > 0


def reach(name: TileName) -> int:
    """How many entries a log must have for this tile to be one of its."""
    return (name.n * WIDTH + name.width) << 8 * (name.level or 0)


def bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry after its length in two bytes, big endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def start_of(full: bytes, name: TileName) -> bytes:
    """The partial tile `name` as the start of the full one that has taken its place."""
    if name.level is None:
        return bundle(parse_bundle(full, WIDTH)[: name.width])
    return full[: 32 * name.width]


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle; Malformed if it holds more, fewer or a torn one."""
    entries, at = [], 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise Malformed(N_("an entry bundle of {width} entries is torn"), width=width)
    return entries
