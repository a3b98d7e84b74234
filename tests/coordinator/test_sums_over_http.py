"""The secure sum over the real chain of it: a coordinator process, TLS, its grid in its database, members on the wire
that answer twice, late and out of order."""

import pytest

from chamber import Chamber, Members, gone_at
from contracts.artefact import of_round
from contracts.envelope import digest
from engine.rounds import KEYS, SURVIVORS, TRAIN


def sums_exactly(chamber, members, closed):
    total = of_round("aggregate", chamber.run, 1, members.plain(closed.contributors))
    return closed.aggregate == digest(total.to_bytes())


def test_three_members_are_summed_exactly(tmp_path):
    with Chamber(tmp_path, 3, "required") as chamber, Members(chamber, tmp_path) as members:
        closed = chamber.closed()
        assert closed.outcome == "recorded" and len(closed.contributors) == 3
        assert sums_exactly(chamber, members, closed)


def test_ten_members_are_summed_exactly_though_three_leave_at_different_steps(tmp_path):
    chamber = Chamber(tmp_path, 10, "required")
    names = [firm.member for firm in chamber.trust.firms]
    gone = {names[0]: gone_at(KEYS), names[4]: gone_at(TRAIN), names[9]: gone_at(SURVIVORS)}
    with chamber, Members(chamber, tmp_path, gone) as members:
        closed = chamber.closed()
        assert closed.outcome == "recorded" and set(closed.contributors) == set(names) - {names[0], names[4]}
        assert sums_exactly(chamber, members, closed)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "left"), [(3, 1), (10, 4)])
def test_with_too_few_left_the_round_is_aborted(tmp_path, n, left):
    chamber = Chamber(tmp_path, n, "required")
    gone = {firm.member: gone_at(TRAIN) for firm in chamber.trust.firms[:left]}
    with chamber, Members(chamber, tmp_path, gone):
        closed = chamber.closed()
        assert (closed.outcome, closed.contributors, closed.aggregate) == ("aborted", (), None)
