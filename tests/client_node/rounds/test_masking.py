"""What a hostile coordinator asks of a member in a secure sum, and gets: a typed refusal and not one byte."""

import json
import shutil
import sqlite3

import pytest

from client_node.ledger.ledger import Budget
from contracts.envelope import canonical, from_base64, to_base64
from contracts.errors import Refused, Unavailable
from contracts.terms.agreement import Grouped
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK
from sums import SMALL_ORDER, Sum, with_keys


class Hostile:
    """Speaks the real protocol with the real members, and can leave it at any point."""

    def __init__(self, folder, n=5, **terms):
        self.sum = Sum(folder, n, **terms)
        self.names, self.sides = self.sum.names, self.sum.sides
        self.victim = self.names[0]

    def ask(self, member, step, *parts):
        return self.sides[member].take_step(step, self.sum.asked(*parts))

    def keys(self, names=None):
        self.lines = {name: self.ask(name, KEYS)[0] for name in names or self.names}
        return self.lines

    def share(self, names=None):
        names = names or self.names
        lines = [self.lines[name] for name in names]
        self.sealed = {name: json.loads(self.ask(name, SHARES, *lines)[1]) for name in names}

    def incoming(self, member, senders):
        return canonical({peer: self.sealed[peer][member] for peer in senders if peer != member})

    def train(self, names=None):
        names = names or self.names
        return {m: self.sides[m].contribute(self.sum.asked(self.incoming(m, names)), None)[0] for m in names}

    def listed(self, survivors, masked=None, cutoff=None):
        cutoff = cutoff or len(self.sum.trust.entries)
        return canonical({"cutoff": cutoff, "masked": list(masked or self.names), "survivors": list(survivors)})

    def sign(self, survivors, names=None):
        return [self.ask(name, SURVIVORS, self.listed(survivors))[0] for name in names or survivors]

    def masked(self):
        self.keys()
        self.share()
        return self.train()


@pytest.fixture
def hostile(tmp_path):
    return Hostile(tmp_path)


def refused(code, work):
    with pytest.raises(Refused) as caught:
        work()
    assert caught.value.code == code, caught.value.lines()
    assert all(caught.value.lines())


def test_a_second_participant_set_for_a_masked_release_gets_nothing(hostile):
    hostile.masked()
    smaller = hostile.names[:4]
    part = hostile.incoming(hostile.victim, smaller)
    refused("SUM_TWICE", lambda: hostile.sides[hostile.victim].contribute(hostile.sum.asked(part), None))
    refused("SUM_TWICE", lambda: hostile.ask(hostile.victim, SHARES, *[hostile.lines[n] for n in smaller]))
    assert hostile.ask(hostile.victim, KEYS)[0] == hostile.lines[hostile.victim], "one set of keys a round"


def test_a_sum_of_one_or_of_too_few_gets_nothing(hostile):
    hostile.keys()
    for few in (hostile.names[:1], hostile.names[:2], hostile.names[:3]):
        refused("SUM_SET", lambda few=few: hostile.ask(hostile.victim, SHARES, *[hostile.lines[n] for n in few]))
    others = hostile.names[1:]
    refused("SUM_SET", lambda: hostile.ask(hostile.victim, SHARES, *[hostile.lines[n] for n in others]))
    hostile.share()
    for few in ((), hostile.names[:1], hostile.names[:3]):
        part = hostile.incoming(hostile.victim, few)
        refused("SUM_SET", lambda part=part: hostile.sides[hostile.victim].contribute(hostile.sum.asked(part), None))
    assert "set" not in hostile.sides[hostile.victim].budget.pledged(hostile.sum.trust.run.run, 1)


def test_keys_that_their_members_did_not_sign_for_this_round_get_nothing(hostile, tmp_path):
    other = Hostile(tmp_path_of(tmp_path, "other"))
    lines = hostile.keys()
    strangers = list(other.keys().values())
    good = [lines[name] for name in hostile.names]
    for bad in ([*good[:-1], strangers[0]], [*good, good[0]], [*good[:-1], b"{}"]):
        refused("SUM_SIGNATURES", lambda bad=bad: hostile.ask(hostile.victim, SHARES, *bad))


@pytest.mark.parametrize("field", ["mask", "share"])
def test_keys_that_nobody_can_agree_with_are_refused_before_anything_is_charged(hostile, field):
    lines = hostile.keys()
    for point in SMALL_ORDER:
        firm = hostile.sum.firms[hostile.names[1]]
        bad = {**lines, firm.member: with_keys(lines[firm.member], firm.node, {field: to_base64(point)})}
        refused("SUM_SET", lambda bad=bad: hostile.ask(hostile.victim, SHARES, *bad.values()))
    assert hostile.ask(hostile.victim, SHARES, *lines.values()), "with sound keys the node goes on"


