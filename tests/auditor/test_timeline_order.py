"""Was it allowed then? The order of the log decides where two entries stand in one second."""

from xml.etree import ElementTree

import pytest

from auditor.reading.timeline import Bar, Dot, Timeline, svg, timeline_of
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


def test_the_picture_of_a_log_of_before_opens_whatever_its_texts_hold():
    """XML has no control characters, not even escaped ones."""
    text, at = "risk\x1b[2J\x00</svg>\u202e", "2026-01-01T00:00:00Z"
    drawn = svg(Timeline("m", [Bar(1, at, at, text)], [Dot(2, at, text, 1, True, True)]), f"商会 {text}")
    shown = [one.text for one in ElementTree.fromstring(drawn).iter() if one.text]
    assert all("risk[U+001B][2J[U+0000]</svg>[U+202E]" in one for one in shown) and len(shown) == 4
