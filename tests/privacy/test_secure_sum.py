"""The secure sum's arithmetic: exact or refused, never wrong, and nothing but noise for whoever lacks the secrets."""

import hashlib
import hmac
import random
from array import array
from collections import Counter
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.secure_sum import (
    LEAST,
    SEALED,
    Group,
    PublicKeys,
    Secrets,
    Shares,
    SumError,
    check_keys,
    fits,
    join,
    mask,
    new_secrets,
    recover,
    seal,
    split,
    unmask,
    unseal,
)
from sums import RESPELLED, SMALL_ORDER

LENGTH = 50


class Round:
    """A round of `n` members in one place; members drop out by being left out of a step."""

    def __init__(self, n, seed=1, context=b"agreement/run/1", length=LENGTH, bound=2**56):
        draw = random.Random(seed)
        self.names = tuple(f"m{number:02d}" for number in range(n))
        self.group = Group(context, self.names)
        self.secrets = {name: new_secrets() for name in self.names}
        self.values = {name: array("q", (draw.randrange(-bound, bound) for _ in range(length))) for name in self.names}

    def keys(self, without=()):
        return {name: own.public() for name, own in self.secrets.items() if name not in without}

    def shares(self, keys):
        """{holder: {owner: Shares}} after sealing, carrying and opening."""
        held = {name: {} for name in keys}
        for owner in keys:
            for holder, part in split(self.group, self.secrets[owner]).items():
                if holder in keys:
                    held[holder][owner] = part if holder == owner else self._carry(owner, holder, keys, part)
        return held

    def _carry(self, owner, holder, keys, part):
        sealed = seal(self.group, owner, self.secrets[owner], holder, keys[holder], part)
        assert len(sealed) == SEALED
        return unseal(self.group, holder, self.secrets[holder], owner, keys[owner], sealed)

    def masked(self, keys, without=()):
        return {
            name: mask(self.group, name, self.secrets[name], keys, self.values[name])
            for name in keys
            if name not in without
        }

    def revealed(self, held, masked, without=()):
        return {
            holder: {owner: s.seed if owner in masked else s.mask for owner, s in told.items()}
            for holder, told in held.items()
            if holder in masked and holder not in without
        }

    def plain(self, names):
        return array("q", map(sum, zip(*(self.values[name] for name in names), strict=True)))


@pytest.mark.parametrize("n", [3, 10, 30])
def test_the_sum_is_the_plain_one_bit_for_bit(n):
    made = Round(n)
    keys = made.keys()
    masked = made.masked(keys)
    secrets = recover(made.group, keys, masked, made.revealed(made.shares(keys), masked))
    assert unmask(made.group, keys, masked, *secrets) == made.plain(made.names)


PHASES = ("keys", "masked", "revealed")


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("seed", range(4))
def test_the_sum_of_those_who_stayed_is_exact_with_a_third_gone_in_any_phases(n, seed):
    draw, made = random.Random(seed), Round(n, seed)
    gone = draw.sample(made.names, n - made.group.threshold)
    left = {phase: {name for name in gone if draw.choice(PHASES) == phase} for phase in PHASES}
    keys = made.keys(without=left["keys"])
    held = made.shares(keys)
    masked = made.masked(keys, without=left["masked"])
    secrets = recover(made.group, keys, masked, made.revealed(held, masked, without=left["revealed"]))
    assert unmask(made.group, keys, masked, *secrets) == made.plain(masked)
    assert set(secrets[0]) == set(masked) and set(secrets[1]) == set(keys) - set(masked)


@pytest.mark.parametrize("n", [3, 10, 30])
def test_with_one_share_less_than_the_threshold_there_is_no_sum(n):
    made = Round(n)
    keys = made.keys()
    masked = made.masked(keys)
    late = made.names[made.group.threshold - 1 :]
    with pytest.raises(SumError, match="shares that are needed"):
        recover(made.group, keys, masked, made.revealed(made.shares(keys), masked, without=late))


def test_any_threshold_of_shares_leads_to_the_secret_and_fewer_say_nothing():
    group = Group(b"x", tuple("abcdefg"))
    own = new_secrets()
    parts = {name: share.seed for name, share in split(group, own).items()}
    for start in range(3):
        some = dict(list(parts.items())[start : start + group.threshold])
        assert join(group, some) == own.seed
    few = dict(list(parts.items())[: group.threshold - 1])
    leads = {join(group, few | {"g": guess}) for guess in range(20)}
    assert len(leads) == 20, "with one share open, every secret is as possible as any other"


