"""An older database is restored: what comes back from copies, what is refused, what is said not to be back."""

import shutil

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from contracts.envelope import canonical, digest, seal
from contracts.errors import Invalid, Refused, TrustError, Unavailable
from contracts.log.checkpoint import parse_line
from contracts.statements.closed_list import payload
from contracts.statements.statements import Incident
from coordinator.office import open_office
from coordinator.settings import create_home, read_home
from coordinator.store import ahead, documents
from coordinator.store.log import Log
from coordinator.store.tables import Cosignature
from coordinator.trust import members, recovery
from coordinator.trust.certificates import make_certificates
from coordinator.trust.recovery import find_lost, recover
from golden import Later
from shell.log_folder import LogFolder
from simulator import Trust

REGISTER = canonical({"name": "恒锐机械", "code": "91440200MA4AAAA01G", "salt": "0" * 32})
BEFORE = 5  # entries that the backup has: two of the three members have joined


class Restored:
    """A trust of three members, the home of its office with the first entries alone, and a copy of all of them."""

    def __init__(self, folder):
        self.trust, self.folder = Trust(3), folder
        self.trust.whole_run()
        home = folder / "home"
        create_home(home, name="商会", code_digest="", domain="test", url="https://localhost")
        for name, key in (
            ("log", self.trust.log_key),
            ("office", self.trust.office),
            ("agreement", self.trust.agreement_key),
        ):
            text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (home / "keys" / f"{name}.pem").write_bytes(text)
        make_certificates(home / "tls", self.trust.office, name="商会", hosts=("localhost",))
        self.office = open_office(read_home(home), is_new=True)
        for entry in self.trust.entries[:BEFORE]:
            self.office.log.append(entry)
        self.office.log.publish()
        self.trust.write(folder / "copy")
        self.copy = LogFolder(folder / "copy")

    def say(self, text):
        """One more incident, signed by the office; the entry."""
        about = {"about": None, "category": "other", "state": "open", "members": (), "document": digest(text)}
        return seal(payload(Incident(**self.trust.stamp(), **about)), [self.trust.office])


@pytest.fixture
def restored(tmp_path):
    made = Restored(tmp_path)
    yield made
    made.office.database.close()


def test_the_log_is_whole_again_under_the_checkpoint_that_members_cosigned_and_goes_on(restored):
    office, whole = restored.office, restored.trust
    lost = find_lost(office, [restored.copy])
    assert (lost.start, len(lost.entries), lost.cosigners()) == (BEFORE, len(whole.entries) - BEFORE, 3)
    recover(office, lost)
    note = office.log.publish()
    assert (note.checkpoint.size, note.checkpoint.root) == (len(whole.entries), whole.note().checkpoint.root)
    assert office.log.witnessed(0).checkpoint.size == len(whole.entries), "their cosignatures are back too"
    assert office.log.append(restored.say(b"on it goes")) == len(whole.entries)


def test_a_longer_copy_is_taken_and_shorter_ones_must_lie_on_its_tree(restored):
    shutil.copytree(restored.copy.root, restored.folder / "shorter")
    restored.trust.say(
        Incident(
            **restored.trust.stamp(), about=None, category="other", state="open", members=(), document=digest(b"")
        ),
        restored.trust.office,
    )
    restored.trust.write(restored.folder / "longer")
    copies = [LogFolder(restored.folder / name) for name in ("shorter", "longer")]
    assert find_lost(restored.office, copies).state.size == len(restored.trust.entries)


def test_after_it_went_on_with_other_entries_nothing_is_taken(restored):
    restored.office.log.append(restored.say(b"a second history"))
    with pytest.raises(Invalid, match="two histories") as told:
        find_lost(restored.office, [restored.copy])
    assert told.value.code == "SELF_EQUIVOCATION" and restored.office.log.state().size == BEFORE + 1


def test_copies_that_contradict_each_other_are_refused(restored, tmp_path):
    restored.trust.entries[-1] = restored.say(b"another end")
    restored.trust.write(tmp_path / "other")
    with pytest.raises(Invalid, match="two histories"):
        find_lost(restored.office, [restored.copy, LogFolder(tmp_path / "other")])


