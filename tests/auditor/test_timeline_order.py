"""Was it allowed then? The order of the log decides where two entries stand in one second."""

import pytest

from auditor.reading.timeline import timeline_of
from contracts.fields import time_text
from simulator import Trust


@pytest.mark.parametrize("withdrawn_first", [True, False])
def test_a_withdrawal_in_the_second_of_an_opening_is_before_it_or_after_it(withdrawn_first):
    trust = Trust(members=4)
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    firm, listed = trust.firms[0], trust.run.order.agreement
    asked = tuple(sorted((f.member, trust.state.consent(f.member, listed).index) for f in trust.firms))
    trust.stamp()
    now = time_text(trust.now)
    steps = [
        lambda: trust.consent(firm, "withdraw", issued_at=now),
        lambda: trust.open(members=asked, issued_at=now),
    ]
    for step in steps if withdrawn_first else reversed(steps):
        step()
    [dot] = timeline_of(trust.state, firm.member).dots
    assert dot.allowed is not withdrawn_first
