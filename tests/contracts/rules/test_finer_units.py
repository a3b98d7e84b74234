"""A release that hides a coarser unit costs every finer one too: in the fold, in the audit, in the second opinion."""

from types import SimpleNamespace

import pytest

from auditor.steps.step7_budgets import accounts, charged, check_budgets
from contracts.envelope import open_entry
from contracts.log.receipts import entry_and_line
from contracts.promise import of_receipt, promises, sum_view
from contracts.rules.budgets import left_of_year
from contracts.statements.closed_list import parse
from contracts.statements.statements import DatasetScope
from contracts.terms.agreement import TaskTerms
from privacy.plan import stated
from privacy.spend import Unit, charged_to, seen_by_sum
from second_opinion import Opinion
from simulator import NOTHING, Trust, plan

CUSTOMERS = plan(task="demand", unit=Unit.COUNTERPARTY, max_rows_per_unit=4)


def task(name, unit, rows):
    return TaskTerms(
        task=name,
        dataset="receivables",
        schema_digest=NOTHING,
        purpose="early-risk-warning",
        row_meaning="customers",
        personal_data=False,
        unit=unit,
        max_units=1000,
        max_rows_per_unit=rows,
    )


@pytest.fixture
def trust():
    """Three members whose one dataset is released by rows for one task and by customers for another."""
    return Trust(tasks=(task("risk", "row", 1), task("demand", "counterparty", 4)), secure_sum="required")


def consent(trust, *units, cap=None):
    datasets = tuple(DatasetScope(id="receivables", unit=unit) for unit in units)
    scope = {"tasks": ("risk", "demand"), "datasets": datasets} | ({"rho_year_max_nano": cap} if cap else {})
    for firm in trust.firms:
        assert trust.consent(firm, scope=scope) == ()


def rounds(trust, ordered, number):
    """Order a run and hold its first rounds; the findings of the last opening."""
    task = ordered.task
    assert trust.order(task=task, plan=ordered) == ()
    for _ in range(number - 1):
        assert (trust.open(), trust.close()) == ((), ())
    return trust.open()


def codes(findings):
    return sorted({finding.code for finding in findings})


def agree(trust):
    """The audit and the second opinion find the same accounts, and the same broken rules, as the fold."""
    held, opinion = {account.key(): account.rho_nano for account in accounts(trust.state)}, Opinion()
    assert held == dict(trust.state.charges.items())
    for index, entry in enumerate(trust.entries):
        assert opinion.read(entry) == sorted(f.code for f in trust.findings if f.index == index)
    for (member, dataset, unit, partition, year), spent in held.items():
        assert opinion.spent(member, {"dataset": dataset, "unit": unit, "partition": partition}, year) == spent


def test_a_round_by_customers_costs_the_rows_four_times_and_the_series_nothing(trust):
    consent(trust, "row", "counterparty")
    assert rounds(trust, CUSTOMERS, 2) == ()
    member, cost = trust.firms[0].member, CUSTOMERS.rho_nano()
    assert trust.state.spent(member, "receivables", "counterparty", "train", "2026") == 2 * cost
    assert trust.state.spent(member, "receivables", "row", "train", "2026") == 8 * cost
    assert trust.state.spent(member, "receivables", "series", "train", "2026") == 0
    agree(trust)


def test_rows_and_customers_add_up_in_the_account_of_rows_alone(trust):
    consent(trust, "row", "counterparty")
    rounds(trust, CUSTOMERS, 1)
    trust.close()
    rounds(trust, plan(), 1)
    member, cost = trust.firms[0].member, plan().rho_nano()
    assert trust.state.spent(member, "receivables", "row", "train", "2026") == 5 * cost
    assert trust.state.spent(member, "receivables", "counterparty", "train", "2026") == cost
    agree(trust)


def test_a_round_by_customers_is_refused_when_the_rows_have_nothing_left(trust):
    cap = 2 * CUSTOMERS.total_rho_nano()
    consent(trust, "row", "counterparty", cap=cap)
    assert 4 * CUSTOMERS.rho_nano() < cap < 8 * CUSTOMERS.rho_nano()
    assert rounds(trust, CUSTOMERS, 1) == ()
    trust.close()
    listed = tuple((m, trust.state.consent(m, trust.agreement).index) for m in sorted(trust.state.members()))
    assert codes(trust.open(members=listed)) == ["OVER_BUDGET"]
    agree(trust)
    found = check_budgets(trust.state).findings
    assert {f.code for f in found} == {"OVER_BUDGET"} and len(found) == 3, "a broken entry may spend but never permit"


