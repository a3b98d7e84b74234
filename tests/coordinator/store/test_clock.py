"""The office's clock is compared with what else is known of the time before it signs."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.errors import Refused
from coordinator.settings import ABOUT, create_home
from coordinator.store.clock import CONFIRMED, confirm, right_until
from coordinator.store.database import Database, migrate
from coordinator.store.log import Log
from coordinator.store.tables import LastSeen
from simulator import Trust


@pytest.fixture
def trust():
    return Trust(members=3)


@pytest.fixture
def settings(tmp_path, trust):
    made = create_home(tmp_path / "office", name="商会", code_digest="", domain="localhost", url="https://localhost")
    return replace(made, log_key=trust.log_key, domain="test")


@pytest.fixture
def database(settings):
    migrate(settings.database_url)
    made = Database(settings.database_url)
    yield made
    made.close()


@pytest.fixture
def log(database, settings, trust):
    made = Log(database, settings, clock=lambda: trust.now.timestamp())
    for entry in trust.entries:
        made.append(entry)
    return made


def order(log, trust, after):
    """The office orders a run so long after its newest entry, by its own clock."""
    trust.now += after
    trust.order()
    return log.append(trust.entries[-1])


@pytest.mark.parametrize("ahead", [timedelta(days=4), timedelta(days=31), timedelta(days=300)])
def test_under_a_clock_far_past_everything_known_the_office_is_asked_and_the_log_stays_open(log, trust, ahead):
    size = log.state().size
    with pytest.raises(Refused, match="nothing else says so") as error:
        order(log, trust, ahead)
    assert error.value.code == "CLOCK_AHEAD" and all(error.value.lines())
    assert log.state().size == size
    trust.now -= ahead
    del trust.entries[-1]
    trust.state = log.state()
    assert order(log, trust, timedelta(minutes=5)) == size, "at the right time it signs as before"


def test_a_long_weekend_asks_nothing(log, trust):
    assert order(log, trust, timedelta(days=2, hours=20)) == log.state().size - 1


def test_a_node_that_was_heard_lately_says_that_the_clock_is_right(log, trust, database):
    after = timedelta(days=20)
    with database.write() as session:
        session.merge(LastSeen(member=trust.firms[0].member, at=(trust.now + after).timestamp() - 3600))
    assert order(log, trust, after) == log.state().size - 1


def test_the_office_may_say_that_its_clock_is_right_and_is_asked_again_later(log, trust, settings):
    after = timedelta(days=20)
    confirm(settings.home)
    looked = (trust.now + after).timestamp()
    os.utime(settings.home / CONFIRMED, (looked, looked))
    assert order(log, trust, after) == log.state().size - 1
    with pytest.raises(Refused, match="nothing else says so"):
        order(log, trust, after)


def test_an_entry_that_was_made_long_ago_is_no_matter_of_this_clock(database, settings, trust):
    last = len(trust.entries)
    trust.now += timedelta(days=20)
    trust.order()
    log = Log(database, settings, clock=lambda: (trust.now + timedelta(days=90)).timestamp())
    assert [log.append(entry) for entry in trust.entries][-1] == last


def test_before_the_first_entry_the_founding_says_how_late_it_is(database, settings, trust):
    genesis, *_rest = trust.entries
    made = (trust.now - timedelta(minutes=5)).timestamp()
    os.utime(settings.home / ABOUT, (made, made))
    log = Log(database, settings, clock=lambda: trust.now.timestamp())
    log.append(genesis)
    with database.read() as session:
        assert right_until(session, settings.home, log.state()).timestamp() == made
    early = trust.now - timedelta(days=400)
    os.utime(settings.home / ABOUT, (early.timestamp(),) * 2)
    with pytest.raises(Refused, match="nothing else says so"):
        for entry in trust.entries:
            log.append(entry)