def tmp_path_of(folder, name):
    made = folder / name
    made.mkdir()
    return made


def test_a_changed_list_of_survivors_gets_nothing(hostile):
    hostile.masked()
    names, victim = hostile.names, hostile.victim
    signed = hostile.sign(names)
    refused("SUM_TWICE", lambda: hostile.ask(victim, SURVIVORS, hostile.listed(names[:4])))
    refused("SUM_SIGNATURES", lambda: hostile.ask(victim, UNMASK, *signed[:3], signed[0]))
    foreign = from_base64(to_base64(signed[1]))[:-5] + b"xxxxx"
    refused("SUM_SIGNATURES", lambda: hostile.ask(victim, UNMASK, *signed[:1], foreign, *signed[2:]))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"survivors": ()}, "SUM_SURVIVORS"),
        ({"survivors": (0, 1, 2)}, "SUM_SURVIVORS"),
        ({"survivors": (1, 2, 3, 4)}, "SUM_SURVIVORS"),
        ({"survivors": (0, 0, 1, 2, 3)}, "SUM_SURVIVORS"),
        ({"survivors": (0, 1, 2, 3), "masked": (0, 1, 2, 3)}, "SUM_SET"),
        ({"cutoff": 1}, "SUM_SURVIVORS"),
        ({"cutoff": 10_000}, "SUM_SURVIVORS"),
    ],
)
def test_a_list_of_survivors_that_cannot_be_is_not_signed(hostile, change, code):
    hostile.masked()
    named = {k: tuple(hostile.names[i] for i in v) if k != "cutoff" else v for k, v in change.items()}
    proposed = hostile.listed(**({"survivors": hostile.names} | named))
    refused(code, lambda: hostile.ask(hostile.victim, SURVIVORS, proposed))


def test_too_few_signatures_get_no_share(hostile):
    hostile.masked()
    signed = hostile.sign(hostile.names)
    refused("SUM_SIGNATURES", lambda: hostile.ask(hostile.victim, UNMASK, *signed[:3]))
    refused("SUM_SIGNATURES", lambda: hostile.ask(hostile.victim, UNMASK))
    assert not any(
        about.startswith("reveal")
        for about in hostile.sides[hostile.victim].budget.pledged(hostile.sum.trust.run.run, 1)
    )
    told = json.loads(hostile.ask(hostile.victim, UNMASK, *signed[:4])[1])
    assert set(told) == set(hostile.names)


def test_a_reveal_that_cannot_be_written_down_first_is_not_made(hostile):
    hostile.masked()
    signed = hostile.sign(hostile.names)
    path, run = hostile.sides[hostile.victim].path, hostile.sum.trust.run.run
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON row WHEN new.body LIKE '%reveal%' BEGIN SELECT RAISE(ABORT, "
            "'disk full'); END"
        )
    with pytest.raises(Unavailable, match="cannot be used"):
        hostile.ask(hostile.victim, UNMASK, *signed)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER full")
    assert not any(about.startswith("reveal") for about in Budget(path).pledged(run, 1))
    told = json.loads(hostile.ask(hostile.victim, UNMASK, *signed)[1])
    rows = Budget(path).pledged(run, 1)  # as another process reads them from the disk
    assert {about for about in rows if about.startswith("reveal")} == {f"reveal {name}" for name in told}


def test_nobody_reveals_the_seed_of_a_member_that_has_withdrawn(hostile):
    hostile.masked()
    gone = hostile.names[4]
    signed = hostile.sign(hostile.names)
    hostile.sum.trust.consent(hostile.sum.firms[gone], "withdraw")
    refused("SUM_SURVIVORS", lambda: hostile.ask(hostile.victim, UNMASK, *signed))


def test_both_secrets_of_a_peer_are_never_shown(hostile):
    hostile.masked()
    names, victim = hostile.names, hostile.victim
    signed = hostile.sign(names)
    told = hostile.ask(victim, UNMASK, *signed)[1]
    assert hostile.ask(victim, UNMASK, *signed[:4])[1] == told, "the same shares again, and no others"
    without = hostile.listed(names[:4])
    refused("SUM_TWICE", lambda: hostile.ask(victim, SURVIVORS, without))
    rows = hostile.sides[victim].budget.pledged(hostile.sum.trust.run.run, 1)
    assert {about: said for about, said in rows.items() if about.startswith("reveal")} == {
        f"reveal {name}": "seed" for name in names
    }


