"""A member's own check of its release path: who may say it, what it may say, what the trust remembers."""

import pytest
from pydantic import ValidationError

from auditor.steps.step7_budgets import check_budgets
from contracts.statements.statements import PrivacyCheck
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


def test_a_node_that_fails_the_check_of_the_ordered_code_is_not_asked_until_it_passes():
    trust = Trust(4)
    firm = trust.firms[0]
    for one in trust.firms:
        trust.consent(one)
    trust.order()
    trust.say(check(trust, firm, faults=("unit-too-strong",)), firm.node)
    asked = tuple(sorted((f.member, trust.state.consent(f.member, trust.agreement).index) for f in trust.firms))
    assert [f.code for f in trust.open(members=asked)] == ["PRIVACY_CHECK"]
    trust.close()
    trust.open()
    assert firm.member not in dict(trust.run.open_round().opened.members)
    trust.close()
    trust.say(check(trust, firm), firm.node)
    trust.open()
    assert firm.member in dict(trust.run.open_round().opened.members)


def test_a_failed_check_of_other_code_stops_nothing():
    trust = Trust()
    firm = trust.firms[0]
    for one in trust.firms:
        trust.consent(one)
    trust.order()
    trust.say(check(trust, firm, bundle="sha256:" + "1" * 64, faults=("noise-scale",)), firm.node)
    assert trust.open() == ()


def test_the_auditor_tells_the_strongest_lower_bound_and_who_is_silent():
    trust = Trust(4)
    for number, firm in enumerate(trust.firms[:3]):
        trust.say(check(trust, firm, epsilon_at_least=f"0.{number}"), firm.node)
    step = check_budgets(trust.state)
    (text, values), (_, silent) = step.said[0], step.not_checked[0]
    assert (values["passed"], values["members"], values["low"], silent["n"]) == (3, 4, "0.2", 1)
    assert "lower bound, not the truth" in text
