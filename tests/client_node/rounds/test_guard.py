"""The guard: a member's node against its own copy of the log, its own limits and its own ledger."""

from datetime import timedelta

import pytest

from client_node.ledger.ledger import Budget
from client_node.rounds.guard import Limits, authorise
from contracts.errors import Refused
from contracts.fields import time_text
from contracts.statements.statements import LedgerHead
from contracts.terms.agreement import Grouped
from privacy.spend import Spend, Unit
from simulator import NOTHING, Trust, plan

LIMITS = {"run": 10**9, "account": 10**9, "ceiling": 10**9, "delta": "1e-6"}


@pytest.fixture
def budget(tmp_path):
    return Budget(tmp_path / "ledger.db")


@pytest.fixture
def trust():
    """A trust with an open round."""
    made = Trust()
    for firm in made.firms:
        made.consent(firm)
    made.order()
    made.open()
    return made


def ask(trust, budget, *, limits=None, **changes):
    fields = {
        "run": trust.run.run,
        "open_index": trust.run.rounds[-1].open_index,
        "witnessed": len(trust.entries),
        "since": 0,
        "bundle": NOTHING,
        "budget": budget,
        "limits": Limits(**LIMITS | (limits or {})),
        "withdrawn": False,
        "now": time_text(trust.now),
    }
    return authorise(trust.state, trust.firms[0].member, **(fields | changes))


def reason(trust, budget, **changes):
    with pytest.raises(Refused) as caught:
        ask(trust, budget, **changes)
    assert caught.value.why and caught.value.do
    return caught.value.values.get("reason", caught.value.code)


def test_a_round_that_asks_a_part_of_a_group_is_refused(budget):
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    made = Trust(5, edition=2, secure_sum="required", totals=rule)
    for firm in made.firms:
        made.consent(firm)
    made.order()
    made.open()
    assert ask(made, budget)
    made.close()
    listed = made.run.rounds[0].opened.members
    without = next(pair for pair in listed if pair[0] != made.firms[0].member)
    made.open(members=tuple(pair for pair in listed if pair != without))
    assert reason(made, budget) == "log"


def test_the_guard_permits_what_was_agreed_with_the_lower_of_both_caps(trust, budget):
    assert ask(trust, budget).caps.run == 24_355_970
    assert ask(trust, budget, limits={"account": 7, "ceiling": 9}).caps.account == 7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"witnessed": 3}, "log"),
        ({"run": NOTHING}, "log"),
        ({"open_index": 1}, "log"),
        ({"now": "2026-01-05T00:00:00Z"}, "log"),
        ({"now": "2025-12-31T23:59:59Z"}, "log"),
        ({"bundle": "sha256:" + "1" * 64}, "bundle"),
        ({"withdrawn": True}, "consent"),
        ({"limits": {"run": 1}}, "budget"),
        ({"limits": {"delta": "1e-7"}}, "budget"),
        ({"now": "2026-12-02T00:00:00Z"}, "expired"),
        ({"since": 10**6}, "BURNT"),
    ],
)
def test_each_refusal_has_its_reason(trust, budget, change, expected):
    assert reason(trust, budget, **change) == expected


def test_an_opening_that_breaks_a_rule_permits_nothing(trust, budget):
    trust.close()
    assert trust.open(model_in=NOTHING)
    assert reason(trust, budget) == "log"


def test_a_broken_order_is_no_order(trust, budget):
    trust.close()
    run = trust.run.run
    assert trust.order(plan=plan(sigma_steps=2**20))
    assert trust.run.run == run


def test_a_run_over_the_years_budget_is_refused_though_the_office_opened_it(trust, budget):
    member, account = trust.firms[0].member, ("receivables", "row", "train", "2026")
    trust.close()
    trust.state = trust.state.__class__(
        **{name: getattr(trust.state, name) for name in trust.state.__slots__}
        | {"charges": trust.state.charges.insert((member, *account), 10**12)}
    )
    assert [f.code for f in trust.open(members=trust.run.rounds[0].opened.members)] == ["OVER_BUDGET"]
    assert reason(trust, budget) == "budget"


def test_an_order_too_many_is_refused(budget):
    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm, scope={"orders_max": 1})
    trust.order()
    trust.open()
    listed = trust.run.open_round().opened.members
    trust.order()
    assert {f.code for f in trust.open(members=listed)} == {"ASKED_TOO_OFTEN"}
    assert reason(trust, budget) == "log"


