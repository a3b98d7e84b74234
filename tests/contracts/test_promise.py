"""The four sentences: their order, their numbers, and what they say where no secure sum was in force."""

from dataclasses import replace

import pytest

from contracts.envelope import open_entry
from contracts.errors import Invalid
from contracts.promise import Promise, of_run, promises, sum_view
from contracts.statements.closed_list import parse
from contracts.statements.statements import Round, RoundOpen
from contracts.terms.agreement import Grouped, Weighted
from privacy.spend import seen_by_sum
from shell.language import translator
from simulator import Trust, plan


def test_the_sentences_stand_in_their_order_with_unit_relation_period_and_observer():
    told = Promise("receivables", "row", "train", "2026", "1e-6", 1.0, 0.02, 0.4, 5).sentences()
    assert [text[:12] for text in told] == ["If everybody", "If at least ", "Someone who ", "This protect"]
    assert (
        "epsilon 1.00 at delta 1e-6, for adding or removing one row of receivables (in training), over 2026" in told[0]
    )
    assert "5 of the companies" in told[1] and "epsilon 0.40" in told[1] and "2.0%" in told[2]


def test_without_a_secure_sum_the_second_is_absent_and_the_last_says_so():
    told = Promise("receivables", "row", "train", "2026", "1e-6", 1.0, 0.02).sentences()
    assert len(told) == 3 and "no secure sum was in force" in told[2]


def test_who_sees_only_the_sum_holds_what_the_survivors_noise_leaves():
    assert seen_by_sum([(10, [10])]) == 500_000_000
    assert seen_by_sum([(10, [10] * 5)] * 2) == 200_000_000
    assert seen_by_sum([(10, [10, 20])]) == 100_000_000, "from the sigmas, not a half"
    assert seen_by_sum([(3, [7])]) == 91_836_735, "rounded up"


@pytest.mark.parametrize("mode", ["required", "none"])
def test_the_second_number_is_there_only_where_every_round_was_a_secure_sum(mode):
    trust = Trust(members=4, secure_sum=mode)
    trust.whole_run()
    view = sum_view(trust.state, (trust.firms[0].member, "receivables", "row", "train", "2026"))
    one = plan()
    assert view == (
        (seen_by_sum([(one.sensitivity_steps(), [one.sigma_steps] * 3)] * 3), 3) if mode == "required" else None
    )


def curve(rho_nano, delta):
    return rho_nano / 1e9


def statements(trust, kind):
    return [said for said in (parse(open_entry(entry).payload) for entry in trust.entries) if isinstance(said, kind)]


def test_nothing_is_promised_of_a_plan_that_contradicts_itself():
    """A receipt may show an order that the rules have refused: only the log can tell."""
    trust = Trust()
    trust.whole_run()
    order = trust.run.order.model_copy(update={"plan": replace(plan(), sigma_steps=0)})
    with pytest.raises(Invalid, match="contradicts itself"):
        of_run(trust.firms[0].member, order, trust.terms, [], curve)


@pytest.mark.parametrize("mode", ["required", "none"])
def test_the_fold_and_the_statements_of_its_one_run_promise_the_same(mode):
    trust = Trust(members=4, secure_sum=mode)
    trust.whole_run()
    member = trust.firms[0].member
    [made] = promises(trust.state, "2026", curve, member)
    rounds = list(zip(statements(trust, RoundOpen), statements(trust, Round), strict=True))
    assert replace(made, of="run") == of_run(member, trust.run.order, trust.terms, rounds, curve)
    assert made.epsilon == 3 * plan().rho_nano() / 1e9 and (made.honest is None) == (mode == "none")
    assert promises(trust.state, "2025", curve, member) == []


def test_without_a_member_whoever_was_charged_most_is_told():
    trust = Trust(members=4)
    trust.whole_run()
    waiting = trust.order(), trust.open()
    idle = trust.run.open_round()
    trust.refuse(trust.firms[0], "not-started", open=idle.open_index)
    assert not any(waiting)
    [most], [least] = promises(trust.state, "2026", curve), promises(trust.state, "2026", curve, trust.firms[0].member)
    assert (most.epsilon, least.epsilon) == (4 * plan().rho_nano() / 1e9, 3 * plan().rho_nano() / 1e9)


@pytest.mark.parametrize("mode", ["required", "none"])
def test_where_no_sum_was_made_the_sentences_say_so_and_not_that_nothing_was_hidden(mode):
    trust = Trust(members=4, secure_sum=mode)
    for firm in trust.firms:
        trust.consent(firm)
    assert trust.order() + trust.open() + trust.abort() == ()
    [made] = promises(trust.state, "2026", curve, trust.firms[0].member)
    assert (made.seen_by_sum, made.honest) == ((0, 0) if mode == "required" else (None, None))
    told = " ".join(made.sentences())
    assert ("no sum was made" in told, "no secure sum was in force" in told) == (mode == "required", mode == "none")


def test_the_sentences_are_said_in_chinese_too():
    told = Promise("receivables", "row", "train", "2026", "1e-6", 1.0, 0.02, 0.4, 5)
    chinese = told.sentences(translator("auditor", "zh"))
    assert len(chinese) == 4 and chinese[0].startswith("即使其他各方全部串通") and "1.00" in chinese[0]
    assert not set(chinese) & set(told.sentences())


@pytest.mark.parametrize(
    ("totals", "words"),
    [
        (None, "the difference of two sums"),
        (Weighted(rule="weighted"), "counts 67 % on average"),
        (Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on"), "with its whole group or not at all"),
    ],
)
def test_the_last_sentence_says_how_the_agreement_hides_totals(totals, words):
    trust = Trust(members=4, secure_sum="required", edition=2 if totals else 1, totals=totals)
    trust.whole_run()
    [made] = promises(trust.state, "2026", curve, trust.firms[0].member)
    rounds = list(zip(statements(trust, RoundOpen), statements(trust, Round), strict=True))
    alone = of_run(trust.firms[0].member, trust.run.order, trust.terms, rounds, curve)
    assert words in made.sentences()[3] and made.totals == alone.totals
    assert trust.findings == []
