"""A chamber over the years, with real processes and real TLS: its CA changes, a certificate ends,
an old backup is restored."""

import json
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from coordinator.settings import read_home
from coordinator.trust.certificates import opened, pem, read_certificate, server_certificate
from demo.cluster import StepFailed, company_code
from demo.world import write
from warm import WarmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def cluster(tmp_path):
    """Three members who have consented; the nodes of the first two run."""
    with WarmCluster(tmp_path, "en") as made:
        made.found(epsilon_run="4", tasks=("risk",))
        made.data = write(tmp_path / "world", 5, "tiny")
        made.homes = [made.join(number, *made.data[number - 1]) for number in (1, 2, 3)]
        for home in made.homes[:2]:
            made.run_node(home)
        yield made


def until(look, seconds=120):
    """What `look` finds; looks again until then."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.1)
    return found


def is_cosigned(cluster):
    """Whether the first two have cosigned everything."""
    size = cluster.log().state().size
    note = cluster.log().note(size)
    return note is not None and len(note.signatures) >= 3


def said(cluster, name):
    return (cluster.folder / f"{name}.log").read_text("utf-8", "replace")


def joins(cluster, number, invite):
    """A member joins with an invite that was made already."""
    home = f"node-{number:02d}"
    cluster.command("client_node", "init", "--data", cluster.data[number - 1][1], home=home)
    cluster.command("client_node", "join", invite, "--yes", home=home)
    return home


def invited(cluster, number):
    out = cluster.folder / f"{number:02d}.invite"
    words = (cluster.data[number - 1][0], "--code", company_code(number), "--out", out, "--approve")
    cluster.command("coordinator", "invite", *words, home="chamber")
    return out


def test_a_new_ca_is_followed_from_the_log_and_old_and_new_invites_work_through_the_overlap(cluster):
    tls = cluster.home("chamber") / "tls"
    (tls / "ca.key").unlink()  # a home of before: the key of its CA was not kept
    old, before = (tls / "ca.pem").read_text(), invited(cluster, 4)
    told = cluster.command("coordinator", "certificate", "renew", "--yes", home="chamber")
    assert "a new CA is named by entry" in told and (tls / "ca.pem").read_text() != old
    kept = [cluster.home(home) / "authorities.json" for home in cluster.homes[:2]]
    until(lambda: all(path.exists() for path in kept))
    after = invited(cluster, 5)
    assert json.loads(after.read_text("utf-8"))["ca_pem"] == (tls / "ca.pem").read_text()
    joins(cluster, 4, before)
    joins(cluster, 5, after)

    os.replace(tls / "next.pem", tls / "server.pem")  # what the coordinator does on the sixtieth day
    until(lambda: said(cluster, "coordinator").count("another certificate is shown") == 2)
    cluster.command("coordinator", "incident", "after the overlap", home="chamber")
    until(lambda: cluster.log().note() and len(cluster.log().note().signatures) >= 3)

    sleeper, copy = cluster.homes[2], cluster.folder / "copy"
    told = cluster.json("client_node", "check", home=sleeper, ok=(1,))
    [connection] = [one for one in told if one["check"] == "connection, clock and log"]
    assert "CA that this node trusts" in connection["error"] and "client-node follow FOLDER" in connection["do"]
    cluster.command("coordinator", "export", copy, home="chamber")
    assert "this node trusts the CA" in cluster.command("client_node", "follow", copy, home=sleeper)
    told = cluster.json("client_node", "check", home=sleeper, ok=(0, 1))
    assert [
        one["ok"] for one in told if one["check"] in ("connection, clock and log", "certificate of the chamber")
    ] == [True] * 2

    pins = cluster.folder / "pins.json"
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[0])
    assert json.loads(pins.read_text())["ca_pem"] == (tls / "ca.pem").read_text()
    cluster.command("auditor", "verify", copy, "--pins", pins)
    cluster.command("auditor", "verify", cluster.url, "--pins", pins)


def test_a_running_node_waits_while_a_certificate_has_ended_or_is_not_yet_valid(cluster):
    home, settings = cluster.homes[0], read_home(cluster.home("chamber"))
    shown = settings.home / "tls" / "server.pem"
    good, public = shown.read_bytes(), read_certificate(shown).public_key()
    issuer = opened(settings.home / "tls", settings.office_key)
    for begun, sentence in (
        (datetime.now(UTC) - timedelta(days=365 * 5 + 1), "has ended: this clock says"),
        (datetime.now(UTC) + timedelta(days=2), "is not yet valid: this clock says"),
    ):
        shown.write_bytes(pem(server_certificate(issuer, public, ("localhost",), begun)))
        cluster.stop("coordinator")
        cluster.serve()
        until(lambda sentence=sentence: sentence in said(cluster, home))
        assert cluster.processes[home].poll() is None
        told = cluster.json("client_node", "check", home=cluster.homes[2], ok=(1,))
        assert any(sentence in (one["error"] or "") for one in told)
        shown.write_bytes(good)
        cluster.stop("coordinator")
        cluster.serve()
        cluster.command("coordinator", "incident", "it is back", home="chamber")
        until(lambda: is_cosigned(cluster))


def killed_in_the_middle(*words):
    """`coordinator recover`, killed when all is written and nothing committed."""
    from coordinator.trust import recovery
    from warm import command

    recovery._take_names = lambda *_words: os.kill(os.getpid(), signal.SIGKILL)
    command(*words)


def test_a_restored_older_log_is_recovered_from_what_members_hold(cluster):
    chamber, backup, copy = cluster.home("chamber"), cluster.folder / "backup", cluster.folder / "copy"
    cluster.stop("coordinator")
    shutil.copytree(chamber, backup)
    cluster.serve()
    late = cluster.join(4, *cluster.data[3])
    cluster.command("coordinator", "incident", "after the backup", home="chamber")
    until(lambda: is_cosigned(cluster))
    size = cluster.log().state().size
    cluster.logs.pop("chamber")._database.close()

    cluster.stop("coordinator")
    shutil.rmtree(chamber)
    shutil.copytree(backup, chamber)
    cluster.serve()
    for home in cluster.homes[:2]:
        assert cluster.processes.pop(home).wait(timeout=120) != 0
        assert "restored an older database" in cluster.command("client_node", "check", home=home, ok=(1,))
    assert cluster.json("coordinator", "status", home="chamber")["ahead"]
    assert "was an older database restored?" in said(cluster, "coordinator")
    with pytest.raises(StepFailed, match="second history"):
        cluster.command("coordinator", "incident", "a second history", home="chamber")

    cluster.command("client_node", "export", copy, home=cluster.homes[0])
    with pytest.raises(StepFailed, match="stop coordinator serve"):
        cluster.command("coordinator", "recover", "--from", copy, "--yes", home="chamber")
    cluster.stop("coordinator")
    words = ["coordinator", "recover", "--from", str(copy), "--yes", "--home", str(chamber), "--lang", "en"]
    cluster.start_work("killed", killed_in_the_middle, words)
    assert cluster.processes.pop("killed").wait(timeout=60) == -signal.SIGKILL
    assert cluster.json("coordinator", "status", home="chamber")["size"] < size
    told = cluster.command("coordinator", "recover", "--from", copy, "--yes", home="chamber", ok=(1,))
    assert f"the log has {size} entries again" in told
    assert "register documents" in told and "texts of incidents" in told and "has no name here" in told

    cluster.serve()
    for home in cluster.homes[:2]:
        cluster.run_node(home)
    cluster.command("coordinator", "incident", "restored from the backup of the night", home="chamber")
    until(lambda: is_cosigned(cluster))
    assert cluster.json("coordinator", "status", home="chamber")["ahead"] == []
    pins = cluster.folder / "pins.json"
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[0])
    cluster.command("auditor", "verify", cluster.url, "--pins", pins)

    told = cluster.command("client_node", "join", "--yes", home=late)
    assert "admitted as" in told and "nothing was signed again" in told
    assert cluster.data[3][0] in cluster.command("coordinator", "status", home="chamber")
    assert cluster.log().state().size == size + 1, "nobody has signed anything again"
