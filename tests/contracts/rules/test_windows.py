"""Windows and deadlines of an agreement bind since edition 2: no order outlasts its window, no round its time."""

from datetime import timedelta

import pytest

from contracts.fields import time_text
from contracts.rules.times import shifted
from simulator import Trust


def codes(findings):
    return [f.code for f in findings]


def trust_of(edition):
    made = Trust(edition=edition)
    for firm in made.firms:
        made.consent(firm)
    return made


@pytest.fixture
def trust():
    return trust_of(2)


def expiring(trust, **span):
    """An order with a window of an hour, which expires so long after it was made."""
    ends = time_text(trust.now + timedelta(minutes=1) + timedelta(**span))
    return codes(trust.order(window_s=3600, expires_at=ends))


def test_an_order_expires_within_its_window(trust):
    assert expiring(trust, seconds=3600) == []
    assert expiring(trust, seconds=3601) == ["ROUND_SEQUENCE"]
    assert expiring(trust, days=300) == ["ROUND_SEQUENCE"]
    assert expiring(trust_of(1), days=300) == [], "the text of edition 1 bound nobody"


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize(("seconds", "late"), [(120, False), (121, True), (31 * 86_400, True)])
def test_a_round_past_its_time_can_only_be_aborted(edition, seconds, late):
    """Deadline and skew are a minute each."""
    trust = trust_of(edition)
    trust.order(), trust.open()
    trust.now += timedelta(seconds=seconds - 60)
    assert codes(trust.close()) == ["ROUND_SEQUENCE"] * (late and edition == 2)
    assert trust.open() == () or (late and seconds > 86_400)


@pytest.mark.parametrize("seconds", [0, 121, 31 * 86_400])
def test_an_office_that_was_down_aborts_and_is_not_blamed(trust, seconds):
    trust.order(), trust.open()
    trust.now += timedelta(seconds=seconds)
    assert codes(trust.abort()) == []


def test_a_round_that_was_opened_just_before_its_run_ends_ends_with_it(trust):
    trust.order(), trust.open(deadline_s=60)
    trust.close()
    ends = trust.run.order.expires_at
    trust.now += timedelta(days=2, hours=23, minutes=55)
    opened = shifted(ends, -10)
    assert codes(trust.open(issued_at=opened)) == []
    assert codes(trust.close(issued_at=shifted(ends, 61))) == ["ROUND_SEQUENCE"]


def test_times_at_the_end_of_all_dates_break_nothing(trust):
    trust.order()
    trust.open(deadline_s=2**53 - 1)
    assert "ROUND_SEQUENCE" not in codes(trust.close())
