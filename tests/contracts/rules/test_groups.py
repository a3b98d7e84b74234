"""Groups of members: the office cannot ask, sum or subtract its way to fewer members than a group has."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta

import numpy as np
import pytest

from contracts.leaving import leaving
from contracts.rules.groups import askable, cut, standing
from contracts.statements.statements import KeyState
from contracts.terms.agreement import Grouped, Weighted
from simulator import Trust, keyid

SIZE = 3
NOW = "2026-01-05T09:00:00Z"


def rule(size=SIZE, after_leaving="go-on"):
    return Grouped(rule="groups", size=size, colluders=size - 3, after_leaving=after_leaving)


def chamber(members, consenting=None, **changes):
    """A trust under edition 2 with groups; its first members consent and a run is ordered."""
    trust = Trust(members, edition=2, secure_sum="required", totals=rule(**changes))
    for firm in trust.firms[:consenting]:
        trust.consent(firm)
    trust.order()
    assert trust.findings == []
    return trust


def codes(findings):
    return [finding.code for finding in findings]


def asked(trust, members):
    """A round-open's list of these members."""
    return tuple(sorted((m, trust.state.consent(m, trust.agreement).index) for m in members))


def groups(trust):
    return trust.state.groups["receivables"]


def all_of(held):
    return {member for group in held for member in group}


@pytest.mark.parametrize("n", range(3, 40))
@pytest.mark.parametrize("size", [3, 4, 5])
def test_groups_hold_one_more_than_size_at_least_and_few_members_are_one_group(n, size):
    members = {f"{i:02}": f"sha256:{i}" for i in range(n)}
    held = cut(members, (), size) if n >= size else ()
    assert sorted(itertools.chain(*held)) == sorted(members)[: n if n >= size else 0]
    if n < 3 * (size + 1):
        assert len(held) == (n >= size)
    else:
        assert len(held) >= 3 and {len(group) for group in held} <= set(range(size + 1, 2 * size + 1))


def test_the_order_of_members_follows_from_what_each_of_them_signed():
    signed = {f"{i:02}": f"sha256:{i}" for i in range(15)}
    assert cut(signed, (), 4) == cut(dict(reversed(signed.items())), (), 4)
    assert cut(signed | {"11": "sha256:another consent"}, (), 4) != cut(signed, (), 4)


def test_the_pair_of_orders_with_and_without_the_victim_is_refused():
    trust = chamber(6)
    assert trust.open() == ()
    assert trust.close() == ()
    victim, *others = sorted(firm.member for firm in trust.firms)
    assert codes(trust.open(members=asked(trust, others))) == ["PARTIAL_GROUP"]
    trust.order()
    assert codes(trust.open(members=asked(trust, others))) == ["PARTIAL_GROUP"]
    assert victim not in dict(trust.run.rounds[-1].opened.members)


def test_a_sum_without_the_victim_is_found():
    trust = chamber(12)
    trust.open()
    victim = trust.firms[0].member
    finding = trust.close(without=(victim,))
    assert codes(finding) == ["PARTIAL_GROUP"] and "combines" in finding[0].text()
    mates = next(group for group in groups(trust) if victim in group)
    trust.open()
    assert trust.close(without=mates) == ()


def test_a_round_names_the_group_as_the_reason_only_under_groups():
    trust = chamber(12)
    trust.open()
    gone, *mates = groups(trust)[0]
    dropped = ((gone, "no-reply"), *((mate, "group") for mate in mates))
    assert trust.close(without=groups(trust)[0], dropped=dropped) == ()
    plain = Trust(4)
    for firm in plain.firms:
        plain.consent(firm)
    plain.order()
    plain.open()
    gone = plain.firms[0].member
    assert codes(plain.close(without=(gone,), dropped=((gone, "group"),))) == ["PARTIAL_GROUP"]


def test_a_broken_opening_forms_no_group():
    trust = chamber(6)
    trust.open(members=asked(trust, [firm.member for firm in trust.firms[:4]]))
    assert "receivables" not in trust.state.groups
    trust.close(cutoff=len(trust.entries), spend=())
    assert trust.open() == () and groups(trust) == (tuple(sorted(firm.member for firm in trust.firms)),)


def test_everyone_who_consents_is_grouped_whatever_the_order_costs_and_whoever_refuses_it():
    trust = chamber(12, consenting=0)
    for number, firm in enumerate(trust.firms):
        trust.consent(firm, scope={"rounds_max": 2} if number == 0 else {})
    trust.refuse(trust.firms[1], "budget")
    open_to = askable(trust.state, trust.run, NOW)
    held = standing(trust.state, trust.agreement, "receivables", NOW)
    assert all_of(held) == {firm.member for firm in trust.firms}
    assert all_of(open_to) == all_of(held) - {
        m for g in held for m in g if {trust.firms[0].member, trust.firms[1].member} & set(g)
    }


