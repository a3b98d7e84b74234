"""The thread that follows the log, killed at each of its steps. The long one is
`python tests/trials/follower_crashes.py`."""

import pytest

from follower_crashes import FOLLOWING, matrix


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_who_is_killed_while_it_follows_cosigns_all_and_refuses_once(tmp_path):
    rows, twice = matrix(tmp_path, 4)
    assert [row for row in rows if row[3]] == [] == twice
    assert [step for step, _tried, reached, _stalled in rows if reached] == list(FOLLOWING)