@pytest.mark.parametrize("shown", [{"head": "sha256:" + "7" * 64}, {"rho_total_nano": 5}])
def test_a_ledger_that_the_log_does_not_know_is_refused_and_says_what_to_do(trust, budget, shown):
    ledger = LedgerHead(**{"head": NOTHING, "rho_total_nano": 0} | shown)
    trust.consent(trust.firms[0], "amend", ledger=ledger)
    trust.close()
    trust.open()
    assert reason(trust, budget) == "ledger"


def test_a_ledger_that_has_grown_since_it_was_shown_is_fine(trust, budget):
    permit = ask(trust, budget)
    budget.reserve(Spend("receivables", Unit.ROW, "train", 5, permit.run.run, 1), permit.caps)
    assert ask(trust, budget, since=10**6), "a round that it knows may be sent again after a restart"


def test_too_many_aborted_rounds_and_a_new_year_are_a_matter_of_budget(budget):
    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm, scope={"aborted_max": 1}, expires_at="2027-12-31T00:00:00Z")
    trust.order(expires_at="2027-12-01T00:00:00Z")
    trust.open()
    listed = trust.run.open_round().opened.members
    trust.abort()
    trust.open(members=listed)
    assert reason(trust, budget) == "budget"
    trust.abort()
    trust.now = trust.now.replace(year=2027)
    assert {f.code for f in trust.open(members=listed)} == {"NOT_RENEWED"}
    assert reason(trust, budget) == "budget"


def later(trust, **span):
    return time_text(trust.now + timedelta(**span))


def test_an_old_date_brings_no_ended_consent_back(budget):
    """The office dates order and opening back, once the consent has ended by every other clock."""
    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm, expires_at="2026-02-01T00:00:00Z")
    trust.order()
    trust.open()
    assert ask(trust, budget)
    assert reason(trust, budget, now="2026-02-01T00:00:00Z") == "expired", "an opening has its own time"
    assert reason(trust, budget, now="2027-01-05T12:00:00Z") == "expired"


@pytest.mark.parametrize("seconds", [0, 100, 119])
def test_a_round_is_computed_as_long_as_its_deadline_and_the_skew_of_two_clocks_allow(trust, budget, seconds):
    assert ask(trust, budget, now=later(trust, seconds=seconds))


@pytest.mark.parametrize("seconds", [121, 3600, 86_400 * 365])
def test_a_round_that_is_older_by_this_clock_is_not(trust, budget, seconds):
    assert reason(trust, budget, now=later(trust, seconds=seconds)) == "expired"


def test_a_consent_that_ends_while_a_round_is_open_ends_it_here(budget):
    trust = Trust()
    trust.now = trust.now.replace(month=1, day=31, hour=23, minute=50)
    for firm in trust.firms:
        trust.consent(firm, expires_at="2026-02-01T00:00:00Z")
    trust.order()
    trust.now = trust.now.replace(hour=23, minute=58, second=30)
    trust.open()
    assert ask(trust, budget, now="2026-01-31T23:59:59Z")
    assert reason(trust, budget, now="2026-02-01T00:00:00Z") == "consent"


def test_a_consent_that_was_narrowed_after_the_opening_holds_at_once(trust, budget):
    trust.consent(trust.firms[0], "amend", scope={"rho_year_max_nano": 23_000_000})
    assert ask(trust, budget).caps.account == 23_000_000


def test_no_round_is_computed_across_the_turn_of_a_year(budget):
    """Its cost stands in the old year's account, and a budget begins with the consent of its year."""
    trust = Trust()
    trust.now = trust.now.replace(month=12, day=30, hour=23, minute=50)
    for firm in trust.firms:
        trust.consent(firm, expires_at="2027-06-01T00:00:00Z")
    trust.order(expires_at="2027-01-02T00:00:00Z")
    trust.now = trust.now.replace(day=31, hour=23, minute=58, second=59)
    trust.open()
    assert ask(trust, budget, now="2026-12-31T23:59:59Z")
    assert reason(trust, budget, now="2027-01-01T00:00:00Z") == "expired"


def test_a_log_that_is_ahead_of_this_clock_permits_nothing(trust, budget):
    assert reason(trust, budget, now=later(trust, seconds=-61)) == "log"
    assert ask(trust, budget, now=later(trust, seconds=-60))


def test_a_round_that_is_over_is_no_fault_of_its_run(trust, budget):
    """The node stays out of that round, and says nothing on the log."""
    with pytest.raises(Refused) as caught:
        ask(trust, budget, now=later(trust, seconds=121))
    assert caught.value.code == "LATE"
    over = trust.run.rounds[-1].open_index
    trust.close()
    trust.open()
    with pytest.raises(Refused) as caught:
        ask(trust, budget, open_index=over)
    assert caught.value.code == "LATE"
