"""Journeys of evidence, over real processes: keys that end and follow, a quorum that changes, a withdrawal that counts,
and a coordinator that shows two members two logs."""

import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from contracts.fields import moment
from contracts.statements.statements import Refusal
from demo.cluster import StepFailed, _environment, free_port
from demo.world import write
from warm import WarmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TWO_THIRDS = "members 2n//3+1, auditors 1"
# A coordinator that never hears a withdrawal; all else is the real one.
DEAF = """
import sys
from contracts.statements.closed_list import parse
from contracts.envelope import open_entry
from contracts.errors import Unavailable
from coordinator.store.log import Log
append = Log.append
def deaf(self, entry):
    if getattr(parse(open_entry(entry).payload), "event", None) == "withdraw":
        raise Unavailable("nothing has arrived here")
    return append(self, entry)
Log.append = deaf
from coordinator.cli import main
sys.argv[0] = "coordinator"
main()
"""


def found(folder, members):
    """A chamber with nodes that have consented; their processes are not started."""
    cluster = WarmCluster(folder, "en")
    cluster.found(epsilon_run="4", tasks=("risk",))
    data = write(folder / "world", members, "tiny")
    cluster.homes = [cluster.join(number, name, where) for number, (name, where) in enumerate(data, 1)]
    return cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with found(tmp_path_factory.mktemp("trust"), 4) as made:
        yield made


def until(look, seconds=120):
    """What `look` finds; looks again until then."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.05)
    return found


def live_witness(cluster, home):
    member = json.loads((cluster.home(home) / "invite.json").read_text("utf-8"))["member"]
    return cluster.log().state().live_key(member, "witness")[0]


def auditor(cluster, name):
    """An admitted auditor's key file."""
    key = cluster.folder / name / "identity.key"
    cluster.command("auditor", "init", key.parent)
    cluster.command("coordinator", "admit-auditor", key.parent / "admission.json", home="chamber")
    return key


def test_a_key_is_replaced_and_the_new_one_speaks(cluster):
    home = cluster.homes[0]
    before = live_witness(cluster, home)
    for role in ("witness", "node"):
        assert "in use" in cluster.command("client_node", "key", "rotate", role, "--yes", home=home)
    assert live_witness(cluster, home) != before
    shown = cluster.json("client_node", "key", "show", home=home)
    assert [(one["role"], one["ended"] is None) for one in shown].count(("node", False)) == 1
    cluster.command("client_node", "consent", "narrow", "--rounds", 30, "--yes", home=home)


def test_a_witness_that_lost_its_memory_names_its_successor(cluster):
    home = cluster.homes[1]
    before = live_witness(cluster, home)
    (cluster.home(home) / "witness.db").unlink()
    cluster.run_node(home)
    until(lambda: live_witness(cluster, home) != before)
    now = live_witness(cluster, home)
    cluster.command("coordinator", "incident", "a word", home="chamber")
    log = cluster.log()
    size = log.state().size
    until(lambda: log.note(size) and any("/witness/" in s.name for s in log.note(size).signatures))
    cluster.stop(home)
    assert live_witness(cluster, home) == now


def test_a_witness_restored_from_an_old_copy_gives_its_key_up(cluster):
    home = cluster.homes[2]
    cluster.command("client_node", "consent", "narrow", "--rounds", 40, "--yes", home=home)
    kept = cluster.folder / "backup"
    shutil.copytree(cluster.home(home), kept)
    cluster.command("coordinator", "incident", "after the backup", home="chamber")
    cluster.command("client_node", "check", home=home, ok=(0, 1))  # follows and cosigns
    before = live_witness(cluster, home)
    shutil.rmtree(cluster.home(home))
    kept.rename(cluster.home(home))
    cluster.run_node(home)
    until(lambda: live_witness(cluster, home) != before)
    cluster.stop(home)


def test_an_ended_key_is_followed_with_the_auditors_word(cluster):
    home, sheet = cluster.homes[3], cluster.folder / "key.json"
    first, second = (auditor(cluster, name) for name in ("auditor-1", "auditor-2"))
    cluster.command("client_node", "key", "end", "node", "--compromised", "--yes", home=home)
    with pytest.raises(StepFailed, match="not admitted"):
        cluster.command("client_node", "consent", "withdraw", home=home)
        cluster.command("client_node", "check", home=home)
    cluster.command("client_node", "key", "request", "node", "--out", sheet, home=home)
    cluster.command("auditor", "sign", sheet, "--identity", first, "--yes")
    with pytest.raises(StepFailed, match="KEY_ROTATION"):
        cluster.command("coordinator", "record", sheet, home="chamber")
    cluster.command("auditor", "sign", sheet, "--identity", second, "--yes")
    cluster.command("coordinator", "record", sheet, home="chamber")
    cluster.command("client_node", "key", "rotate", "node", "--yes", home=home)
    cluster.command("client_node", "consent", "sign", "--yes", home=home)


