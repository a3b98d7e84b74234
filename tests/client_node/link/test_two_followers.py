"""Two commands of one home follow the log at once: a running node, and whoever asks it for a score meanwhile."""

from types import SimpleNamespace

import pytest

from client_node.home import create_home
from client_node.link.mirror import Mirror
from contracts.envelope import digest
from contracts.errors import Invalid
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
            return SimpleNamespace(json=lambda: {"checkpoint": note.text()})
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