def join(trust, n):
    firms = [trust.admit() for _ in range(n)]
    for firm in firms:
        trust.consent(firm)
    trust.firms += firms
    return firms


def whole_round(trust):
    """Open to every group that may be asked, and close."""
    if trust.run.is_complete():
        trust.order()
    stamp = trust.stamp()
    members = all_of(askable(trust.state, trust.run, stamp["issued_at"]))
    assert trust.open(**stamp, members=asked(trust, members)) == ()
    assert trust.close() == ()
    return members


def test_newcomers_wait_until_they_are_enough_for_a_group_of_their_own():
    trust = chamber(3)
    whole_round(trust)
    join(trust, 2)
    assert len(whole_round(trust)) == 3
    assert codes(trust.open(members=asked(trust, [firm.member for firm in trust.firms]))) == ["PARTIAL_GROUP"]
    trust.abort()
    join(trust, 1)
    assert len(whole_round(trust)) == 6 and len(groups(trust)) == 2


def test_a_group_goes_on_without_a_member_that_left_and_with_it_if_it_comes_back():
    trust = chamber(5)
    whole_round(trust)
    trust.consent(trust.firms[0], "withdraw")
    assert whole_round(trust) == {firm.member for firm in trust.firms[1:]}
    trust.consent(trust.firms[0])
    assert len(whole_round(trust)) == 5
    for firm in trust.firms[:3]:
        trust.consent(firm, "withdraw")
    assert askable(trust.state, trust.run, "2026-01-06T00:00:00Z") == ()


def test_a_group_that_rests_does_so_until_the_next_year():
    trust = chamber(5, after_leaving="rest")
    whole_round(trust)
    trust.consent(trust.firms[0], "withdraw")
    this, next_year = "2026-01-06T00:00:00Z", "2027-01-02T00:00:00Z"
    assert standing(trust.state, trust.agreement, "receivables", this) == ()
    [rested] = standing(trust.state, trust.agreement, "receivables", next_year)
    assert set(rested) == {firm.member for firm in trust.firms[1:]}


def test_the_office_cannot_make_a_member_leave_by_ending_its_key_or_letting_its_consent_run_out():
    trust = chamber(5)
    whole_round(trust)
    ended = KeyState(**trust.stamp(), key=keyid(trust.firms[0].node), state="retired")
    trust.say(ended, trust.office)
    assert askable(trust.state, trust.run, "2026-01-06T00:00:00Z") == ()
    others = [firm.member for firm in trust.firms[1:]]
    assert codes(trust.open(members=asked(trust, others))) == ["PARTIAL_GROUP"]


def test_who_is_left_of_a_broken_group_rides_with_enough_newcomers_and_never_with_fewer():
    trust = chamber(4)
    whole_round(trust)
    for firm in trust.firms[:2]:
        trust.consent(firm, "withdraw")
    left = {firm.member for firm in trust.firms[2:]}
    join(trust, 2)
    assert askable(trust.state, trust.run, "2026-01-06T00:00:00Z") == ()
    fresh = {firm.member for firm in join(trust, 1)} | {firm.member for firm in trust.firms[4:]}
    assert whole_round(trust) == left | fresh


def test_a_group_stands_under_the_next_agreement_too():
    trust = chamber(12)
    whole_round(trust)
    before, old = groups(trust), trust.terms
    terms = trust.make_terms(
        edition=2, version=2, supersedes=trust.agreement, secure_sum="required", totals=rule(after_leaving="rest")
    )
    assert trust.publish(terms) == ()
    trust.terms = terms
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    whole_round(trust)
    assert groups(trust) == before and trust.terms != old


@pytest.mark.parametrize("opens", [{"edition": 1}, {"edition": 2, "secure_sum": "none"}])
def test_no_later_agreement_opens_what_an_earlier_one_groups(opens):
    trust = chamber(3)
    made = trust.make_terms(**{"version": 2, "supersedes": trust.agreement} | opens)
    assert codes(trust.publish(made)) == ["AGREEMENT_TERMS"]
    hidden = trust.make_terms(
        edition=2, version=2, supersedes=trust.agreement, secure_sum="required", totals=Weighted(rule="weighted")
    )
    assert trust.publish(hidden) == ()