@pytest.mark.parametrize("restored", ["after the keys", "after masking", "before everything"])
def test_a_killed_node_or_one_from_a_backup_reveals_nothing_more(hostile, tmp_path, restored):
    victim = hostile.sides[hostile.victim]
    backup = tmp_path / "backup.db"
    copies = {"before everything": lambda: shutil.copy(victim.path, backup)}
    copies["before everything"]()
    hostile.keys()
    if restored == "after the keys":
        copies["before everything"]()
    hostile.share()
    hostile.train()
    if restored == "after masking":
        copies["before everything"]()
    signed = hostile.sign(hostile.names)
    hostile.ask(hostile.victim, UNMASK, *signed)
    victim.path.with_name(victim.path.name + "-wal").unlink(missing_ok=True)
    shutil.copy(backup, victim.path)
    victim.start()
    if restored != "before everything":
        refused("BURNT", lambda: hostile.ask(hostile.victim, KEYS))
    for step, parts in (
        (SURVIVORS, [hostile.listed(hostile.names[:4])]),
        (UNMASK, signed),
        (SHARES, [hostile.lines[name] for name in hostile.names]),
    ):
        refused("BURNT", lambda step=step, parts=parts: hostile.ask(hostile.victim, step, *parts))
    part = hostile.incoming(hostile.victim, hostile.names)
    victim.published = None
    refused("BURNT", lambda: victim.contribute(hostile.sum.asked(part), None))


def test_a_killed_node_drops_out_of_the_round_it_had_begun(hostile):
    hostile.keys()
    hostile.sides[hostile.victim].start()
    refused("BURNT", lambda: hostile.ask(hostile.victim, KEYS))


def test_what_was_said_is_on_disk_before_it_leaves_and_is_never_said_otherwise(hostile):
    hostile.masked()
    budget, run = hostile.sides[hostile.victim].budget, hostile.sum.trust.run.run
    said = budget.pledged(run, 1)
    assert set(said) == {"keys", "set"}
    refused("SUM_TWICE", lambda: budget.pledge(run, 1, {"set": "another", "survivors": "x"}))
    assert budget.pledged(run, 1) == said, "nothing of a refused pledge is kept"


def test_numbers_beyond_the_range_of_the_sum_are_refused_whatever_the_data_are(hostile, monkeypatch):
    monkeypatch.setattr("client_node.rounds.masking.limit_steps", lambda plan: 2**61)
    refused("SUM_RANGE", lambda: hostile.ask(hostile.victim, KEYS))


def test_steps_out_of_order_get_nothing(hostile):
    hostile.keys()
    part = canonical({name: to_base64(b"x" * 94) for name in hostile.names[1:]})
    refused("SUM_SET", lambda: hostile.sides[hostile.victim].contribute(hostile.sum.asked(part), None))
    refused("SUM_SET", lambda: hostile.ask(hostile.victim, SURVIVORS, hostile.listed(hostile.names)))
    refused("SUM_SURVIVORS", lambda: hostile.ask(hostile.victim, UNMASK))
    assert TRAIN not in hostile.sides[hostile.victim].budget.pledged(hostile.sum.trust.run.run, 1)


@pytest.fixture
def grouped(tmp_path):
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    made = Hostile(tmp_path, 12, edition=2, totals=rule)
    made.groups = made.sum.trust.run.open_round().groups
    assert len(made.groups) == 3
    return made


def test_a_list_of_survivors_that_splits_a_group_gets_no_signature_and_no_share(grouped):
    """The office says that one member of a group does not reply: the difference of two sums would be that member."""
    grouped.masked()
    split = [name for name in grouped.names if name != grouped.groups[0][0]]
    for name in split:
        refused("SUM_SURVIVORS", lambda name=name: grouped.ask(name, SURVIVORS, grouped.listed(split)))
        refused("SUM_SURVIVORS", lambda name=name: grouped.ask(name, UNMASK))
        assert not any(w.startswith("reveal") for w in grouped.sides[name].budget.pledged(grouped.sum.trust.run.run, 1))


def test_without_a_whole_group_the_others_are_summed_and_no_seed_of_that_group_is_shown(grouped):
    grouped.masked()
    out, *rest = grouped.groups
    alive = sorted(name for group in rest for name in group)
    signed = grouped.sign(alive)
    told = [json.loads(grouped.ask(name, UNMASK, *signed)[1]) for name in alive]
    assert all(set(shares) == set(grouped.names) for shares in told)
    for name in alive:
        said = grouped.sides[name].budget.pledged(grouped.sum.trust.run.run, 1)
        assert {said[f"reveal {gone}"] for gone in out} == {"mask"}


def test_a_share_is_not_shown_once_a_member_of_a_group_on_the_list_has_withdrawn(grouped):
    grouped.masked()
    signed = grouped.sign(grouped.names)
    gone, mate = grouped.groups[0][:2]
    grouped.sum.trust.consent(grouped.sum.firms[gone], "withdraw")
    refused("SUM_SURVIVORS", lambda: grouped.ask(mate, UNMASK, *signed))
