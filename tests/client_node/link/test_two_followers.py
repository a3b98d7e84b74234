"""Two commands of one home follow the log at once: a running node, and whoever asks it for a score meanwhile."""

import json
from types import SimpleNamespace

import pytest

from client_node.home import create_home
from client_node.link.mirror import Mirror
from client_node.link.uplink import CoordinatorRefused
from client_node.link.witness import Witness
from contracts.envelope import digest
from contracts.errors import Invalid, Unavailable
from contracts.log import tiles
from contracts.log.merkle import leaf_hash, root
from editor import Editor
from editor import Mirror as Log


class Office:
    """Shows the first `size` entries of a log."""

    def __init__(self, log):
        self.log, self.size = log, 5

    def ask(self, kind, method, path, body=None):
        note = self.log.note(self.size, cosigned_by=())
        if kind == "head":
            return SimpleNamespace(content=json.dumps({"checkpoint": note.text()}).encode())
        assert kind == "tile"
        name = next(n for n in tiles.names(self.size) if f"/{n.path()}" == path)
        return SimpleNamespace(content=tiles.bundle(self.log.entries[name.n * tiles.WIDTH :][: name.width]))


@pytest.fixture
def office():
    editor = Editor()
    return Office(Log(editor.build(), editor.keys))


@pytest.fixture
def mirror(tmp_path, office):
    """A way to open the copy of the log as one more command would."""
    settings = create_home(tmp_path / "home", tmp_path)
    invite = {"log_vkey": office.log.log.vkey(), "genesis": digest(office.log.entries[0]), "member": "m"}
    (settings.home / "invite.json").write_text('{"member": "m"}', encoding="utf-8")
    return lambda: Mirror(settings, invite)


def test_both_extend_the_copy_and_neither_fails(mirror, office):
    running, asked = mirror(), mirror()
    for size in (5, 9, 12):
        office.size = size
        running.follow(office, 0), asked.follow(office, 0)
        assert running.tree.root() == asked.tree.root() and running.entries() == office.log.entries[:size]
    office.size = 14
    running.follow(office, 0)
    office.size = 13  # the other one was answered a moment earlier
    asked.follow(office, 0)
    assert (asked.tree.size, mirror().tree.size) == (13, 14)
    assert mirror().seen().root == "sha256:" + root([leaf_hash(e) for e in office.log.entries[:14]]).hex()


def test_a_log_that_shows_each_of_them_another_history_is_caught(mirror, office, tmp_path):
    running, asked = mirror(), mirror()
    for one in (running, asked):
        one.follow(office, 0)
    office.size = 12
    running.follow(office, 0)
    office.log.entries[10] = office.log.entries[9]
    with pytest.raises(Invalid) as caught:
        asked.follow(office, 0)
    assert caught.value.code == "EQUIVOCATION" and mirror().entries() == running.entries()
    assert list((tmp_path / "home" / "evidence").iterdir()), "two signed checkpoints of one size prove it to others"


class Cosigned(Office):
    """Keeps what it is handed, unless it `fails` just then; shows this node's witness key as admitted."""

    def __init__(self, log):
        super().__init__(log)
        self.fails, self.unknown, self.kept = False, None, []
        self.forgotten, self.refusing = set(), lambda body: None

    def ask(self, kind, method, path, body=None):
        if kind == "cosignature":
            if self.fails:
                raise Unavailable("away")
            if self.unknown:
                raise self.unknown
            if body["size"] in self.forgotten:
                self.refusing(body)
                raise CoordinatorRefused("no such checkpoint or witness", code="QUORUM")
            self.kept.append(body["size"])
            return None
        if kind == "checkpoint":
            return SimpleNamespace(text=self.log.note(self.size, cosigned_by=()).text())
        if kind == "head" and self.size == int(path.partition("after=")[2].partition("&")[0]):
            return SimpleNamespace(content=b'{"checkpoint":null}')
        return super().ask(kind, method, path, body)


@pytest.fixture
def witnessing(office, tmp_path, monkeypatch):
    """A mirror whose witness key counts."""
    settings = create_home(tmp_path / "home", tmp_path)
    invite = {"log_vkey": office.log.log.vkey(), "genesis": digest(office.log.entries[0]), "member": "m"}
    (settings.home / "invite.json").write_text('{"member": "m"}', encoding="utf-8")
    monkeypatch.setattr(Mirror, "_is_witness", lambda self: True)
    return lambda: Mirror(settings, invite)


