"""The secure sum as a protocol: real member sides, signed messages, every step with drop-outs, copies and disorder."""

import json
import random

import pytest

from contracts.envelope import canonical, to_base64
from contracts.statements.sums import read_unmasking
from engine.rounds import KEYS, SHARES, STEPS, SURVIVORS, TRAIN, UNMASK
from privacy.secure_sum import LEAST, Group, Shares, SumError
from privacy.secure_sum import seal as seal_shares
from sums import RESPELLED, SMALL_ORDER, Sum, with_keys


@pytest.mark.parametrize("n", [3, 10])
def test_the_sum_is_exact_though_messages_come_twice_and_in_any_order(tmp_path, n):
    made = Sum(tmp_path, n)
    used, total, _ = made.combine()
    assert [reply.member for reply in used] == list(made.names)
    assert total == made.plain(made.names)


@pytest.mark.parametrize("step", STEPS)
def test_the_sum_is_exact_with_three_in_ten_gone_at_any_step(tmp_path, step):
    made = Sum(tmp_path, 10, {step: 3})
    used, total, _ = made.combine()
    assert [reply.member for reply in used] == made.stayed
    assert total == made.plain(made.stayed)


def test_the_sum_is_exact_with_members_lost_at_every_step(tmp_path):
    made = Sum(tmp_path, 30, {KEYS: 2, SHARES: 2, TRAIN: 2, SURVIVORS: 2, UNMASK: 2})
    _, total, _ = made.combine()
    assert total == made.plain(made.stayed) and len(made.stayed) == 24


CASES = [(n, seed) for seed in range(6) for n in (3, 10)]


