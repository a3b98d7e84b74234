"""The tree again from the entries, one bundle at a time: memory does not grow with the log."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from auditor.evidence.reader import Evidence, required_tile
from contracts.errors import Malformed
from contracts.log.merkle import Frontier, leaf_hash, node_hash, root_of_peaks
from contracts.log.tiles import WIDTH, TileName
from contracts.wording import N_

HEIGHT = 8  # a tile holds 2**8 hashes of its level


class Rebuild:
    """Takes entry bundles in order. Gives each hash tile as it fills, and the roots at the sizes asked for."""

    def __init__(self, wanted: Collection[int] = ()):
        self.size = 0
        self.roots: dict[int, bytes] = {}
        self._wanted = sorted({size for size in wanted if size > 0}, reverse=True)
        self._bundles = Frontier()  # one leaf for each whole bundle: the same tree, eight levels higher
        self._open: list[list[bytes]] = [[]]

    def take(self, entries: Sequence[bytes], known: Sequence[bytes] = ()) -> Iterator[tuple[TileName, bytes]]:
        """Add the next bundle (only the last may be partial), whose first leaves may be `known`; the hash tiles that it
        completes."""
        leaves = [*known, *(leaf_hash(entry) for entry in entries[len(known) :])]
        self._keep_roots(leaves)
        self.size += len(leaves)
        self._open[0] = leaves
        if len(leaves) == WIDTH:
            yield from self._climb()

    def _climb(self) -> Iterator[tuple[TileName, bytes]]:
        level = 0
        while len(self._open[level]) == WIDTH:
            hashes, self._open[level] = self._open[level], []
            yield TileName(level, (self.size >> HEIGHT * (level + 1)) - 1), b"".join(hashes)
            above = combine(hashes)
            if level == 0:
                self._bundles.append(above)
            level += 1
            if level == len(self._open):
                self._open.append([])
            self._open[level].append(above)

    def unfinished(self) -> Iterator[tuple[TileName, bytes]]:
        """The partial tiles at the right edge."""
        for level, hashes in enumerate(self._open):
            if hashes:
                yield TileName(level, self.size >> HEIGHT * (level + 1), len(hashes)), b"".join(hashes)

    def _keep_roots(self, leaves: Sequence[bytes]) -> None:
        while self._wanted and self._wanted[-1] <= self.size + len(leaves):
            size = self._wanted.pop()
            self.roots[size] = self._root(leaves[: size - self.size])

    def _root(self, rest: Sequence[bytes]) -> bytes:
        edge = Frontier()
        for leaf in rest:
            edge.append(leaf)
        return root_of_peaks([*self._bundles.peaks, *edge.peaks])

    def further(self, bundles: Iterable[Sequence[bytes]], wanted: Collection[int]) -> dict[int, bytes]:
        """Roots at larger sizes, from bundles of which the first reaches beyond what this tree has of its last one:
        what it has counts, whatever stands there. This tree stays as it is."""
        more, known = copy.deepcopy(self), self._open[0]
        more.size, more._open[0] = self.size // WIDTH * WIDTH, []
        more.roots, more._wanted = {}, sorted((size for size in wanted if size > self.size), reverse=True)
        for entries in bundles:
            for _ in more.take(entries, known):
                pass
            known = []
        return more.roots

    def root(self) -> bytes:
        """Root of everything taken so far."""
        return self._root(self._open[0])


def combine(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect subtree from its 2**k hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


class TiledTree:
    """Roots and audit paths of any size from hash tiles that were found right; a few tiles in memory at a time."""

    def __init__(self, evidence: Evidence, size: int):
        self.size = size
        self._tile = lru_cache(maxsize=64)(lambda level, n: _rows(evidence, self._name(level, n)))

    def _name(self, level: int, n: int) -> TileName:
        return TileName(level, n, min(WIDTH, (self.size >> HEIGHT * level) - n * WIDTH))

    def _node(self, height: int, index: int) -> bytes:
        """Hash over the leaves index * 2**height up to the next such node."""
        level, row = divmod(height, HEIGHT)
        number, place = divmod(index, WIDTH >> row)
        hashes: bytes = self._tile(level, number)[row][place]
        return hashes

    def _peaks(self, start: int, end: int) -> list[bytes]:
        """Roots of the perfect subtrees of leaves start..end, where `start` is aligned to the first of them."""
        found = []
        for height in reversed(range((end - start).bit_length())):
            if (end - start) >> height & 1:
                found.append(self._node(height, start >> height))
                start += 1 << height
        return found

    def root_at(self, size: int) -> bytes:
        """Root of the first `size` entries."""
        return root_of_peaks(self._peaks(0, size))

    def audit_path(self, index: int, size: int) -> list[bytes]:
        """RFC 6962 audit path of entry `index` in the tree of the first `size` entries."""
        start, end, path = 0, size, []
        while end - start > 1:
            middle = start + (1 << (end - start - 1).bit_length() - 1)
            if index < middle:
                path.append(root_of_peaks(self._peaks(middle, end)))
                end = middle
            else:
                path.append(root_of_peaks(self._peaks(start, middle)))
                start = middle
        return path[::-1]


def _rows(evidence: Evidence, name: TileName) -> list[list[bytes]]:
    """The hashes of a tile, and above them what they combine to, up to the root of the whole tile."""
    data = required_tile(evidence, name)
    if len(data) != 32 * name.width:
        raise Malformed(N_("{file} does not belong to this log"), code="TREE_MISMATCH", file=name.path())
    rows = [[data[at : at + 32] for at in range(0, 32 * name.width, 32)]]
    for _ in range(HEIGHT - 1):
        below = rows[-1]
        rows.append([node_hash(left, right) for left, right in zip(below[::2], below[1::2], strict=False)])
    return rows