def test_the_quorum_changes_with_the_word_of_both_groups(cluster):
    sheet, key = cluster.folder / "quorum.json", cluster.folder / "auditor-1" / "identity.key"
    with pytest.raises(StepFailed, match="policy show"):
        cluster.command("coordinator", "policy", "propose", "members 1", "--out", sheet, home="chamber")
    cluster.command("coordinator", "policy", "propose", TWO_THIRDS, "--out", sheet, home="chamber")
    copies = []
    for home in cluster.homes[:3]:
        copies.append(cluster.folder / f"{home}.json")
        shutil.copy(sheet, copies[-1])
        assert TWO_THIRDS in cluster.command("client_node", "sign", copies[-1], "--yes", home=home)
    for given in ([sheet], copies):
        with pytest.raises(StepFailed, match="POLICY"):
            cluster.command("coordinator", "record", *given, home="chamber")
    cluster.command("auditor", "sign", copies[0], "--identity", key, "--yes")
    cluster.command("coordinator", "record", *copies, home="chamber")
    assert cluster.log().state().quorum == TWO_THIRDS
    assert TWO_THIRDS in cluster.command("coordinator", "policy", "show", home="chamber")
    assert cluster.json("coordinator", "policy", "show", home="chamber")["rule"] == TWO_THIRDS


def test_the_office_replaces_its_own_keys(cluster):
    for role in ("agreement", "office"):
        assert "counts" in cluster.command("coordinator", "key", "rotate", role, "--yes", home="chamber")
    cluster.stop("coordinator")
    cluster.serve()
    cluster.command("coordinator", "incident", "signed by the new key", home="chamber")


@pytest.fixture
def two_views(tmp_path):
    """A chamber that went on in two ways after a common beginning: the first member is shown
    one, the second the other."""
    with found(tmp_path, 3) as made:
        made.stop("coordinator")
        shutil.copytree(made.home("chamber"), made.home("other"))
        for view, words in (("chamber", "what all see"), ("other", "what one sees")):
            made.command("coordinator", "incident", words, home=view)
        made.serve()
        made.other_port = free_port()
        made.start("other", "coordinator", "serve", "--port", made.other_port, home="other")
        until(lambda: "serving" in (made.folder / "other.log").read_text("utf-8", "replace"))
        second = made.home(made.homes[1]) / "invite.json"
        told = json.loads(second.read_text("utf-8"))
        second.write_text(json.dumps(told | {"url": f"https://127.0.0.1:{made.other_port}"}), "utf-8")
        for home in made.homes[:2]:
            made.witness = free_port()
            made.start(home, "client_node", "run", "--witness", f"127.0.0.1:{made.witness}", home=home)
            made.witnesses = [*getattr(made, "witnesses", []), f"http://127.0.0.1:{made.witness}"]
        yield made


def cosigned(cluster, view):
    log = cluster.log(view)
    return until(lambda: any("/witness/" in s.name for s in log.note().signatures))


def proven(cluster, folder):
    """The proof in a folder convinces somebody who holds the third member's pins and nothing else."""
    pins = cluster.folder / "pins.json"
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[2])
    [proof] = until(lambda: sorted(Path(folder).glob("*.json")))
    return cluster.json("auditor", "verify-proof", proof, "--pins", pins)["kind"]


def test_two_views_are_exposed_by_a_watch_with_one_honest_witness_and_by_a_member(two_views):
    cluster, pins = two_views, two_views.folder / "pins.json"
    cosigned(cluster, "chamber")
    cosigned(cluster, "other")
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[2])
    for name, url, witness in (
        ("a", cluster.url, cluster.witnesses[1]),
        ("b", f"https://127.0.0.1:{cluster.other_port}", cluster.witnesses[0]),
    ):
        words = ("watch", url, "--pins", pins, "--witness", witness, "--state", cluster.folder / name)
        told = cluster.json("auditor", *words, ok=(1,))
        assert [one["code"] for one in told["wrong"]] == ["EQUIVOCATION"]
        assert proven(cluster, cluster.folder / name / "proofs") == "fork"
    # the second member is let into the common view, and its own node finds the lie
    for name in ("coordinator", "other"):
        cluster.stop(name)
    cluster.port = cluster.other_port
    cluster.command("coordinator", "incident", "one more", home="chamber")
    cluster.serve()
    assert cluster.processes[cluster.homes[1]].wait(timeout=120) != 0
    assert proven(cluster, cluster.home(cluster.homes[1]) / "evidence") == "fork"


