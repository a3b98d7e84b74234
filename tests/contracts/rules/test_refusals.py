"""Every finding can be raised as a refusal: its values never collide with an error's own fields."""

from contracts.errors import Refused
from simulator import Trust, plan


def test_an_order_over_budget_reads_as_a_refusal_in_three_lines():
    trust = Trust()
    [finding] = trust.order(plan=plan(sigma_steps=2**20))
    error = Refused(finding.what, why="why", do="do", code=finding.code, **finding.values)
    assert error.code == "OVER_BUDGET" and error.lines() == ("the order leaves the agreement: OVER_BUDGET", "why", "do")
