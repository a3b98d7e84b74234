"""A member's own word on a released model: three words, once a model, binding nobody."""

import pytest
from pydantic import ValidationError

from contracts.statements.statements import Comparison, Seen
from simulator import NOTHING, Trust, plan


@pytest.fixture
def trust():
    """A trust with a released model of one round."""
    made = Trust()
    for firm in made.firms:
        made.consent(firm)
    made.order(plan=plan(releases=1))
    made.open()
    made.close()
    made.release()
    return made


def word(trust, firm, verdict="better", **changes):
    said = {"member": firm.member, "order": trust.run.run, "verdict": verdict, "ledger": trust.ledger(firm.member)}
    return Comparison(**trust.stamp(), **said | {"seen": Seen(size=1, root=NOTHING)} | changes)


def test_a_member_says_it_once_of_a_released_model_in_its_own_name(trust):
    firm, other = trust.firms[:2]
    assert trust.say(word(trust, firm), firm.node) == ()
    assert [f.code for f in trust.say(word(trust, firm, "worse"), firm.node)] == ["COMPARISON"]
    assert [f.code for f in trust.say(word(trust, other), firm.node)] == ["BAD_SIGNATURE"]
    assert [f.code for f in trust.say(word(trust, other), trust.office)] == ["BAD_SIGNATURE"]
    assert trust.say(word(trust, other, "tie"), other.node) == ()
    assert trust.run.compared == ((firm.member, "better"), (other.member, "tie"))


def test_a_model_that_was_not_released_is_not_compared(trust):
    firm = trust.firms[0]
    trust.order()
    assert [f.code for f in trust.say(word(trust, firm), firm.node)] == ["COMPARISON"]
    assert [f.code for f in trust.say(word(trust, firm, order=NOTHING), firm.node)] == ["COMPARISON"]


def test_it_moves_no_budget_no_model_and_no_matter(trust):
    before = trust.state
    trust.say(word(trust, trust.firms[0], "worse"), trust.firms[0].node)
    after = trust.state
    assert (after.charges, after.matters, after.released_runs) == (
        before.charges,
        before.matters,
        before.released_runs,
    )


@pytest.mark.parametrize("change", [{"verdict": "0.768"}, {"verdict": "much better"}, {"units": 40}, {"loss": "0.1"}])
def test_it_has_no_place_for_a_figure(trust, change):
    with pytest.raises(ValidationError):
        word(trust, trust.firms[0], **change)
