"""The hostile coordinator as a test; `make hostile` is the same with its table."""

import pytest

from hostile import trust, wage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_hostile_coordinator_gets_nothing_and_a_node_without_its_rules_is_found_out(tmp_path):
    with trust(tmp_path) as campaign:
        rows = wage(campaign)
        assert campaign.journals_agree(campaign.homes[1:])
    assert [row.text() for row in rows if not row.is_right()] == []
    assert len({row.attack for row in rows}) >= 75 and sum(bool(row.broken) for row in rows) == 4
