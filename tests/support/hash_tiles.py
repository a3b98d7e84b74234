"""A hash tile from all leaf hashes: the plain way, beside which the tree and the coordinator's tiles are held."""

from collections.abc import Sequence

from contracts.log.merkle import node_hash
from contracts.log.tiles import WIDTH, TileName


def tile_hashes(leaves: Sequence[bytes], name: TileName) -> bytes:
    """`width` hashes, each over 256**level of the leaf hashes."""
    level = name.level or 0
    span = WIDTH**level
    first = name.n * WIDTH * span
    nodes = list(leaves[first : first + name.width * span])
    for _ in range(8 * level):
        nodes = [node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return b"".join(nodes)
