"""Orders within budgets, by hand and by calendar; what would gain nothing is not ordered by default."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from contracts.errors import Refused
from contracts.terms.agreement import Grouped
from coordinator.commands.models import learning
from coordinator.learning import orders, schedules
from coordinator.learning.orders import Draft, must_reach, within_budgets
from coordinator.office import open_office
from coordinator.settings import read_home
from engine.evidence import TaskEvidence
from engine.task import load
from offices import command, found
from privacy.accounting import rho_cap
from simulator import Trust

FULL = rho_cap("1", "1e-6")


@pytest.fixture
def trust():
    made = Trust(4)
    for firm in made.firms:
        assert made.consent(firm) == ()
    return made


def risk_order(trust, rho_nano=FULL, **changes):
    schema = SimpleNamespace(dataset="receivables", unit="row")
    fields = {"agreement": trust.agreement, "task": SimpleNamespace(name="risk"), "schema": schema, "family": "trees"}
    return Draft(**fields, releases=10, rho_nano=rho_nano, epsilon="1", min_members=3, **changes)


@pytest.mark.parametrize(
    ("epsilon", "least", "pays"),
    [("4", 3, False), ("4", 1000, False), ("4", 3000, True), ("8", 3000, True), ("1", 10_000, False), ("8", 3, False)],
)
def test_a_run_that_hides_whole_members_is_ordered_only_where_as_many_were_shown_to_gain(trust, epsilon, least, pays):
    task = load("warning")
    fields = {
        "agreement": trust.agreement,
        "task": task,
        "schema": task.schema(),
        "family": "gradients",
        "releases": 10,
    }
    made = Draft(**fields, rho_nano=rho_cap(epsilon, "1e-6"), epsilon=epsilon, min_members=least)
    assert made.pays() is pays, "what was not measured is not claimed"


def charged(trust, firm, rho_nano, partition="train"):
    account = (firm.member, "receivables", "row", partition, time(trust).strftime("%Y"))
    return replace(trust.state, charges=trust.state.charges.insert(account, rho_nano))


def time(trust):
    return trust.now + timedelta(minutes=1)


def test_a_run_that_every_budget_holds_is_ordered_as_it_is(trust):
    made = risk_order(trust)
    assert within_budgets(trust.state, made, time(trust)) is made


def test_a_run_is_ordered_smaller_where_one_member_has_less_left(trust):
    year = trust.terms.privacy.rho_year_max_nano
    state = charged(trust, trust.firms[2], year - FULL // 2)
    smaller = within_budgets(state, risk_order(trust), time(trust))
    assert smaller.rho_nano == FULL // 2 and 0.6 < float(smaller.epsilon) < 0.75


def test_a_run_is_not_ordered_where_one_member_has_next_to_nothing_left_or_too_few_consent(trust):
    year = trust.terms.privacy.rho_year_max_nano
    with pytest.raises(Refused, match="1 of 4 members have less than a quarter"):
        within_budgets(charged(trust, trust.firms[2], year - FULL // 5), risk_order(trust), time(trust))
    trust.consent(trust.firms[0], "withdraw")
    trust.consent(trust.firms[1], "withdraw")
    with pytest.raises(Refused, match="2 members consent, 3 are needed"):
        within_budgets(trust.state, risk_order(trust), time(trust))


def test_an_order_without_units_to_hold_out_is_not_made_where_a_gate_is_agreed(monkeypatch):
    monkeypatch.setattr(orders, "document_of", lambda database, name: b"")
    monkeypatch.setattr(orders, "read_schema", lambda data: SimpleNamespace(of_kind=lambda kind: []))
    gated = Trust(gate="required")
    with pytest.raises(Refused, match="demands a gate") as error:
        office = SimpleNamespace(log=SimpleNamespace(state=lambda: gated.state), database=None)
        orders.draft(office, "risk", epsilon="1", min_members=3)
    assert error.value.code == "GATE"


def test_the_budget_of_held_out_units_counts_as_well(trust):
    year = trust.terms.privacy.rho_year_max_nano
    state = charged(trust, trust.firms[0], year - FULL // 2, "holdout")
    gate = orders.GateTerms(rho_nano=FULL, untold="release")
    assert within_budgets(state, risk_order(trust), time(trust)).rho_nano == FULL
    smaller = within_budgets(state, risk_order(trust, gate=gate), time(trust))
    assert smaller.rho_nano == smaller.gate.rho_nano == FULL // 2


@pytest.fixture(scope="module")
def chamber(tmp_path_factory):
    """The home of a chamber with an agreement on both tasks, and nobody in it yet."""
    folder = tmp_path_factory.mktemp("chamber")
    home, draft = folder / "home", folder / "agreement.json"
    found(home).database.close()
    command(home, "agreement", "draft", "--out", draft)
    command(home, "agreement", "publish", draft, "--yes")
    return home


@pytest.fixture
def office(chamber, tmp_path):
    made = open_office(read_home(shutil.copytree(chamber, tmp_path / "home")))
    yield made
    made.database.close()


@pytest.fixture
def useless(monkeypatch):
    """Public figures by which spending gains nothing."""
    known = TaskEvidence(data="public", members=9, measure="WQL", alone=0.5, unspent=0.4, spent={"1": 0.4})
    monkeypatch.setattr(orders, "evidence", lambda task: (known,))


def test_an_order_that_too_few_consents_hold_is_refused_and_says_what_they_hold(trust):
    asked = replace(risk_order(trust), rho_nano=2 * FULL, epsilon="1.45")
    with pytest.raises(Refused, match="0 of 4 consenting members") as refused:
        must_reach(trust.state, asked, time(trust))
    most = refused.value.values["most"]
    must_reach(trust.state, replace(asked, rho_nano=rho_cap(most, "1e-6"), epsilon=most), time(trust))
    with pytest.raises(Refused, match="4 members consent, 5 are needed"):
        must_reach(trust.state, replace(asked, min_members=5), time(trust))


def test_where_members_are_grouped_only_whole_groups_count_with_what_the_poorest_of_each_has_left():
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    trust = Trust(5, edition=2, secure_sum="required", totals=rule)
    for firm in trust.firms[:2]:
        trust.consent(firm)
    with pytest.raises(Refused, match="no group of members") as refused:
        must_reach(trust.state, risk_order(trust), time(trust))
    assert refused.value.values["size"] == 3
    for firm in trust.firms[2:]:
        trust.consent(firm)
    must_reach(trust.state, risk_order(trust), time(trust))
    year = trust.terms.privacy.rho_year_max_nano
    poor = charged(trust, trust.firms[2], year - FULL // 2)
    with pytest.raises(Refused, match="0 of 5 consenting members"):
        must_reach(poor, risk_order(trust), time(trust))


def test_yes_alone_does_not_order_what_gained_nothing_on_public_data(office, useless, monkeypatch):
    def order(*words):
        return CliRunner().invoke(learning, ["order", "demand", *words, "--home", str(office.settings.home)])

    assert order("--yes", "--spend-anyway").exception.code == "TOO_FEW"
    refused = order("--yes").exception
    assert isinstance(refused, Refused) and refused.code == "NOT_WORTH" and not office.log.state().runs
    assert order("--dry-run").exit_code == 0 and not office.log.state().runs
    facts = json.loads(order("--dry-run", "--json").stdout)
    assert (facts["task"], facts["pays"], facts["consenting"]) == ("demand", False, 0) and facts["rounds"] > 0
    assert order("--json", "--yes").exit_code == 2 and not office.log.state().runs
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL] * 3)
    assert order("--yes", "--spend-anyway").exit_code == 0 and len(office.log.state().runs) == 1


def begin(office, **changes):
    how = {"cron": "0 2 * * *", "epsilon": "1", "min_members": 3, "spend_anyway": True} | changes
    return schedules.put(office, "risk", **how)


def test_at_its_hour_a_run_is_ordered_once_and_status_says_what_became_of_it(office, monkeypatch):
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL] * 3)
    first = begin(office)
    assert first.utcoffset() == timedelta(hours=8) and first.hour == 2
    assert schedules.take(office, "risk", first - timedelta(seconds=1)) is None, "not yet"
    late = first + timedelta(days=3)
    assert schedules.take(office, "risk", late) == "ordered", "hours that passed are made good once"
    assert schedules.take(office, "risk", late) is None
    [run] = office.log.state().runs
    [told] = schedules.listed(office, str.upper)
    assert (told["outcome"], told["run"]) == ("ORDERED", run)


def test_of_two_coordinators_one_takes_the_hour(office, monkeypatch):
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL] * 3)
    now, held = begin(office) + timedelta(hours=1), []
    other = open_office(read_home(office.settings.home))
    monkeypatch.setattr(
        schedules,
        "_order",
        lambda at, row, when: held.append(schedules.take(other, "risk", now)) or (("ordered", {}), ""),
    )
    assert schedules.take(office, "risk", now) == "ordered" and held == [None]
    other.database.close()


def test_a_scheduled_run_is_smaller_or_none_and_says_why(office, monkeypatch):
    first = begin(office)
    assert "0 members consent, 3 are needed" in schedules.take(office, "risk", first + timedelta(hours=1))
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL, FULL, FULL // 2])
    told = schedules.take(office, "risk", first + timedelta(days=1, hours=1))
    assert told.startswith("ordered smaller, epsilon 0.")
    [run] = office.log.state().runs.values()
    assert run.order.plan.total_rho_nano() <= FULL // 2 and run.order.gate.rho_nano == FULL // 2


def test_what_gains_nothing_is_not_scheduled_and_what_stopped_to_gain_is_not_ordered(office, useless, monkeypatch):
    with pytest.raises(Refused, match="did not beat"):
        begin(office, spend_anyway=False)
    first = begin(office)
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL] * 3)
    assert schedules.take(office, "risk", first + timedelta(hours=1)) == "ordered"


def test_the_calendar_follows_the_table_and_takes_an_hour_that_was_missed(office, monkeypatch):
    monkeypatch.setattr(orders, "affordable", lambda state, made, now: [FULL] * 3)
    begin(office)
    with office.database.write() as session:
        row = session.get(schedules.ScheduledRun, "risk")
        row.taken_at = "2026-01-01T00:00:00Z"
        session.add(row)
    calendar = schedules.Calendar(office)
    calendar.start()
    try:
        end = datetime.now(UTC) + timedelta(seconds=60)
        while not office.log.state().runs and datetime.now(UTC) < end:
            calendar.read()
        assert len(office.log.state().runs) == 1
        schedules.drop(office, "risk")
        calendar.read()
        assert calendar._waiting.get_jobs() == []
    finally:
        calendar.stop()
    with pytest.raises(Refused, match="no run of risk is scheduled"):
        schedules.drop(office, "risk")


def days_of(cron):
    """The weekdays on which a cron line comes within four weeks."""
    trigger, at, found = schedules.hours(cron), datetime(2026, 3, 1, tzinfo=UTC), set()
    for _ in range(28):
        at = trigger.get_next_fire_time(None, at + timedelta(seconds=1))
        found.add(f"{at:%a}".lower())
    return found


ALL = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("*", ALL),
        ("0", {"sun"}),
        ("7", {"sun"}),
        ("sat", {"sat"}),
        ("SUN", {"sun"}),
        ("1,3", {"mon", "wed"}),
        ("1-5", ALL - {"sat", "sun"}),
        ("mon-fri", ALL - {"sat", "sun"}),
        ("5-7", {"fri", "sat", "sun"}),
        ("1-5/2", {"mon", "wed", "fri"}),
        ("*/2", {"sun", "tue", "thu", "sat"}),
        ("*/3", {"sun", "wed", "sat"}),
        ("0-6", ALL),
        ("1-3,6", {"mon", "tue", "wed", "sat"}),
    ],
)
def test_the_weekdays_of_a_cron_line_are_those_of_cron(weekday, days):
    assert days_of(f"0 2 * * {weekday}") == days


@pytest.mark.parametrize(
    "cron",
    [
        *(
            f"0 2 * * {word}"
            for word in ("5#1", "L", "5L", "1-", "-1", "5-1", "8", "1/2", "*/0", "0-8", "mon#2", "monday", ",", "?")
        ),
        *(f"0 2 {word} * *" for word in ("last", "2nd", "L", "1W", "5/7", "1--2", "?")),
        *("0-/2 2 * * *", "0/15 2 * * *", "a 2 * * *", "0 2 * jan# *", "@daily", "0 2 * *", "0 2 * * * *"),
    ],
)
def test_whatever_cron_does_not_know_is_refused(cron):
    with pytest.raises(Refused, match="not a cron line"):
        schedules.hours(cron)


@pytest.mark.parametrize("cron", ["0 2 1 * 1", "0 2 1-7 * fri", "0 2 */2 * 1-5"])
def test_a_day_and_a_weekday_together_are_refused_since_they_are_read_in_two_ways(cron):
    with pytest.raises(Refused, match="a day of the month and a weekday") as error:
        schedules.hours(cron)
    assert all(error.value.lines())


def test_a_day_that_never_comes_is_refused_and_what_was_scheduled_stays(office):
    first = begin(office)
    with pytest.raises(Refused, match="never comes"):
        begin(office, cron="0 0 30 2 *")
    [told] = schedules.listed(office)
    assert told["cron"] == "0 2 * * *" and told["next"] == str(first)


def test_a_budget_that_holds_no_plan_is_refused_before_anything_is_signed(office):
    with pytest.raises(Refused, match="can be planned so") as refused:
        orders.draft(office, "risk", epsilon="0.001", min_members=3, rounds=1000)
    assert refused.value.code == "PLAN" and all(refused.value.lines())


@pytest.mark.parametrize("cron", ["often", "0 25 * * *", "* *"])
def test_a_cron_line_that_is_none_is_refused(office, cron):
    with pytest.raises(Refused, match="not a cron line"):
        begin(office, cron=cron)