def fewest(sums, members):
    """The fewest members, at most five, that some combination of these sums is of: by rank, for every small set."""
    index = {member: place for place, member in enumerate(sorted(members))}
    rows = np.zeros((len(sums), len(index)))
    for number, members_in in enumerate(sums):
        rows[number, [index[m] for m in members_in]] = 1
    rank = np.linalg.matrix_rank(rows)
    for size in range(1, 5):
        for few in itertools.combinations(range(len(index)), size):
            if np.linalg.matrix_rank(np.delete(rows, few, axis=1)) < rank:
                return size
    return 5


@pytest.mark.parametrize("seed", range(8))
def test_of_all_sums_over_years_no_combination_is_of_fewer_members_than_a_group_has(seed):
    """An office that asks any union of standing groups at any time, while members come, lapse, return and lose keys."""
    dice = random.Random(seed)
    trust = chamber(dice.randint(SIZE, 14))
    sums = set()
    for _ in range(14):
        move = dice.random()
        if move < 0.3:
            join(trust, dice.randint(1, 3))
        elif move < 0.5:
            lapsed = dice.choice(trust.firms)
            ends = {"expires_at": "2026-01-05T12:00:00Z"} if trust.now.hour < 11 else {}
            trust.consent(lapsed, "grant", **ends)
        elif move < 0.6 and len(trust.firms) > 4:
            ended = KeyState(**trust.stamp(), key=keyid(trust.firms.pop().node), state="retired")
            trust.say(ended, trust.office)
        trust.now += timedelta(minutes=dice.choice((1, 60)))
        trust.order()
        stamp = trust.stamp()
        open_to = askable(trust.state, trust.run, stamp["issued_at"])
        chosen = [group for group in open_to if dice.random() < 0.7]
        if chosen and trust.open(**stamp, members=asked(trust, all_of(chosen))) == ():
            trust.close()
            sums.add(frozenset(all_of(chosen)))
    everyone = all_of(sums)
    assert sums and fewest([sorted(one) for one in sums], everyone) >= SIZE


def test_a_member_is_shown_in_numbers_what_its_leaving_would_tell():
    trust = chamber(4)
    member = trust.firms[0].member
    assert leaving(trust.state, member) == []
    whole_round(trust)
    [told] = leaving(trust.state, member)
    order = trust.run.order.plan
    sd = order.sigma_steps / order.sensitivity_steps()
    assert (told.then, told.left, told.rounds, told.plus_minus) == ("go-on", 3, 1, round(1.96 * sd * (4 + 3) ** 0.5))
    assert f"± {told.plus_minus}" in told.sentence() and "row" in told.sentence()
    whole_round(trust)
    [later] = leaving(trust.state, member)
    assert later.plus_minus == pytest.approx(told.plus_minus / 2**0.5, abs=1)


def test_a_member_whose_group_would_not_go_on_shows_nothing_by_leaving():
    trust = chamber(3)
    whole_round(trust)
    [told] = leaving(trust.state, trust.firms[0].member)
    assert (told.then, told.plus_minus) == ("nothing", None) and "no difference" in told.sentence()
    stranger = join(trust, 1)[0]
    assert leaving(trust.state, stranger.member) == []


def test_the_shown_number_is_what_the_best_estimate_has_left():
    """Of a total in which every unit counts fully, by the sums before and after a leave,
    simulated with the plan's noise."""
    trust = chamber(5)
    whole_round(trust)
    [told] = leaving(trust.state, trust.firms[0].member)
    order, dice = trust.run.order.plan, np.random.default_rng(1)
    units = np.array([900.0, 80, 300, 40, 1000])
    noise = order.sigma_steps / order.sensitivity_steps()
    both = dice.normal(units.sum(), noise * 5**0.5, 4000) - dice.normal(units[1:].sum(), noise * 4**0.5, 4000)
    assert np.quantile(abs(both - units[0]), 0.95) == pytest.approx(told.plus_minus, rel=0.06)


def test_a_group_does_not_go_on_without_a_member_that_rode_with_it():
    """Else the difference would show it, and an older sum of its, less it and a colluder that
    left, two honest members."""
    trust = chamber(5, size=4)
    whole_round(trust)
    conspires, leaves = trust.firms[0], trust.firms[1]
    trust.consent(trust.firms[2], "withdraw")
    whole_round(trust)
    trust.consent(conspires, "withdraw")
    join(trust, 5)
    assert len(whole_round(trust)) == 8, "three ride"
    assert leaving(trust.state, leaves.member)[0].plus_minus is None
    trust.consent(leaves, "withdraw")
    assert askable(trust.state, trust.run, "2026-01-06T00:00:00Z") == ()
    trust.consent(leaves)
    trust.consent(trust.firms[5], "withdraw")
    assert len(whole_round(trust)) == 7, "without one that came with it, it goes on"
