"""The state that a home keeps on disk: it saves folding, and nothing that does not fit is ever taken for the log's."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from contracts.log.merkle import Tree, leaf_hash
from shell import snapshot
from shell.snapshot import Snapshot
from simulator import Trust

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def trust():
    made = Trust(members=4)
    made.whole_run()
    return made


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "EVERY", 5)
    return tmp_path / "log.snapshot"


@pytest.fixture
def folded(monkeypatch):
    """How many entries went through the rules since the list was last emptied."""
    seen = []

    def apply(state, entry, index, rules=snapshot.apply):
        seen.append(index)
        return rules(state, entry, index)

    monkeypatch.setattr(snapshot, "apply", apply)
    return seen


def resume(path, entries, key=KEY):
    return Snapshot(path, key).resume(lambda start, end: entries[start:end])


def events(state):
    return sorted(state.consent_events(), key=lambda event: event.index)


def check(path, trust, entries=None, key=KEY):
    """Whatever lies at `path`, state and tree are those of the entries."""
    state, tree = resume(path, trust.entries, key)
    assert events(state) == events(trust.state)
    assert state == trust.state and tree.root() == Tree(map(leaf_hash, trust.entries)).root()


def test_only_what_came_since_is_folded(path, trust, folded):
    early = trust.entries[:-3]
    resume(path, early)
    assert len(folded) == len(early)
    folded.clear()
    check(path, trust)
    assert folded == list(range(len(early), len(trust.entries)))


def test_few_new_entries_write_nothing(path, trust):
    resume(path, trust.entries[:4])
    assert not path.exists()


def test_another_history_of_the_same_size_is_folded_anew(path, trust, folded):
    other = Trust(members=4)
    other.whole_run()
    resume(path, other.entries)
    folded.clear()
    check(path, trust)
    assert len(folded) == len(trust.entries)


def test_a_shorter_log_is_folded_anew(path, trust):
    resume(path, trust.entries)
    state, tree = resume(path, trust.entries[:6])
    assert state.size == tree.size == 6


@pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
def test_a_changed_byte_makes_it_absent(path, trust, place, folded):
    resume(path, trust.entries)
    held = bytearray(path.read_bytes())
    held[place] ^= 1
    path.write_bytes(held)
    folded.clear()
    check(path, trust)
    assert len(folded) == len(trust.entries)


def test_another_home_s_file_is_never_opened(path, trust, monkeypatch):
    resume(path, trust.entries, Ed25519PrivateKey.generate())
    monkeypatch.setattr(TypeAdapter, "validate_json", lambda self, data: pytest.fail("read before its MAC"))
    check(path, trust)


def test_other_rules_read_the_whole_log(path, trust, folded, monkeypatch):
    resume(path, trust.entries)
    folded.clear()
    monkeypatch.setattr(snapshot, "_code", lambda: b"other rules")
    check(path, trust)
    assert len(folded) == len(trust.entries)


@pytest.mark.parametrize("left", [b"", b"half of it"])
def test_a_kill_while_writing_leaves_what_was_there(path, trust, left):
    path.with_name("log.snapshot.part").write_bytes(left)
    path.write_bytes(left)
    check(path, trust)
    check(path, trust)


def test_a_full_disk_costs_nothing_but_time(path, trust, monkeypatch):
    def full(self, data):
        raise OSError(28, "no space left")

    monkeypatch.setattr(type(path), "write_bytes", full)
    check(path, trust)
    assert not path.exists()


def test_a_member_may_change_its_mind_often(path, folded):
    long = Trust(members=3)
    for _ in range(150):
        long.consent(long.firms[0], "withdraw")
        long.consent(long.firms[0])
    check(path, long)
    folded.clear()
    check(path, long)
    assert folded == [], "however many events hang on one another"