@pytest.mark.parametrize(("n", "seed"), CASES + [pytest.param(30, s, marks=pytest.mark.slow) for s in range(6)])
def test_whoever_is_lost_wherever_the_sum_is_exact_or_there_is_none(tmp_path, n, seed):
    draw = random.Random(seed * 100 + n)
    gone = dict.fromkeys(STEPS, 0)
    for _ in range(draw.randint(0, n // 2)):
        gone[draw.choice(STEPS)] += 1
    made = Sum(tmp_path, n, gone, seed)
    group = Group(b"", made.names)
    holds = len(made.stayed) >= max(LEAST, group.threshold) and n - sum(gone.values()) >= group.threshold
    try:
        used, total, _ = made.combine(made.grid(seed))
    except SumError:
        assert not holds, gone
    else:
        assert holds and [reply.member for reply in used] == made.stayed, gone
        assert total == made.plain(made.stayed)


@pytest.mark.parametrize("step", STEPS)
def test_with_more_gone_there_is_no_sum(tmp_path, step):
    made = Sum(tmp_path, 9, {step: 4})
    with pytest.raises(SumError):
        made.combine()


def test_two_of_three_are_never_combined(tmp_path):
    made = Sum(tmp_path, 3, {TRAIN: 1})
    with pytest.raises(SumError, match="2 members are left of 3"):
        made.combine()


def test_nothing_that_passes_the_coordinator_is_a_contribution_without_masks(tmp_path):
    made = Sum(tmp_path, 4)
    grid = made.grid()
    used, total, document = made.combine(grid)
    seen = b"".join(reply.values.tobytes() for reply in used) + document
    for _, content in grid.passed:
        seen += b"".join(part for part in content["config"].values() if isinstance(part, bytes))
    assert total.tobytes() not in seen
    for side in made.sides.values():
        assert side.values.tobytes() not in seen
    # what the coordinator holds opens no contribution: with the seed known, pairwise masks still hide it
    seeds = read_unmasking(document).seeds
    assert set(seeds) == set(made.names) and read_unmasking(document).mask_keys == {}


def test_a_withdrawn_member_is_a_drop_out_and_its_seed_is_revealed_by_nobody(tmp_path):
    made = Sum(tmp_path, 5)
    gone = made.names[2]
    grid = made.grid()
    made.withdrawn = {gone}
    made.trust.consent(made.firms[gone], "withdraw")
    used, total, document = made.combine(grid)
    left = [name for name in made.names if name != gone]
    assert [reply.member for reply in used] == left and total == made.plain(left)
    held = read_unmasking(document)
    assert gone not in held.seeds and set(held.mask_keys) == {gone}
    for side in made.sides.values():
        said = side.budget.pledged(made.trust.run.run, 1)
        assert said.get(f"reveal {gone}") in (None, "mask")


def test_a_coordinator_that_comes_back_gets_the_same_sum(tmp_path):
    made = Sum(tmp_path, 5, {TRAIN: 1})
    first = made.combine()
    again = made.combine(made.grid(seed=2))
    assert again[1] == first[1] and again[0] == first[0]


def test_a_member_that_signs_for_another_is_left_out(tmp_path):
    made = Sum(tmp_path, 5)
    liar = made.names[0]
    made.sides[liar].masking._key = made.firms[made.names[1]].node
    used, total, _ = made.combine()
    assert liar not in [reply.member for reply in used] and total == made.plain(made.names[1:])
    assert made.broken == [(KEYS, liar)], "and the journal knows why"


@pytest.mark.parametrize("field", ["mask", "share"])
@pytest.mark.parametrize("point", SMALL_ORDER + RESPELLED, ids=lambda point: point.hex()[:8] + point.hex()[-2:])
def test_a_member_that_shows_a_key_of_small_order_is_left_out_and_ends_nobody(tmp_path, field, point):
    made = Sum(tmp_path, 5)
    villain = made.names[0]
    made.sides[villain] = Villain(made.sides[villain], made.firms[villain].node, field, point)
    used, total, _ = made.combine()
    assert [reply.member for reply in used] == list(made.names[1:]) and total == made.plain(made.names[1:])
    assert made.broken == [(KEYS, villain)], "and the journal knows why"


class Villain:
    """Signs a key of its choice in its first step."""

    def __init__(self, side, key, field, point):
        self.side, self.key, self.change = side, key, {field: to_base64(point)}

    def __getattr__(self, name):
        return getattr(self.side, name)

    def take_step(self, step, asked):
        line, payload_ = self.side.take_step(step, asked)
        return (with_keys(line, self.key, self.change), payload_) if step == KEYS else (line, payload_)


class Dealer(Villain):
    """Deals shares that are no numbers of the field, sealed as they should be."""

    def __init__(self, side, share):
        self.side, self.share, self.dealt = side, share, {}

    def take_step(self, step, asked):
        line, answer = self.side.take_step(step, asked)
        return line, self.instead(answer) if step == SHARES else answer

    def instead(self, answer):
        about = self.side.about()
        held, group, me = self.side.masking._held(about), about.group(), self.side.firm.member
        for peer in json.loads(answer):
            sealed = seal_shares(group, me, held.secrets, peer, held.keys[peer], Shares(self.share, self.share))
            self.dealt.setdefault(peer, to_base64(sealed))
        return canonical(self.dealt)


@pytest.mark.parametrize("share", [2**256 + 297, 2**264 - 1], ids=["the prime", "66 digits"])
def test_whoever_is_dealt_a_share_that_is_none_shows_nothing_of_it_and_is_not_blamed(tmp_path, share):
    made = Sum(tmp_path, 5)
    villain = made.names[0]
    made.sides[villain] = Dealer(made.sides[villain], share)
    with pytest.raises(SumError, match="shares that are needed"):
        made.combine()
    assert made.broken == [], "holders of such a share replied as they should"


class Liar:
    """Keeps the protocol until it shows its shares, and changes those."""

    def __init__(self, side, change):
        self.side, self.change = side, change

    def __getattr__(self, name):
        return getattr(self.side, name)

    def take_step(self, step, asked):
        line, payload = self.side.take_step(step, asked)
        return line, canonical(self.change(json.loads(payload))) if step == UNMASK else payload


def changed(told, name, share):
    return {**told, name: share}


LIES = {
    "two shares changed places": lambda told: dict(zip(told, [*list(told.values())[1:], told[min(told)]], strict=True)),
    "one bit of a share": lambda told: changed(told, min(told), f"{int(told[min(told)], 16) ^ 1:x}"),
}
GARBAGE = {
    "a negative share": lambda told: changed(told, min(told), "-5"),
    "a share beyond the field": lambda told: changed(told, min(told), "f" * 65),
    "a share of too many digits": lambda told: changed(told, min(told), "0" * 66),
    "a number for a share": lambda told: changed(told, min(told), 5),
    "no number": lambda told: dict.fromkeys(told, "no number"),
    "a list": list,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_share_that_is_not_the_one_that_was_dealt_ends_in_no_sum_and_never_in_a_wrong_one(tmp_path, lie):
    made = Sum(tmp_path, 3)
    made.sides[made.names[0]] = Liar(made.sides[made.names[0]], LIES[lie])
    with pytest.raises(SumError, match="committed to"):
        made.combine()


@pytest.mark.parametrize("lie", GARBAGE)
def test_a_share_that_is_none_is_left_out_and_told_while_others_are_enough(tmp_path, lie):
    made = Sum(tmp_path, 3)
    made.sides[made.names[0]] = Liar(made.sides[made.names[0]], GARBAGE[lie])
    assert made.combine()[1] == made.plain(made.names)
    assert made.broken == [(UNMASK, made.names[0])]