def test_a_truncated_log_is_exposed_by_a_member_and_by_a_watch(two_views):
    cluster, pins = two_views, two_views.folder / "pins.json"
    cosigned(cluster, "chamber")
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[2])
    for name in ("coordinator", "other"):
        cluster.stop(name)
    size = cluster.log().state().size
    cluster.command("coordinator", "incident", "seen by the first member alone", home="chamber")
    cluster.serve()
    cosigned(cluster, "chamber")
    cluster.stop("coordinator")
    with cluster.log()._database.write() as session:
        session.execute(text('DELETE FROM logentry WHERE "index" >= :size'), {"size": size})
        session.execute(text("DELETE FROM publishedcheckpoint WHERE size > :size"), {"size": size})
        session.execute(text("DELETE FROM cosignature WHERE size > :size"), {"size": size})
    cluster.serve()
    words = ("watch", cluster.url, "--pins", pins, "--witness", cluster.witnesses[0], "--state", cluster.folder / "w")
    assert [one["code"] for one in cluster.json("auditor", *words, ok=(1,))["wrong"]] == ["TRUNCATED"]
    assert proven(cluster, cluster.folder / "w" / "proofs") == "truncated"
    assert cluster.processes[cluster.homes[0]].wait(timeout=120) != 0
    assert proven(cluster, cluster.home(cluster.homes[0]) / "evidence") == "truncated"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with found(tmp_path_factory.mktemp("withdrawing"), 4) as made:
        for home in made.homes:
            made.run_node(home)
        words = ("risk", "--rounds", 60, "--epsilon", "1", "--deadline", "15", "--yes", "--spend-anyway")
        made.command("coordinator", "order", *words, home="chamber")
        yield made


def rounds(cluster):
    [run] = [r for r in cluster.log().state().runs.values() if r.order.evaluates is None]
    return run.rounds


def member_of(cluster, home):
    return json.loads((cluster.home(home) / "invite.json").read_text("utf-8"))["member"]


def test_a_withdrawal_excludes_from_the_next_cut_off_within_ten_seconds(running):
    until(lambda: any(one.closed for one in rounds(running)))
    home = running.homes[3]
    member, began, asked_at = member_of(running, home), time.monotonic(), datetime.now(UTC)
    running.command("client_node", "consent", "withdraw", home=home)
    event = next(e for e in running.log().state().consent_events(member) if e.is_end())

    def closed_after():
        return [one.closed for one in rounds(running) if one.closed and one.closed.cutoff > event.index]

    closed = until(closed_after)
    whole = time.monotonic() - began
    assert all(member not in one.contributors for one in closed)
    given = moment((running.home(home) / "withdrawn").read_text("ascii"))
    print(f"withdrawn to excluded: {whole:.1f} s with the start of the command, logged {event.consent.issued_at}")
    assert given >= asked_at.replace(microsecond=0) and whole - (given - asked_at).total_seconds() <= 10


def test_a_coordinator_that_never_heard_a_withdrawal_gets_nothing_and_the_log_says_why(running):
    running.stop("coordinator")
    line = [sys.executable, "-c", DEAF, "serve", "--port", str(running.port), "--home", str(running.home("chamber"))]
    with (running.folder / "deaf.log").open("ab") as log:
        running.processes["coordinator"] = subprocess.Popen(line, stdout=log, stderr=log, env=_environment())
    running.wait_for_port()
    home = running.homes[2]
    member, size = member_of(running, home), running.log().state().size
    assert "does not know yet" in running.command("client_node", "consent", "withdraw", home=home)

    def refusal():
        from contracts.envelope import open_entry
        from contracts.statements.closed_list import parse

        log = running.log()
        said = [parse(open_entry(entry).payload) for entry in log.entries(size, log.state().size)]
        return [one for one in said if isinstance(one, Refusal) and one.member == member]

    assert {one.reason for one in until(refusal)} == {"consent"}, "to every round that it is asked in"
    opened_before = [one for one in rounds(running) if member in dict(one.opened.members) and one.open_index >= size]
    assert all(member not in one.closed.contributors for one in opened_before if one.closed)
