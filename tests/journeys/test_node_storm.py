"""A small storm: whole nodes are killed while rounds run. The long one is `make node-storm`."""

import pytest

from node_storm import run


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_reached_the_coordinator_stands_in_a_ledger_however_often_nodes_are_killed():
    assert run(10, ("required",)) == 0
