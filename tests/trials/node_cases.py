"""The other ways to cheat a ledger, tried on real nodes after a storm. Each raises AssertionError if it works."""

import json
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import racer
from client_node.home import uplink_of
from client_node.ledger.chain import Caps
from client_node.ledger.ledger import Budget
from client_node.rounds import node
from client_node.rounds.node import limits_of
from contracts.errors import Invalid, Refused, Unavailable
from contracts.fields import time_text
from node_storm import Ledger, order, verdict
from privacy.spend import Spend, Unit
from warm import command

YEAR = str(datetime.now(UTC).year)


def audit(trust):
    """an auditor replays the whole log:"""
    found = verdict(trust.cluster, trust.homes[0])
    assert found == [], found
    return "clean"


def race_for_the_last_budget(trust):
    """six processes race for the last 25 nano-rho of a ledger:"""
    copy = trust.cluster.folder / "race" / "ledger.db"
    copy.parent.mkdir()
    _copy(_ledger(trust, _busiest(trust)), copy)
    before = racer.spent(Budget(copy), "receivables", "counterparty", "train", YEAR)
    for process in [racer.start(copy, f"run{number}", cap=before + 25) for number in range(6)]:
        process.wait(timeout=300)
    Budget(copy).verify()
    won = racer.spent(Budget(copy), "receivables", "counterparty", "train", YEAR) - before
    assert won == 25 == (copy.parent / "sent").stat().st_size, won
    return "25 charged, 25 sent"


def race_for_a_home(trust):
    """six nodes are started on the home of one that runs:"""
    cluster, home = trust.cluster, trust.homes[0]
    for number in range(6):
        cluster.start(f"second-{number}", "client_node", "run", home=home)
    ends = [cluster.processes.pop(f"second-{number}").wait(timeout=300) for number in range(6)]
    assert all(ends) and cluster.processes[home].poll() is None
    return "all six refused, the first goes on"


def replay_to_the_chamber(trust):
    """every reply that ever reached the coordinator is sent again by its node:"""
    before, counted = _kept(trust), {"taken as known": 0, "refused as late": 0}
    links = {home: uplink_of(held, Budget(held.home / "ledger.db")) for home, held in trust.settings.items()}
    for message in trust.cluster.heard():
        if message.task():
            kind = "contribution" if "contributions" in message.path else "sum-step"
            try:
                _ask(links[trust.keys[message.key]], kind, message)
                counted["taken as known"] += 1
            except Refused as error:
                assert error.code == "LATE", error.code
                counted["refused as late"] += 1
    after = _kept(trust)  # a run may be under way: there is more now, and nothing else
    assert {name: after[name] for name in before} == before
    return ", ".join(f"{number} {what}" for what, number in counted.items()) + ", nothing changed"


def replay_to_the_node(trust):
    """every round that a ledger knows is asked of it again:"""
    same = burnt = 0
    for home in trust.homes:
        ledger, budget = Ledger(_ledger(trust, home)), Budget(_ledger(trust, home))
        for row in ledger.spends:
            spend = _spend(row)
            try:
                budget.reserve(spend, _caps(trust, home))
                same += 1
            except Refused as error:
                assert error.code == "BURNT"
                burnt += 1
        assert budget.head().rho_total_nano == sum(row["rho_nano"] for row in ledger.spends)
    return f"{same} times the same bytes, {burnt} burnt, nothing charged"


def clock_set_back_under_the_ledger(trust):
    """the clock is set back two days, and a year, under a ledger:"""
    home = _busiest(trust)
    budget = Budget(_ledger(trust, home))
    for days in (2, 365):
        then = time_text(datetime.now(UTC) - timedelta(days=days))
        try:
            spend = Spend("receivables", Unit.COUNTERPARTY, "train", 1, "back", 1)
            budget.reserve(spend, _caps(trust, home, at=then))
        except Refused as error:
            assert (error.code, error.values["reason"]) == ("GUARD", "ledger")
        else:
            raise AssertionError("a clock that was set back opens budget")
    return "refused (GUARD, ledger)"