def test_a_wrong_share_is_found_before_it_can_change_the_sum():
    made = Round(4)
    keys = made.keys()
    masked = made.masked(keys, without=("m03",))
    held = made.revealed(made.shares(keys), masked)
    for owner in ("m00", "m03"):
        wrong = {h: dict(told) for h, told in held.items()}
        wrong["m01"][owner] ^= 1
        with pytest.raises(SumError, match=f"shares of {owner}"):
            recover(made.group, keys, masked, wrong)


def test_a_wrong_secret_is_found_before_it_can_change_the_sum():
    made = Round(4)
    keys = made.keys()
    masked = made.masked(keys, without=("m03",))
    seeds, dropped = recover(made.group, keys, masked, made.revealed(made.shares(keys), masked))
    with pytest.raises(SumError, match="committed"):
        unmask(made.group, keys, masked, seeds | {"m00": bytes(32)}, dropped)
    with pytest.raises(SumError, match="showed"):
        unmask(made.group, keys, masked, seeds, {"m03": bytes(32)})
    with pytest.raises(SumError, match="one secret of every member"):
        unmask(made.group, keys, masked, seeds | {"m03": made.secrets["m03"].seed}, dropped)
    with pytest.raises(SumError, match="one secret of every member"):
        unmask(made.group, keys, masked, seeds, {})


def test_shares_open_for_their_peer_in_their_round_and_direction_only():
    made, later = Round(3), Group(b"agreement/run/2", ("m00", "m01", "m02"))
    a, b, c = (made.secrets[name] for name in made.names)
    sealed = seal(made.group, "m00", a, "m01", b.public(), Shares(5, 6))
    assert unseal(made.group, "m01", b, "m00", a.public(), sealed) == Shares(5, 6)
    for group, me, own, peer, theirs, data in (
        (later, "m01", b, "m00", a.public(), sealed),
        (made.group, "m02", c, "m00", a.public(), sealed),
        (made.group, "m00", a, "m01", b.public(), sealed),
        (made.group, "m01", b, "m02", c.public(), sealed),
        (made.group, "m01", b, "m00", a.public(), sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(SumError, match="do not open"):
            unseal(group, me, own, peer, theirs, data)


@pytest.mark.parametrize("size", [0, 5, 12, 93, 95])
def test_sealed_shares_of_another_size_open_for_nobody(size):
    made = Round(3)
    a, b = (made.secrets[name] for name in made.names[:2])
    with pytest.raises(SumError, match="do not open"):
        unseal(made.group, "m01", b, "m00", a.public(), bytes(size))


@pytest.mark.parametrize("dealt", [Shares(2**256 + 297, 6), Shares(5, 2**264 - 1)])
def test_a_number_outside_the_field_is_no_share(dealt):
    """Whoever showed it would seem to have shown a share that is none."""
    made = Round(3)
    a, b = (made.secrets[name] for name in made.names[:2])
    sealed = seal(made.group, "m00", a, "m01", b.public(), dealt)
    with pytest.raises(SumError, match="no shares"):
        unseal(made.group, "m01", b, "m00", a.public(), sealed)


def test_masks_of_another_round_do_not_cancel():
    made, other = Round(3), Round(3, context=b"agreement/run/2")
    other.secrets, other.values = made.secrets, made.values
    keys = made.keys()
    masked = made.masked(keys) | {"m02": other.masked(keys)["m02"]}
    seeds = {name: own.seed for name, own in made.secrets.items()}
    assert unmask(made.group, keys, masked, seeds, {}) != made.plain(made.names)


def test_a_masked_contribution_looks_like_noise_also_with_all_peers_or_the_seed_known():
    made = Round(3, length=4096)
    own, keys = made.secrets["m00"], made.keys()
    zeros = array("q", bytes(8 * 4096))
    seen = mask(made.group, "m00", own, keys, zeros)
    expected = len(seen.tobytes()) / 256
    spread = sum((count - expected) ** 2 / expected for count in Counter(seen.tobytes()).values())
    assert 150 < spread < 380, "chi-square of 255 degrees of freedom"
    other_seed = mask(
        made.group, "m00", replace(own, seed=bytes(32)), keys | {"m00": replace(own, seed=bytes(32)).public()}, zeros
    )
    assert sum(a == b for a, b in zip(seen, other_seed, strict=True)) == 0


def test_numbers_that_might_overflow_are_refused():
    made = Round(3)
    keys = made.keys()
    most = (2**63 - 1) // 3
    for name, value in zip(made.names, (most, most, -most), strict=True):
        made.values[name] = array("q", [value])
    masked = made.masked(keys)
    seeds = {name: own.seed for name, own in made.secrets.items()}
    assert unmask(made.group, keys, masked, seeds, {}) == array("q", [most])
    assert fits(3, most) and not fits(3, most + 1)
    made.values["m00"] = array("q", [-most - 1])
    with pytest.raises(SumError, match="64 bits"):
        made.masked(keys)


def test_nobody_masks_for_too_few_or_for_strangers():
    made = Round(6)
    keys, own = made.keys(), made.secrets["m00"]
    for chosen in (made.names[:1], made.names[:3], made.names[1:]):
        with pytest.raises(SumError, match="masking set"):
            mask(made.group, "m00", own, {name: keys[name] for name in chosen}, made.values["m00"])
    with pytest.raises(SumError, match="not asked"):
        made.group.place("m77")
    for names in (("a", "b"), ("b", "a", "c"), ("a", "a", "b")):
        with pytest.raises(SumError, match=f"at least {LEAST}"):
            Group(b"x", names)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_mask_key_of_another_length_is_refused(length):
    with pytest.raises(SumError, match="no X25519 key"):
        Secrets(bytes(length), bytes(32), bytes(32)).public()


def test_a_key_that_agrees_on_nothing_is_refused():
    made = Round(3)
    keys = made.keys() | {"m01": PublicKeys(bytes(32), bytes(32), bytes(32))}
    with pytest.raises(SumError, match="agree"):
        mask(made.group, "m00", made.secrets["m00"], keys, made.values["m00"])


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 6), st.data())
def test_masks_cancel_for_all_numbers(n, data):
    made = Round(n)
    bound = (2**63 - 1) // n
    length = data.draw(st.integers(0, 9))
    for name in made.names:
        numbers = st.lists(st.integers(-bound, bound), min_size=length, max_size=length)
        made.values[name] = array("q", data.draw(numbers))
    keys = made.keys()
    masked = made.masked(keys)
    seeds = {name: own.seed for name, own in made.secrets.items()}
    assert unmask(made.group, keys, masked, seeds, {}) == made.plain(made.names)


