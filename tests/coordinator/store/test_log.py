"""The log by itself, on both databases: group commit, checkpoints, tiles, proofs, several processes at once."""

import shutil
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, make_url
from sqlalchemy.exc import OperationalError

from auditor.evidence.mirror import mirror
from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed, Refused, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import cosign_note, verify_log_signature, verify_proof, witness_name
from contracts.log.merkle import leaf_hash, root
from contracts.log.pins import Pins
from contracts.rules.findings import Finding
from coordinator.settings import create_home
from coordinator.store.database import Database, migrate
from coordinator.store.log import Log
from coordinator.store.static_log import write_static
from coordinator.store.tables import LogEntry
from hash_tiles import tile_hashes
from simulator import Trust
from storm import Storm

YEAR_S = 365 * 86_400


def opaque(state, entry, index):
    """Rules of a log whose entries mean nothing: only `bad` ones are refused."""
    broken = (Finding("BAD", index, "I0", "a bad entry"),) if entry.startswith(b"bad") else ()
    return replace(state, size=index + 1), broken


@pytest.fixture
def settings(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", database_url)
    made = create_home(tmp_path / "office", name="商会", code_digest="", domain="localhost", url="https://localhost")
    migrate(made.database_url)
    return made


@pytest.fixture
def database(settings):
    made = Database(settings.database_url)
    yield made
    made.close()


@pytest.fixture
def log(database, settings):
    return Log(database, settings, opaque)


def together(*calls):
    """Run calls in threads at once; what each returned or raised."""
    ended = [None] * len(calls)

    def run(place, call):
        try:
            ended[place] = call()
        except Exception as error:
            ended[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return ended


def test_many_submitters_share_a_commit_and_each_gets_its_own_index(log, database):
    commits = []
    event.listen(database._writes, "commit", lambda connection: commits.append(1))
    ended = together(*(lambda n=n: log.append(b"entry %d" % n) for n in range(120)))
    assert sorted(ended) == list(range(120)) and len(commits) < 120
    kept = list(log.entries(0, 120))
    assert all(kept[index] == b"entry %d" % n for n, index in enumerate(ended))


def test_one_refused_entry_does_not_harm_those_committed_with_it(log):
    ended = together(*(lambda n=n: log.append(b"bad" if n == 7 else b"entry %d" % n) for n in range(20)))
    assert isinstance(ended[7], Refused) and ended[7].code == "BAD"
    assert sorted(index for index in ended if isinstance(index, int)) == list(range(19))


def test_the_same_bytes_have_one_index_also_when_sent_twice_at_once(log):
    assert set(together(*(lambda: log.append(b"same") for _ in range(20)))) == {0}
    assert log.append(b"next") == 1 and log.append(b"same") == 0 and log.state().size == 2


def test_two_offices_on_one_database_make_one_log(log, settings):
    other_database = Database(settings.database_url)
    other = Log(other_database, settings, opaque)
    version = log._database.data_version()
    ended = together(*(lambda n=n: (log, other)[n % 2].append(b"entry %d" % n) for n in range(60)))
    assert sorted(ended) == list(range(60))
    assert log.state().size == other.state().size == 60
    assert log.publish() == other.publish(), "one root for one size, whoever signs"
    assert log._database.data_version() != version, "another connection's commit is noticed"
    other_database.close()


def test_checkpoints_proofs_and_tiles_follow_from_the_entries_and_survive_a_restart(log, database, settings):
    entries = [b"entry %d" % n for n in range(300)]
    for entry in entries[:3]:
        log.append(entry)
    early = log.publish()
    together(*(lambda entry=entry: log.append(entry) for entry in entries[3:]))
    again = Log(database, settings, opaque)
    note, kept = again.publish(), list(again.entries(0, 300))
    assert sorted(kept) == sorted(entries)
    leaves = [leaf_hash(entry) for entry in kept]
    verify_log_signature(note, again.key)
    assert (note.checkpoint.size, note.checkpoint.root) == (300, root(leaves))
    assert again.sizes() == [3, 300] and again.note(3) == early
    assert verify_proof(again.proof(2, early), leaves[2], again.key)[0] == 2
    assert verify_proof(again.proof(270, note), leaves[270], again.key)[0] == 270
    for name in tiles.names(300):
        data = again.tile(name.path())
        if name.level is None:
            first = name.n * tiles.WIDTH
            assert tiles.parse_bundle(data, name.width) == kept[first : first + name.width]
        else:
            assert data == tile_hashes(leaves, name)
    for absent in ("tile/entries/002", "tile/0/001.p/45", "tile/1/000"):
        with pytest.raises(Malformed):
            again.tile(absent)


def test_a_size_that_was_signed_keeps_its_root_for_ever(log, database, settings):
    log.append(b"entry")
    log.publish()
    with database.write() as session:
        row = session.get_one(LogEntry, 0)
        row.entry, row.digest = b"other", digest(b"other")
        session.add(row)
    with pytest.raises(Invalid) as told:
        Log(database, settings, opaque).publish()
    assert told.value.code == "SELF_EQUIVOCATION" and "database was altered" in str(told.value)


def test_a_failed_commit_acknowledges_nobody_and_the_next_one_goes_on(log, database):
    def full(connection):
        raise OperationalError("COMMIT", {}, OSError("no space left"))

    log.append(b"before")
    event.listen(database._writes, "commit", full)
    ended = together(*(lambda n=n: log.append(b"entry %d" % n) for n in range(8)))
    event.remove(database._writes, "commit", full)
    assert all(isinstance(error, Unavailable) for error in ended) and log.state().size == 1
    assert ended[0].lines()[2].endswith("nothing was lost, try again")
    ended = together(*(lambda n=n: log.append(b"entry %d" % n) for n in range(8)))
    assert sorted(map(str, ended)) == [str(n) for n in range(1, 9)]


def test_a_round_may_rely_only_on_a_checkpoint_that_enough_members_cosigned(database, settings):
    trust = Trust(members=3)
    settings = replace(settings, log_key=trust.log_key, domain="test")
    log = Log(database, settings)
    assert [log.append(entry) for entry in trust.entries] == list(range(len(trust.entries)))
    size, now = log.publish().checkpoint.size, int(time.time())
    assert log.witnessed(0) is None
    for firm in trust.firms[:2]:
        assert log.witnessed(0) is None, "one of three is not enough"
        log.cosign(size, cosign_note(log.note(), firm.witness, name=witness_name(log.key.name, firm.member), time=now))
    met = log.witnessed(size)
    assert met is not None and len(met.signatures) == 3 and log.witnessed(size + 1) is None
    with pytest.raises(Refused, match="no such checkpoint or witness"):
        log.cosign(
            size, cosign_note(met, trust.firms[0].witness, name=witness_name(log.key.name, "stranger"), time=now)
        )


@pytest.mark.parametrize("wrong", [-2 * YEAR_S, -3600, -61, 61, 3600, 2 * YEAR_S, 2**63, 2**64 - 1])
def test_a_cosignature_with_a_wrong_clock_is_refused_and_the_others_are_kept(database, settings, wrong):
    trust = Trust(members=3)
    own = replace(settings, log_key=trust.log_key, domain="test")
    log = Log(database, own, clock=lambda: trust.now.timestamp())
    for entry in trust.entries:
        log.append(entry)
    note = log.publish()

    def cosign(firm, at):
        name = witness_name(log.key.name, firm.member)
        log.cosign(note.checkpoint.size, cosign_note(note, firm.witness, name=name, time=at))

    now = int(trust.now.timestamp())
    with pytest.raises(Refused, match="clock of this witness is wrong") as error:
        cosign(trust.firms[0], wrong if wrong >= 2**63 else now + wrong)
    assert all(error.value.lines()) and error.value.code == "CLOCK"
    for firm in trust.firms[1:]:
        cosign(firm, now)
    assert log.witnessed(0) is not None
    trust.now += timedelta(hours=5)
    cosign(trust.firms[0], now + 5 * 3600), "a witness that was asleep signs when it wakes"


def test_no_acknowledged_entry_is_lost_and_no_size_gets_a_second_root_when_the_office_is_killed(
    tmp_path, database_url, monkeypatch
):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", database_url)
    storm = Storm()
    storm.over(tmp_path / "killed", 2)
    assert storm.kills == 2 and storm.acknowledged > 0


def test_the_log_as_a_folder_is_what_the_auditor_verifies_and_grows_without_touching_a_tile(
    database, settings, tmp_path
):
    trust = Trust(members=3)
    own = replace(settings, log_key=trust.log_key, domain="test")
    log = Log(database, own, clock=lambda: trust.now.timestamp())
    for entry in trust.entries:
        log.append(entry)

    def cosigned():
        note = log.publish()
        for firm in trust.firms:
            name = witness_name(log.key.name, firm.member)
            line = cosign_note(note, firm.witness, name=name, time=int(trust.now.timestamp()))
            log.cosign(note.checkpoint.size, line)

    cosigned()
    pins = Pins.model_validate(trust.pins())
    written, size = write_static(log, tmp_path / "served", "https://chamber.test")
    assert size == len(trust.entries) and written == 5
    assert write_static(log, tmp_path / "served", "https://chamber.test") == (0, size), (
        "nothing changed, nothing written"
    )
    shutil.copytree(tmp_path / "served", tmp_path / "copy")
    assert verify(Folder(tmp_path / "copy"), pins).findings() == []
    while len(trust.entries) < 260:
        trust.firms.append(trust.admit())
    for entry in trust.entries[size:]:
        log.append(entry)
    cosigned()
    _, grown = write_static(log, tmp_path / "served", "https://chamber.test", since=size)
    assert grown == len(trust.entries) and (tmp_path / "served/tile/entries/000").exists()
    assert not (tmp_path / "served/tile/entries/000.p").exists(), "the full tile replaces its partial ones"
    full = (tmp_path / "served/tile/entries/000").stat().st_mtime_ns
    write_static(log, tmp_path / "served", "https://chamber.test")
    assert (tmp_path / "served/tile/entries/000").stat().st_mtime_ns == full
    assert verify(Folder(tmp_path / "served"), pins).findings() == []


@pytest.mark.parametrize("is_read_late", [False, True])
def test_a_cosigned_checkpoint_below_a_full_tile_is_verified(database, settings, tmp_path, is_read_late):
    """Also if the tile that it ends in has given way to the full one while it was read."""
    trust = Trust(members=3)
    log = Log(database, replace(settings, log_key=trust.log_key, domain="test"), clock=lambda: trust.now.timestamp())
    pins, folder = Pins.model_validate(trust.pins()), tmp_path / "served"
    for size in (250, 260):
        while len(trust.entries) < size:
            trust.firms.append(trust.admit())
        for entry in trust.entries[log.state().size :]:
            log.append(entry)
        note = log.publish()
        for firm in trust.firms if size == 250 else ():
            line = cosign_note(
                note,
                firm.witness,
                name=witness_name(log.key.name, firm.member),
                time=int(trust.now.timestamp()),
            )
            log.cosign(note.checkpoint.size, line)
    seen = log.witnessed(0).checkpoint.size
    write_static(log, folder, "https://chamber.test")
    assert 240 < seen < 256 < log.published_size()
    assert (folder / f"tile/entries/000.p/{seen}").exists()
    if is_read_late:
        shutil.rmtree(folder / "tile/entries/000.p")
    assert verify(Folder(folder), pins).findings() == []
    assert mirror(Folder(folder), tmp_path / "copy")[0] == seen
    assert verify(Folder(tmp_path / "copy"), pins).findings() == []


def log_of(settings, trust, path, entries):
    address = make_url(f"sqlite:///{path}")
    migrate(address)
    log = Log(
        Database(address), replace(settings, log_key=trust.log_key, domain="test"), clock=lambda: trust.now.timestamp()
    )
    for entry in entries:
        log.append(entry)
    log.publish()
    return log


@pytest.mark.parametrize("is_another", [True, False])
def test_a_folder_is_not_written_over_by_another_log_or_an_older_one(settings, tmp_path, is_another):
    trust, folder = Trust(members=3), tmp_path / "served"
    write_static(log_of(settings, trust, tmp_path / "first.db", trust.entries), folder, "https://chamber.test")
    before = (folder / "checkpoint").read_bytes()
    other = Trust(members=3) if is_another else trust
    shown = log_of(settings, other, tmp_path / "second.db", other.entries[: None if is_another else 2])
    with pytest.raises(Refused, match="another log, or more entries"):
        write_static(shown, folder, "https://chamber.test")
    assert (folder / "checkpoint").read_bytes() == before


def test_of_all_processes_one_leads_and_another_follows_when_it_has_ended(settings, database):
    assert database.lead() and database.lead(), "and stays"
    second, third = Database(settings.database_url), Database(settings.database_url)
    assert not second.lead() and not third.lead()
    database.close()
    assert third.lead() and not second.lead()
    with third.write() as session:  # who leads keeps nobody else from reading and writing
        session.add(LogEntry(index=0, digest="sha256:1", entry=b"x"))
    with second.read() as session:
        assert session.get(LogEntry, 0).entry == b"x"
    third.close()
    assert second.lead()
    second.close()
