"""The RFC 6962 tree: make and check inclusion and consistency, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from contracts.errors import Invalid
from contracts.wording import N_

HASH, WIDTH = 32, 256


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; the empty tree has the hash of the empty string."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """A growing tree that keeps only the roots of its perfect subtrees: O(log n) memory, append and root."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        size, node = self.size, leaf
        while size & 1:
            node = node_hash(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    @property
    def peaks(self) -> list[bytes]:
        """Roots of the perfect subtrees, largest first."""
        return list(self._peaks)

    def root(self) -> bytes:
        """Root of all leaves so far."""
        return root_of_peaks(self._peaks)


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """Root of a tree from the roots of its perfect subtrees, largest first."""
    if not peaks:
        return hashlib.sha256(b"").digest()
    node = peaks[-1]
    for peak in reversed(peaks[:-1]):
        node = node_hash(peak, node)
    return node


class Tree:
    """A growing tree that can prove: it holds each leaf hash and the root of every 256, 65,536, ... of them.

    These are the rows of the log's hash tiles; 32 bytes a leaf and a 255th more. What lies between two rows is
    hashed again when it is asked for: at most 255 hashes a row, about 600 for a proof in a million leaves.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._rows = [bytearray()]
        self.extend(leaves)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._rows[0]) // HASH

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes."""
        for leaf in leaves:
            self._add(leaf, 0)

    def _add(self, node: bytes, level: int) -> None:
        if level == len(self._rows):
            self._rows.append(bytearray())
        row = self._rows[level]
        row += node
        if len(row) % (WIDTH * HASH) == 0:
            self._add(_fold(row[-WIDTH * HASH :]), level + 1)

    def row(self, level: int, start: int, end: int) -> bytes:
        """Hashes start..end-1 of a row, each over 256**level leaves; shorter if the row ends before."""
        return bytes(self._rows[level][start * HASH : end * HASH]) if level < len(self._rows) else b""

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves, by default of all."""
        return self.frontier(size).root()

    def frontier(self, size: int | None = None) -> Frontier:
        """The first `size` leaves as a tree that can go on growing on its own."""
        return Frontier(*self._peaks(0, self.size if size is None else size))

    def _peaks(self, start: int, end: int) -> tuple[int, list[bytes]]:
        """Roots of the perfect subtrees of leaves start..end-1, where `start` is a multiple of the first one's size."""
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"leaves {start} to {end} are not in a tree of {self.size}")
        peaks, at = [], start
        while at < end:
            height = (end - at).bit_length() - 1
            level, width = height // 8, 1 << height % 8
            first = at >> 8 * level
            peaks.append(_fold(self._rows[level][first * HASH : (first + width) * HASH]))
            at += 1 << height
        return end - start, peaks

    def _root_of(self, start: int, end: int) -> bytes:
        return Frontier(*self._peaks(start, end)).root()

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962 section 2.1.1)."""
        if not 0 <= index < size <= self.size:
            raise ValueError(f"leaf {index} of {size} is not in a tree of {self.size}")
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._root_of(middle, end))
                end = middle
            else:
                path.append(self._root_of(start, middle))
                start = middle
        return path[::-1]

    def consistency_proof(self, old: int, size: int) -> list[bytes]:
        """Proof that the first `size` leaves extend the first `old` of them (RFC 6962 section 2.1.2)."""
        if not 0 <= old <= size <= self.size:
            raise ValueError(f"a tree of {size} out of {self.size} does not extend one of {old}")
        if old in (0, size):
            return []
        path, start, end = [], 0, size
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._root_of(middle, end))
                end = middle
            else:
                path.append(self._root_of(start, middle))
                start = middle
        return [*([self._root_of(start, end)] if start else []), *path[::-1]]


def _fold(nodes: bytes | bytearray) -> bytes:
    """Root of 1, 2, 4, ... 256 hashes that stand one after another."""
    row = [bytes(nodes[at : at + HASH]) for at in range(0, len(nodes), HASH)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raise Invalid unless `leaf` stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Invalid(N_("entry {index} is not below log size {size}"), index=index, size=size)
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Invalid(N_("the inclusion proof is too long"))
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last or node != expected:
        raise Invalid(N_("the inclusion proof of entry {index} does not lead to the root"), index=index)


def verify_consistency(old: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise Invalid unless the tree (size, new_root) extends (old, old_root) (RFC 9162, 2.1.4.2).

    From size 0 only the empty proof is right: the witness protocol asks for it.
    """
    if old > size:
        raise Invalid(N_("a log of {size} cannot extend one of {old}"), old=old, size=size)
    if old in (0, size):
        if proof or (old == size and old_root != new_root):
            raise Invalid(N_("two different roots for log size {size}"), code="EQUIVOCATION", size=size)
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise Invalid(N_("the consistency proof is empty"))
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise Invalid(N_("the consistency proof is too long"))
        if at & 1 or at == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        at, last = at >> 1, last >> 1
    if last or older != old_root or newer != new_root:
        raise Invalid(
            N_("log size {size} does not extend the log of size {old} seen before"),
            code="EQUIVOCATION",
            size=size,
            old=old,
        )
