"""The secure sum: each member's numbers hidden under masks that cancel in the sum, and only there.

Double masking after Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning"
(ACM CCS 2017, figure 4, with the consistency check). To its numbers a member adds a self-mask and, for
every other member, a pairwise mask that the other one subtracts. Both secrets behind the masks are split
(Shamir 1979) among all: of a member in the sum `threshold` others reveal the seed of the self-mask, of a
member that dropped out the key of its pairwise masks; of nobody both. Who may be shown what, and how often,
is not decided here: see client_node/rounds/masking.py.

Beyond the paper, a member shows a commitment to its seed together with its keys, so that a recovered secret
is checked before it is used: the sum is exact or there is none. Everything is arithmetic modulo 2**64 on
vectors packed into one integer; standard library and `cryptography` only, because the auditor runs it too.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LEAST = 3
_LABEL = b"mengbang-secure-sum/1 "
_PRIME = 2**256 + 297  # the smallest prime above 2**256: a 32-byte secret is one element of its field
_FIELD = 2**255 - 19  # of X25519
_SHARE = 33
_NONCE = 12
SHARE_DIGITS = 65  # of a share in hexadecimal
SEALED = _NONCE + 2 * _SHARE + 16


_ANY = b"\x01" * 32  # whichever private key: with a point of small order all agree on zero


class SumError(ValueError):
    """The sum cannot be formed, or what was shown for it does not hold."""


@dataclass(frozen=True, slots=True)
class Group:
    """Who was asked to the sum, in the one order that gives each its place, and what the sum is for.

    `context` are the bytes that every key is bound to: agreement, run and round.
    """

    context: bytes
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < LEAST or list(self.names) != sorted(set(self.names)):
            raise SumError(f"a sum is over at least {LEAST} different members, in order")

    @property
    def threshold(self) -> int:
        """How many must be there to the end: ceil(2n/3) of those asked."""
        return -(-2 * len(self.names) // 3)

    def place(self, name: str) -> int:
        """The point at which this member's shares lie, from 1; SumError for a stranger."""
        if name not in self.names:
            raise SumError(f"{name} was not asked to this sum")
        return 1 + self.names.index(name)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What a member shows of its secrets: two X25519 keys and the SHA-256 commitment to its seed, 32 bytes each."""

    mask: bytes
    share: bytes
    seed: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What a member keeps, for one round only and in memory only, 32 bytes each."""

    mask: bytes
    share: bytes
    seed: bytes

    def public(self) -> PublicKeys:
        """The public half."""
        return PublicKeys(_public(self.mask), _public(self.share), commitment(self.seed))


@dataclass(frozen=True, slots=True, repr=False)
class Shares:
    """One holder's share of another member's seed and of its mask key."""

    seed: int
    mask: int


def check_keys(keys: PublicKeys) -> None:
    """SumError for keys with which nobody can agree on a secret (RFC 7748, section 6.1: a point of small order), and
    for those in another spelling than private keys lead to, which no recovered key would be found equal to.

    Asked before anybody masks for them: later, they would end everyone who tries.
    """
    for public in (keys.mask, keys.share):
        if int.from_bytes(public, "little") >= _FIELD:
            raise SumError("this X25519 key is not in its one spelling")
        _agree(_ANY, public)


def new_secrets() -> Secrets:
    """Fresh secrets from the operating system."""
    return Secrets(*(secrets.token_bytes(32) for _ in range(3)))


def commitment(seed: bytes) -> bytes:
    """What binds a member to its seed before anybody has a share of it."""
    return hashlib.sha256(_LABEL + b"seed" + seed).digest()


# sharing: split next to join, seal next to open


def split(group: Group, own: Secrets) -> dict[str, Shares]:
    """A share of both secrets for everyone in the group, this member too."""
    seed, mask = (_polynomial(secret, group.threshold) for secret in (own.seed, own.mask))
    points = {name: group.place(name) for name in group.names}
    return {name: Shares(_at(seed, x), _at(mask, x)) for name, x in points.items()}


def _polynomial(secret: bytes, threshold: int) -> list[int]:
    return [int.from_bytes(secret, "big"), *(secrets.randbelow(_PRIME) for _ in range(threshold - 1))]