def test_an_altered_entry_a_torn_copy_and_a_stranger_s_log_are_refused(restored, tmp_path):
    [path] = [one for one in (restored.copy.root / "tile" / "entries").rglob("*") if one.is_file()]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(Invalid, match="is not what its checkpoint says"):
        find_lost(restored.office, [restored.copy])
    path.write_bytes(whole[:-9])
    with pytest.raises(TrustError):
        find_lost(restored.office, [restored.copy])
    path.unlink()
    with pytest.raises(Unavailable, match="not in this copy"):
        find_lost(restored.office, [restored.copy])
    Later().write(tmp_path / "stranger")
    with pytest.raises(Unavailable, match="no copy holds a checkpoint"):
        find_lost(restored.office, [LogFolder(tmp_path / "stranger")])
    assert restored.office.log.state().size == BEFORE


def test_what_is_cut_off_before_the_commit_has_taken_nothing(restored, monkeypatch):
    lost = find_lost(restored.office, [restored.copy])

    def cut(*_words):
        raise KeyboardInterrupt

    monkeypatch.setattr(recovery, "_take_names", cut)
    with pytest.raises(KeyboardInterrupt):
        recover(restored.office, lost)
    monkeypatch.undo()
    with restored.office.database.read() as session:
        assert session.get(Cosignature, (len(restored.trust.entries), "")) is None
    assert restored.office.log.state().size == BEFORE
    recover(restored.office, lost)
    assert restored.office.log.state().size == len(restored.trust.entries)


def test_a_log_that_grew_meanwhile_is_left_alone(restored):
    lost = find_lost(restored.office, [restored.copy])
    restored.office.log.append(restored.say(b"meanwhile"))
    with pytest.raises(Refused, match="has grown meanwhile"):
        recover(restored.office, lost)


def test_it_counts_what_is_not_back(restored):
    told = recover(restored.office, find_lost(restored.office, [restored.copy]))
    assert len(told.nameless) == 3 and told.documents == 0
    assert told.missing["model"] >= 1 and told.has_office_key and not told.has_authority


def test_documents_of_a_copy_come_back_for_those_who_may_read_them(restored, monkeypatch):
    folder = restored.copy.root / "documents"
    folder.mkdir()
    (folder / digest(REGISTER).removeprefix("sha256:")).write_bytes(REGISTER)
    (folder / digest(b"a stranger's").removeprefix("sha256:")).write_bytes(b"a stranger's")
    lost = find_lost(restored.office, [restored.copy])
    member = restored.trust.firms[0].member
    monkeypatch.setattr(recovery, "_named", lambda lost: {digest(REGISTER): ("register", member)})
    monkeypatch.setattr(recovery, "register_document", lambda state, who: digest(REGISTER) if who == member else None)
    told = recover(restored.office, lost)
    assert told.documents == 1 and member not in told.nameless
    assert documents.read(restored.office.database, digest(REGISTER)).author == member
    assert documents.read(restored.office.database, digest(b"a stranger's")) is None
    assert (
        members.names(restored.office.database)[member] == "恒锐机械"
        and members.waiting(restored.office.database) == []
    )


def test_nothing_is_appended_while_those_who_hold_more_leave_no_quorum(restored):
    office, held = restored.office, len(restored.trust.entries)
    recover(office, find_lost(office, [restored.copy]))  # all three count as witnesses from here on
    first, second, _ = (firm.member for firm in restored.trust.firms)
    ahead.note(office.database, first, held=held + 9, size=held)
    assert office.log.append(restored.say(b"one alone proves nothing")) == held
    ahead.note(office.database, second, held=held + 9, size=held)
    with pytest.raises(Refused, match="hold more entries") as told:
        office.log.append(restored.say(b"two of three"))
    assert told.value.code == "RESTORED" and "recover --from" in told.value.lines()[2]
    ahead.note(office.database, second, held=held, size=held)
    office.log.append(restored.say(b"it is back"))


def test_lines_of_others_under_a_checkpoint_are_not_kept(restored):
    stranger = Trust(1).note().signatures[-1]
    path = restored.copy.root / "checkpoint"
    path.write_text(path.read_text(encoding="utf-8") + parse_line(stranger.line()).line(), encoding="utf-8")
    recover(restored.office, find_lost(restored.office, [restored.copy]))
    assert stranger.name not in {one.name for one in Log.note(restored.office.log).signatures}