def test_a_cosignature_that_was_lost_on_its_way_is_sent_until_it_arrives(witnessing, office):
    office = Cosigned(office.log)
    mirror, office.fails = witnessing(), True
    for _ in range(3):
        with pytest.raises(Unavailable):
            mirror.follow(office, 0)
    office.fails = False
    assert mirror.follow(office, 0) is None, "no new entry is needed for it"
    assert office.kept == [5]
    mirror.follow(office, 0)
    assert office.kept == [5], "what has arrived is not sent again"
    witnessing().follow(office, 0)
    assert office.kept == [5, 5], "a process that was just started cannot know that it has"


def test_a_node_that_starts_on_a_shorter_log_says_that_it_is_shorter(witnessing, office):
    """And not that a checkpoint is unknown, which is all that the coordinator of a restored database can say."""
    office = Cosigned(office.log)
    witnessing().follow(office, 0)
    office.size, office.unknown = 3, CoordinatorRefused("no such checkpoint or witness", code="QUORUM")
    with pytest.raises(Invalid, match="the log has become shorter") as told:
        witnessing().follow(office, 0)
    assert "restored an older database" in told.value.lines()[1]


def test_a_node_that_was_killed_before_it_signed_what_it_had_read_signs_it_when_it_starts(
    witnessing, office, monkeypatch
):
    office = Cosigned(office.log)
    with monkeypatch.context() as killed:
        killed.setattr(Mirror, "_cosign", lambda *_words: None)
        witnessing().follow(office, 0)
    assert witnessing().tree.size == 5 and office.kept == []
    assert witnessing().follow(office, 0) is None, "no new entry is needed for it"
    assert office.kept == [5]


def disk_full(*_words, **_named):
    raise Unavailable("disk full")


def test_a_witness_that_could_not_write_signs_when_it_can_again(witnessing, office, monkeypatch):
    office = Cosigned(office.log)
    mirror = witnessing()
    with monkeypatch.context() as full:
        full.setattr(Witness, "add", disk_full)
        with pytest.raises(Unavailable, match="disk full"):
            mirror.follow(office, 0)
    assert mirror.follow(office, 0) is None and office.kept == [5], "no new entry is needed for it"


def test_a_checkpoint_that_a_recovered_log_does_not_know_keeps_nobody_from_its_newer_ones(witnessing, office):
    office = Cosigned(office.log)
    witnessing().follow(office, 0)
    office.size, office.forgotten = 9, {5}
    again = witnessing()
    again.follow(office, 0)
    assert again.tree.size == 9 and office.kept == [5, 9]


def test_a_cosignature_under_a_wrong_clock_is_given_anew_when_the_clock_is_right(witnessing, office):
    office = Cosigned(office.log)
    office.unknown = CoordinatorRefused("the clock of this witness is wrong", code="CLOCK")
    mirror = witnessing()
    for _ in range(2):
        with pytest.raises(CoordinatorRefused, match="clock of this witness"):
            mirror.follow(office, 0)
    office.unknown, office.forgotten = None, {5}  # once more it is the line of before, and refused

    def is_right_now(body):
        office.forgotten = set()

    office.refusing = is_right_now
    mirror.follow(office, 0)
    assert office.kept == [5], "no new entry is needed for it"


def test_a_checkpoint_that_took_long_to_read_is_signed_only_while_it_is_the_newest(witnessing, office, monkeypatch):
    office = Cosigned(office.log)
    clock = iter(range(0, 10_000, 31))
    monkeypatch.setattr("client_node.link.mirror.time.monotonic", lambda: next(clock))
    mirror = witnessing()
    mirror.follow(office, 0)
    assert office.kept == [5]
    office.size = 9
    grows = mirror._extend

    def extend(uplink, note):
        grows(uplink, note)
        office.size = 12

    monkeypatch.setattr(mirror, "_extend", extend)
    mirror.follow(office, 0)
    assert office.kept == [5], "its time would say that nothing stood above it yet"
    mirror.follow(office, 0)
    assert office.kept == [5, 5, 12], "what was signed before is sent once more, and what has aged is not signed"