def _at(coefficients: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % _PRIME
    return value


def join(group: Group, shares: Mapping[str, int]) -> bytes:
    """The secret behind `threshold` or more shares, by holder; SumError if there are too few.

    Wrong shares give a wrong secret: the caller compares it with what its owner committed to.
    """
    if len(shares) < group.threshold:
        raise SumError(f"{len(shares)} of {group.threshold} shares that are needed are there")
    held = {group.place(name): shares[name] for name in sorted(shares)[: group.threshold]}
    total = 0
    for x, share in held.items():
        over, under = 1, 1
        for other in held:
            if other != x:
                over, under = over * other % _PRIME, under * (other - x) % _PRIME
        total += share * over * pow(under, -1, _PRIME)
    return (total % _PRIME).to_bytes(_SHARE, "big")[-32:]


def read_share(text: str) -> int:
    """A share in hexadecimal; SumError unless it is a number of the field in at most `SHARE_DIGITS` plain digits."""
    if not re.fullmatch(rf"[0-9a-f]{{1,{SHARE_DIGITS}}}", text) or int(text, 16) >= _PRIME:
        raise SumError("this is no share")
    return int(text, 16)


def seal(group: Group, me: str, own: Secrets, peer: str, theirs: PublicKeys, shares: Shares) -> bytes:
    """`shares` for `peer`'s eyes only, `SEALED` bytes (ChaCha20-Poly1305 under a key of this pair and direction)."""
    nonce = secrets.token_bytes(_NONCE)
    plain = shares.seed.to_bytes(_SHARE, "big") + shares.mask.to_bytes(_SHARE, "big")
    return nonce + ChaCha20Poly1305(_channel(group, own, theirs, me, peer)).encrypt(nonce, plain, None)


def unseal(group: Group, me: str, own: Secrets, peer: str, theirs: PublicKeys, sealed: bytes) -> Shares:
    """The shares that `peer` sealed for this member; SumError if they are not that."""
    cipher = ChaCha20Poly1305(_channel(group, own, theirs, peer, me))
    try:
        plain = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except (InvalidTag, ValueError) as error:  # the second of a nonce that is too short
        raise SumError(f"the shares of {peer} do not open") from error
    opened = Shares(int.from_bytes(plain[:_SHARE], "big"), int.from_bytes(plain[_SHARE:], "big"))
    if len(plain) != 2 * _SHARE or max(opened.seed, opened.mask) >= _PRIME:
        raise SumError(f"what {peer} sealed are no shares")  # whoever showed them would seem to be at fault
    return opened


def _channel(group: Group, own: Secrets, theirs: PublicKeys, sender: str, receiver: str) -> bytes:
    return _derive(_agree(own.share, theirs.share), b"share", group.context, sender.encode(), receiver.encode())


# masking: mask next to unmask


def fits(members: int, limit: int) -> bool:
    """True if numbers up to `limit` of so many members add up without passing the range of 64 bits."""
    return members * limit < 2**63


def mask(group: Group, me: str, own: Secrets, keys: Mapping[str, PublicKeys], values: array[int]) -> array[int]:
    """`values` (int64) under this member's masks for the masking set `keys`, this member included; same length.

    Modulo 2**64 the result is uniform to everyone who lacks the seed. SumError if the set is too small, lacks
    this member, or if the numbers of so many members might pass 64 bits.
    """
    if len(keys) < max(LEAST, group.threshold) or keys.get(me) != own.public():
        raise SumError(f"a masking set has at least {max(LEAST, group.threshold)} members and this one's own keys")
    if values and not fits(len(keys), max(max(values), -min(values))):
        raise SumError("the sum might not fit in 64 bits")
    lanes = _Lanes(len(values))
    plus, minus = [_pack(values), _stream(own.seed, b"self", group, len(values))], list[int]()
    for peer in sorted(keys.keys() - {me}):
        pair = _pairwise(group, own.mask, me, peer, keys, len(values))
        (plus if me < peer else minus).append(pair)
    return _unpack(lanes.difference(plus, minus), len(values))


def unmask(
    group: Group,
    keys: Mapping[str, PublicKeys],
    masked: Mapping[str, array[int]],
    seeds: Mapping[str, bytes],
    dropped: Mapping[str, bytes],
) -> array[int]:
    """The exact sum of what the members of `masked` hid, for the masking set `keys`.

    `seeds` are the seeds of just those members, `dropped` the private mask keys of all others of the set.
    SumError if a secret is not the one that was committed to, or if too few members are in the sum.
    """
    if len(masked) < max(LEAST, group.threshold):
        raise SumError(f"{len(masked)} members are too few for a sum")
    if masked.keys() != seeds.keys() or masked.keys() | dropped.keys() != keys.keys() or masked.keys() & dropped.keys():
        raise SumError("one secret of every member is needed: the seed of who is in the sum, the key of who is not")
    if any(commitment(seed) != keys[name].seed for name, seed in seeds.items()):
        raise SumError("a seed is not the one that its member committed to")
    if any(_public(key) != keys[name].mask for name, key in dropped.items()):
        raise SumError("a mask key is not the one that its member showed")
    lengths = {len(values) for values in masked.values()}
    if len(lengths) != 1:
        raise SumError("contributions have one length")
    [length] = lengths
    plus, minus = [_pack(values) for values in masked.values()], []
    minus += [_stream(seed, b"self", group, length) for seed in seeds.values()]
    for gone, key in dropped.items():
        for name in masked:
            pair = _pairwise(group, key, gone, name, keys, length)
            (minus if name < gone else plus).append(pair)  # undo what `name` did
    return _unpack(_Lanes(length).difference(plus, minus), length)


def recover(
    group: Group,
    keys: Mapping[str, PublicKeys],
    survivors: Iterable[str],
    revealed: Mapping[str, Mapping[str, int]],
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(seeds of survivors, mask keys of the others) from what each holder revealed: {holder: {member: share}}.

    SumError if a secret has too few shares, or comes out as another than its member committed to.
    """
    alive = set(survivors)
    found: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
    for name, shown in keys.items():
        secret = join(group, {holder: told[name] for holder, told in revealed.items() if name in told})
        if (commitment(secret) != shown.seed) if name in alive else (_public(secret) != shown.mask):
            raise SumError(f"the shares of {name} do not lead to what it committed to")
        found[name not in alive][name] = secret
    return found


def _pairwise(group: Group, key: bytes, me: str, peer: str, keys: Mapping[str, PublicKeys], length: int) -> int:
    first, second = sorted((me, peer))
    names = first.encode(), second.encode(), keys[first].mask, keys[second].mask
    secret = _derive(_agree(key, keys[peer].mask), b"pair", group.context, *names)
    return _keystream(secret, length)


def _stream(seed: bytes, purpose: bytes, group: Group, length: int) -> int:
    return _keystream(_derive(seed, purpose, group.context), length)


# primitives


def _agree(private: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise SumError("this X25519 key is none to agree with") from error


def _public(private: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    except ValueError as error:
        raise SumError("this is no X25519 key") from error


def _derive(secret: bytes, purpose: bytes, *about: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), each part of the context under its own digest so that none runs into the next."""
    info = _LABEL + purpose + b"".join(hashlib.sha256(part).digest() for part in about)
    return HKDF(SHA256(), 32, None, info).derive(secret)


def _keystream(key: bytes, length: int) -> int:
    """ChaCha20 (RFC 8439) from block 0, nonce 0: every key serves one stream. `length` words as one integer."""
    cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    return int.from_bytes(cipher.update(bytes(8 * length)), "little")


# vectors modulo 2**64 as one integer


class _Lanes:
    """Addition of vectors of 64-bit words that are packed into one integer: no carry passes from word to word."""

    def __init__(self, length: int):
        self._top, self._ones, self._all = _constants(length)
        self._rest = self._all ^ self._top

    def difference(self, plus: list[int], minus: list[int]) -> int:
        """Sum of `plus` without the sum of `minus`, word by word."""
        total, taken = self._sum(plus), self._sum(minus)
        return self._add(self._add(total, taken ^ self._all), self._ones)  # -x = ~x + 1

    def _sum(self, vectors: list[int]) -> int:
        total = 0
        for vector in vectors:
            total = self._add(total, vector)
        return total

    def _add(self, a: int, b: int) -> int:
        return ((a & self._rest) + (b & self._rest)) ^ ((a ^ b) & self._top)


@lru_cache(maxsize=4)
def _constants(length: int) -> tuple[int, int, int]:
    top = int.from_bytes((bytes(7) + b"\x80") * length, "little")
    return top, top >> 63, (1 << 64 * length) - 1


def _pack(values: array[int]) -> int:
    return int.from_bytes(_little(values).tobytes(), "little")


def _unpack(packed: int, length: int) -> array[int]:
    return _little(array("q", packed.to_bytes(8 * length, "little")))


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values = array("q", values)
        values.byteswap()
    return values