def hkdf(secret, info):
    """RFC 5869 with one block, no salt, by `hmac`."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def test_a_second_implementation_of_the_mask_agrees():
    names = ("a", "b", "c")
    own = {n: Secrets(*(hashlib.sha256(f"{n}{part}".encode()).digest() for part in range(3))) for n in names}
    keys = {n: o.public() for n, o in own.items()}
    values = array("q", [0, 1, -1, 2**40, -(2**40)])
    digest = [hashlib.sha256(part).digest() for part in (b"round", b"a", b"b", b"c")]

    def words(key):
        stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(40))
        return [int.from_bytes(stream[i : i + 8], "little") for i in range(0, 40, 8)]

    def pair(first, second):
        shared = X25519PrivateKey.from_private_bytes(own["b"].mask).exchange(
            X25519PublicKey.from_public_bytes(keys["a" if second == "b" else "c"].mask)
        )
        about = [digest[0], digest["_abc".index(first)], digest["_abc".index(second)]]
        about += [hashlib.sha256(keys[name].mask).digest() for name in (first, second)]
        return words(hkdf(shared, b"mengbang-secure-sum/1 pair" + b"".join(about)))

    self_mask = words(hkdf(own["b"].seed, b"mengbang-secure-sum/1 self" + digest[0]))
    expected = [
        (v + s - x + y) % 2**64 for v, s, x, y in zip(values, self_mask, pair("a", "b"), pair("b", "c"), strict=True)
    ]
    assert [v % 2**64 for v in mask(Group(b"round", names), "b", own["b"], keys, values)] == expected


@pytest.mark.parametrize("point", SMALL_ORDER + RESPELLED, ids=lambda point: point.hex()[:8] + point.hex()[-2:])
@pytest.mark.parametrize("which", ["mask", "share"])
def test_a_key_of_small_order_or_in_another_spelling_is_seen_before_anybody_masks_for_it(point, which):
    sound = new_secrets().public()
    check_keys(sound)
    with pytest.raises(SumError):
        check_keys(replace(sound, **{which: point}))