def four_cheats_in_one_run(trust):
    """clock set back, backup restored, ledger deleted, bit flipped, each on a running node of its own:"""
    cheats = dict(zip(("clock", "backup", "deleted", "flipped"), trust.homes, strict=False))
    backup = trust.cluster.folder / "backup.db"
    _copy(_ledger(trust, cheats["backup"]), backup)
    _one_more_round(trust, cheats["backup"])
    for home in cheats.values():
        trust.cluster.stop(home, kill=True)
    _restore(_ledger(trust, cheats["backup"]), backup)
    _restore(_ledger(trust, cheats["deleted"]), None)
    _flip(_ledger(trust, cheats["flipped"]))
    _start_in_the_past(trust.cluster, cheats["clock"])
    for name in ("backup", "deleted", "flipped"):
        trust.run_node(cheats[name])
    heard = len(trust.cluster.heard())
    told = _refusals(trust, cheats)
    sent = [message for message in trust.cluster.heard(heard) if "contributions" in message.path]
    assert not [m for m in sent if trust.keys.get(m.key) in cheats.values()], "a cheat has sent a contribution"
    return ", ".join(f"{name} {said}" for name, said in told.items()) + "; 0 contributions"


CASES = (
    audit,
    race_for_the_last_budget,
    race_for_a_home,
    replay_to_the_chamber,
    replay_to_the_node,
    clock_set_back_under_the_ledger,
    four_cheats_in_one_run,
)


def _ledger(trust, home):
    return trust.cluster.home(home) / "ledger.db"


def _busiest(trust):
    """The node that has released most often."""
    return max(trust.homes, key=lambda home: len(Ledger(_ledger(trust, home)).spends))


def _copy(source, target):
    """A consistent copy of a ledger that is in use."""
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)


def _restore(path, backup):
    """Put a backup in the place of a ledger, or nothing."""
    for name in ("", "-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    if backup:
        shutil.copy(backup, path)


def _flip(path):
    """Flip the lowest bit of one digit of the newest spend."""
    with sqlite3.connect(path) as connection:
        seq, body = connection.execute(
            "SELECT seq, body FROM row WHERE body LIKE '%spend%' ORDER BY seq DESC"
        ).fetchone()
        place = next(at for at in range(body.index("rho_nano"), len(body)) if body[at].isdigit())
        changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
        connection.execute("UPDATE row SET body = ? WHERE seq = ?", (changed, seq))


def _spend(row):
    return Spend(row["dataset"], Unit(row["unit"]), row["partition"], row["rho_nano"], row["run"], row["round"])


def _caps(trust, home, at=""):
    limits, at = limits_of(trust.settings[home]), at or time_text(datetime.now(UTC))
    return Caps(limits.run, limits.account, limits.ceiling, at[:4], at)


def _ask(link, kind, message):
    """Send a reply again until it is not lost on its way."""
    while True:
        try:
            return link.ask(kind, "PUT", message.path, json.loads(message.body))
        except Unavailable:
            continue


def _kept(trust):
    """{task name: (line, payload)} of all replies that the coordinator keeps."""
    with sqlite3.connect(trust.cluster.home("chamber") / "coordinator.db") as connection:
        rows = connection.execute("SELECT id, line, payload FROM taskmessage WHERE payload IS NOT NULL")
        return {name: (line, payload) for name, line, payload in rows}


def _one_more_round(trust, home):
    """A round of a new run with this node in its sum, so that the log has seen a later head of its
    ledger than a backup holds."""
    size, member = trust.cluster.log().state().size, trust.settings[home].member
    order(trust.cluster)

    def is_summed():
        records = [record for run in trust.cluster.log().state().runs.values() for record in run.rounds]
        return any(r.open_index >= size and r.closed and member in r.closed.contributors for r in records)

    _wait(is_summed, "the next sum")


class Back(datetime):
    """A clock that goes two days late."""

    @classmethod
    def now(cls, tz=None):
        """See datetime."""
        return super().now(tz) - timedelta(days=2)


def run_in_the_past(home):
    """A node whose clock is late; what a process of its own does."""
    node.datetime = Back
    command("client_node", "run", "--home", home, "--lang", "en")


def _start_in_the_past(cluster, home):
    cluster.start_work(home, run_in_the_past, (str(cluster.home(home)),))


def _refusals(trust, cheats):
    """How each cheat ends, once all have."""
    ended, since = trust.cluster.processes[cheats["flipped"]], time_text(datetime.now(UTC) - timedelta(days=3))
    told = {}

    def look():
        for name in ("clock", "backup", "deleted"):
            said = [r for r in Budget(_ledger(trust, cheats[name])).refused() if r[1] == "GUARD" and r[0] > since]
            if said:
                told[name] = f"refused ({said[-1][1]}, {said[-1][2]})"
        if ended.poll() is not None:
            told["flipped"] = f"the node ends ({_altered(trust, cheats['flipped'])})"
        return len(told) == len(cheats)

    _wait(look, "the refusals")
    return told


def _altered(trust, home):
    try:
        Budget(_ledger(trust, home))
    except Invalid as error:
        return error.code
    raise AssertionError("a flipped bit is not found")


def _wait(ready, what, seconds=300):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.5)