def test_what_is_left_for_customers_is_a_quarter_of_what_the_rows_have_left(trust):
    cap = 2 * CUSTOMERS.total_rho_nano()
    consent(trust, "row", "counterparty", cap=cap)
    rounds(trust, CUSTOMERS, 1)
    member = trust.firms[0].member
    scope = trust.state.consent(member, trust.agreement).consent.scope
    asked = {"dataset": "receivables", "partition": "train", "year": "2026", "below": trust.state.size}
    rows, customers = (left_of_year(trust.state, member, scope, unit=unit, **asked) for unit in ("row", "counterparty"))
    assert (rows, customers) == (cap - 4 * CUSTOMERS.rho_nano(), (cap - 4 * CUSTOMERS.rho_nano()) // 4)
    assert customers < CUSTOMERS.rho_nano(), "so the next round is refused, and a run by calendar is not ordered"


def test_rows_that_no_consent_names_are_charged_without_a_cap(trust):
    consent(trust, "counterparty", cap=2 * CUSTOMERS.total_rho_nano())
    assert rounds(trust, CUSTOMERS, 3) == ()
    agree(trust)
    held = {account.unit: account for account in accounts(trust.state)}
    assert held["row"].cap_nano is None and held["row"].rho_nano == 12 * CUSTOMERS.rho_nano()
    assert check_budgets(trust.state).findings == []


def test_what_is_given_back_is_given_back_to_the_finer_units_too(trust):
    consent(trust, "row", "counterparty")
    rounds(trust, CUSTOMERS, 1)
    trust.refuse(trust.firms[0], "not-started", open=trust.run.open_round().open_index)
    assert {v for (member, *_), v in trust.state.charges.items() if member == trust.firms[0].member} == {0}


def test_whoever_sees_the_sums_sees_a_row_move_them_twice_as_far(trust):
    consent(trust, "row", "counterparty")
    rounds(trust, CUSTOMERS, 1)
    trust.close()
    view = sum_view(trust.state, (trust.firms[0].member, "receivables", "row", "train", "2026"))
    assert view == (seen_by_sum([(2 * CUSTOMERS.sensitivity_steps(), [CUSTOMERS.sigma_steps] * 2)]), 2)


def test_a_promise_about_customers_says_that_releases_by_rows_are_not_in_it(trust):
    """One customer may have many rows: what a release by rows tells of it is charged to no account."""
    consent(trust, "row", "counterparty")
    rounds(trust, CUSTOMERS, 1)
    trust.close()

    def beside():
        held = promises(trust.state, "2026", lambda rho_nano, delta: rho_nano / 1e9, trust.firms[0].member)
        return {one.unit: one.sentences()[-1] for one in held}

    assert not any("also released" in text for text in beside().values()), "customers hide rows"
    rounds(trust, plan(), 1)
    told = beside()
    assert "receivables is also released by row. " in told["counterparty"] and "no bound" in told["counterparty"]
    assert "also released" not in told["row"]
    receipt = _shown(trust)
    [rows, customers] = of_receipt(receipt, entry_and_line(receipt), lambda rho_nano, delta: 1.0)
    assert (rows.beside, customers.beside) == ((), ("row",)), "and so does the receipt of the consent"


def _shown(trust):
    """A receipt of the newest consent, as a member keeps it."""
    index = next(i for i, entry in enumerate(trust.entries) if parse(open_entry(entry).payload).kind == "consent")
    held = [SimpleNamespace(index=i, data=trust.entries[i]) for i in range(len(trust.entries))]
    return SimpleNamespace(entry=held[index], beside=held[:index], line=None)


def test_the_audit_has_a_table_of_its_own_that_says_the_same():
    for unit in Unit:
        made = charged(stated(plan(unit=unit, max_rows_per_unit=1)))
        assert made == {str(u): f * plan().rho_nano() for u, f in charged_to(unit).items()}
