"""A coordinator that comes back too late ends its round without a sum, and asks nobody for anything."""

from array import array
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from chamber import Chamber
from coordinator.learning.runs import RunJournal
from coordinator.learning.secure_sums import PARTS, RoundOpened, SecureSum, SumStep
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.store.clock import confirm
from coordinator.store.tables import TaskMessage
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK
from sums import Sum


def away(folder, edition, **span):
    """An office over a log whose round was opened so long ago."""
    old = {"totals": None} if edition == 1 else {}
    chamber = Chamber(folder, 3, "none", deadline_s=60, edition=edition, **old)
    trust = chamber.trust
    trust.now = datetime.now(UTC) - timedelta(minutes=1) - timedelta(**span)
    assert trust.open() == ()
    office = open_office(read_home(chamber.home))
    confirm(chamber.home)  # nobody was heard since the winter: somebody has looked at the clock
    for entry in trust.entries[-2:]:
        office.log.append(entry)

    def is_closed():
        return office.log.state().runs[chamber.run].rounds[-1].closed is not None

    return office, chamber.run, RunJournal(office.database, office.log, office.settings, chamber.run, is_closed)


def test_a_round_whose_time_is_over_is_aborted_and_nobody_is_asked(tmp_path):
    office, run, journal = away(tmp_path, 2, minutes=20)
    assert journal.open_round() is None
    [record] = office.log.state().runs[run].rounds
    assert record.closed.outcome == "aborted" and record.closed.model_out == record.opened.model_in
    with office.database.read() as session:
        assert session.exec(select(TaskMessage)).all() == []


def test_a_sum_that_comes_too_late_is_not_recorded(tmp_path):
    office, run, journal = away(tmp_path, 2, minutes=20)
    waiting = office.log.state().runs[run].open_round()
    opened = journal._opened(office.log.state().runs[run], waiting)
    journal.close_round(opened, object(), *journal.state())
    assert office.log.state().runs[run].rounds[0].closed.outcome == "aborted"


@pytest.mark.parametrize(("edition", "minutes"), [(1, 20), (2, 0)])
def test_a_round_that_may_still_end_well_is_gone_on_with(tmp_path, edition, minutes):
    office, run, journal = away(tmp_path, edition, minutes=minutes)
    record = office.log.state().runs[run].open_round()
    assert not journal._is_over(office.log.state().runs[run], record)
    assert (journal._opened(office.log.state().runs[run], record).ends is None) == (edition == 1)


@pytest.mark.parametrize("left", [60, 10, 0, -5])
def test_the_steps_of_a_sum_share_the_time_that_a_round_has(left):
    """Whoever is silent in each step: the last one ends with the round."""
    taken, ends = 0.0, datetime.now(UTC) + timedelta(seconds=left)
    for step in (KEYS, SHARES, TRAIN, SURVIVORS, UNMASK):
        opened = RoundOpened(1, 1, (), (), ends - timedelta(seconds=taken))
        taken += SumStep(None, "run", opened, 60, None, PARTS)._wait_s(step)
    assert taken == pytest.approx(max(left, 0), abs=0.1)


def test_replies_that_came_in_time_are_taken_by_a_coordinator_that_comes_back_at_the_end(tmp_path):
    made = Sum(tmp_path, 5)
    run = made.trust.run
    opened = made.opened()
    late = replace(opened, ends=datetime.now(UTC) - timedelta(seconds=9))
    used, total, _ = SecureSum(run.run, run.order, made).combine(made.grid(), late, array("d", [0.0]))
    assert total == made.plain(reply.member for reply in used) and len(used) == 5
