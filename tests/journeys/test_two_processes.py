"""Two coordinator processes over one database: members talk to either, one drives the runs, and either may die."""

import json
import time

import pytest

from client_node.settings import read_home
from contracts.envelope import key_id
from coordinator.settings import read_home as read_chamber
from coordinator.store.database import Database
from coordinator.store.log import Log
from demo.world import write
from tapped import TappedCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROUNDS = 15


@pytest.fixture
def pair(tmp_path, database_url, monkeypatch):
    """Two processes over one home, four members of whom one talks to the first."""
    monkeypatch.setenv("MENGBANG_DATABASE_URL", database_url)
    with TappedCluster(tmp_path, "en") as first, TappedCluster(tmp_path, "en") as second:
        first.found(epsilon_run="4", tasks=("risk",))
        first.homes = [first.join(n, *one) for n, one in enumerate(write(tmp_path / "world", 4, "tiny"), 1)]
        second.serve()
        for home in first.homes:
            talk_to(first if home == first.homes[0] else second, home)
        yield first, second


def talk_to(cluster, home):
    """Start a node that reaches the chamber at this process."""
    invite = cluster.home(home) / "invite.json"
    held = json.loads(invite.read_text(encoding="utf-8"))
    invite.write_text(json.dumps(held | {"url": cluster.url}), encoding="utf-8")
    cluster.run_node(home)


def wait(ready, what):
    end = time.monotonic() + 400
    while not ready():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.2)


def leaders(cluster):
    return (cluster.folder / "coordinator.log").read_text("utf-8").count("this process drives the runs")


def test_a_run_ends_though_members_talk_to_different_processes_and_the_one_that_drives_it_is_killed(pair):
    first, second = pair
    settings = read_chamber(first.home("chamber"))
    database = Database(settings.database_url)
    log = Log(database, settings)
    words = ("risk", "--rounds", ROUNDS, "--epsilon", "1", "--deadline", "10", "--yes", "--spend-anyway")
    first.command("coordinator", "order", *words, home="chamber")
    [name] = log.state().runs
    wait(lambda: len(log.state().runs[name].rounds) > 3, "the fourth round")
    assert leaders(first) == 1, "one of the two drives the run"
    keys = {home: key_id(read_home(first.home(home)).node_key.public_key()) for home in first.homes}
    sent = [{m.key for m in one.heard() if "contributions" in m.path} for one in (first, second)]
    assert sent == [{keys[first.homes[0]]}, {keys[home] for home in first.homes[1:]}]

    first.stop("coordinator", kill=True)
    first.stop(first.homes[0])
    talk_to(second, first.homes[0])
    wait(lambda: log.state().runs[name].release, "the released model")
    assert leaders(first) == 2, "the other one drives it to its end"
    run = log.state().runs[name]
    assert len(run.rounds) == ROUNDS and [r.closed.outcome for r in run.rounds].count("aborted") <= 1
    assert set(run.rounds[-1].closed.contributors) == set(log.state().members())

    first.serve()
    time.sleep(2)
    assert leaders(first) == 2, "who comes back answers, and follows"
    assert first.json("client_node", "status", home=first.homes[1])["released"]
    database.close()
