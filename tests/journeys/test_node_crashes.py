"""A node killed at steps of what it does for ever. The long one is `python tests/trials/node_crashes.py`."""

import pytest

from node_crashes import matrix

STEPS = (
    "a checkpoint is signed",
    "a cosignature is sent",
    "a refusal is sent",
    "a round is charged",
    "a message leaves",
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_that_is_killed_anywhere_follows_again(tmp_path):
    rows, twice = matrix(tmp_path, 1, STEPS)
    assert [row for row in rows if row.stalled] == [] == twice
    assert sum(row.reached for row in rows) >= len(STEPS)
