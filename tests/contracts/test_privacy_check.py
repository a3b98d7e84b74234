"""A member's own check of its release path: who may say it, what it may say, what the trust remembers."""

import pytest
from pydantic import ValidationError

from contracts.statements import PrivacyCheck
from simulator import NOTHING, Trust


def check(trust, firm, **changes):
    fields = {
        "member": firm.member,
        "bundle": NOTHING,
        "family": "gradients",
        "epsilon_claimed": "1",
        "epsilon_at_least": "0.02",
        "epsilon_visible": "3.71",
        "delta": "1e-6",
        "canaries": 500,
        "releases": 50,
        "faults": (),
        "ledger": trust.ledger(firm.member),
    } | changes
    return PrivacyCheck(**trust.stamp(), **fields)


def test_a_member_says_it_of_its_own_node_and_the_newest_counts():
    trust = Trust()
    firm, other = trust.firms[:2]
    assert trust.say(check(trust, firm), firm.node) == ()
    assert trust.say(check(trust, firm, faults=("noise-scale",)), firm.node) == ()
    index, newest = trust.state.privacy_checks[firm.member]
    assert (index, newest.faults) == (len(trust.entries) - 1, ("noise-scale",))
    assert [f.code for f in trust.say(check(trust, firm), other.node)] == ["BAD_SIGNATURE"]
    assert other.member not in trust.state.privacy_checks


@pytest.mark.parametrize("change", [{"faults": ("your-data",)}, {"epsilon_at_least": 0.5}, {"epsilon_claimed": "-1"}])
def test_its_words_are_a_closed_list_and_its_numbers_decimals(change):
    trust = Trust()
    with pytest.raises(ValidationError):
        check(trust, trust.firms[0], **change)
