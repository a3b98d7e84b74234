"""When people are told that a certificate ends."""

from datetime import UTC, datetime, timedelta

import pytest

from shell import certificate_warnings
from shell.certificate_warnings import Warned
from shell.certificates import stage

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("days", "reached"),
    [(400, None), (60, None), (59.9, 60), (30, 60), (29.9, 30), (7, 30), (6.9, 7), (0.1, 7), (0, 0), (-9, 0)],
)
def test_the_stages_are_sixty_thirty_and_seven_days_and_the_end(days, reached):
    assert stage(NOW + timedelta(days=days), NOW) == reached


def test_a_long_running_process_says_it_once_a_stage_and_again_after_a_renewal(monkeypatch):
    said, warned = [], Warned("renew")
    monkeypatch.setattr(
        certificate_warnings.log_event, "warning", lambda what, **_words: said.append(what), raising=False
    )
    for day in range(401):
        warned.look(NOW + timedelta(days=399.5), NOW + timedelta(days=day))
    assert len(said) == 4 and "in 59 days" in said[0] and "ended on" in said[-1]
    warned.look(NOW + timedelta(days=900), NOW)
    warned.look(NOW + timedelta(days=5), NOW)
    warned.look(None, NOW)
    assert len(said) == 5
