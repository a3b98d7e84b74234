"""The RFC 6962 tree: make and check inclusion and consistency, side by side. Hashes are 32 bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from contracts.errors import Invalid
from contracts.wording import N_


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

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        size, node = self.size, leaf
        while size & 1:
            node = node_hash(self._peaks.pop(), node)
            size >>= 1
        self._peaks.append(node)
        self.size += 1

    def copy(self) -> Frontier:
        """An independent tree with the same leaves."""
        copied = Frontier()
        copied.size, copied._peaks = self.size, list(self._peaks)
        return copied

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


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Audit path of leaf `index` in the tree over `leaves` (RFC 6962 section 2.1.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"leaf {index} is not in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(leaves[:k], index), root(leaves[k:])]
    return [*inclusion_proof(leaves[k:], index - k), root(leaves[:k])]


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


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Proof that the tree over `leaves` extends its first `old` leaves (RFC 6962 section 2.1.2)."""
    if not 0 <= old <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} does not extend one of {old}")
    return [] if old in (0, len(leaves)) else _subproof(leaves, old, True)


def _subproof(leaves: Sequence[bytes], old: int, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    k = _split(len(leaves))
    if old <= k:
        return [*_subproof(leaves[:k], old, whole), root(leaves[k:])]
    return [*_subproof(leaves[k:], old - k, False), root(leaves[:k])]


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
