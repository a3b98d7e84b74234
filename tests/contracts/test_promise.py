"""The four sentences: their order, their numbers, and what they say where no secure sum was in force."""

import pytest

from contracts.promise import Promise, sum_view
from privacy.spend import seen_by_sum
from simulator import Trust, plan


def test_the_sentences_stand_in_their_order_with_unit_relation_period_and_observer():
    told = Promise("receivables", "row", "train", "2026", "1e-6", 1.0, 0.02, 0.4, 5).sentences()
    assert [text[:12] for text in told] == ["If everybody", "If at least ", "Someone who ", "This protect"]
    assert "epsilon 1.00 at delta 1e-6, for adding or removing one row of receivables (train), over 2026" in told[0]
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
