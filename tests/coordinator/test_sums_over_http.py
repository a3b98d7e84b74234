"""The secure sum over the real chain of it: a coordinator process, TLS, its grid in its database, members on the wire
that answer twice, late and out of order."""

import pytest

from chamber import Chamber, Members, gone_at
from contracts.artefact import of_round
from contracts.closed_list import parse
from contracts.envelope import canonical, digest, open_entry, to_base64
from contracts.statements import Round
from coordinator.app import open_office
from coordinator.pages import overview
from coordinator.settings import read_home
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK


def garbage(line=b"", payload=b""):
    return {"line": to_base64(line), "payload": to_base64(payload)}


def said_in(entry):
    return parse(open_entry(entry).payload)


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


GARBAGE = {  # what a member sends in a step -> the code of its refusal
    KEYS: (garbage(line=b"no statement"), "NOT_CANONICAL"),
    SHARES: (garbage(payload=b'{"urn:uuid:1":"AAAA"}'), "SHAPE"),
    SURVIVORS: (garbage(line=b"{}"), "MALFORMED"),
    UNMASK: (garbage(payload=canonical({"urn:uuid:1": "f" * 65})), "SHAPE"),
}


def test_garbage_in_any_step_is_refused_typed_on_the_log_and_shown_to_the_office(tmp_path):
    chamber = Chamber(tmp_path, 12, "required")
    liars = dict(zip(GARBAGE, (firm.member for firm in chamber.trust.firms), strict=False))
    gone = {member: gone_at(step, GARBAGE[step][0]) for step, member in liars.items()}
    with chamber, Members(chamber, tmp_path, gone) as members:
        closed = chamber.closed()
        assert {step: members.all[member].told for step, member in liars.items()} == {
            step: code for step, (_, code) in GARBAGE.items()
        }
        assert closed.outcome == "recorded" and sums_exactly(chamber, members, closed)
        early = {liars[KEYS], liars[SHARES]}  # whoever comes later has a part in the sum already
        [record] = [said for said in map(said_in, chamber.log.entries(0, 10**6)) if isinstance(said, Round)]
        assert set(record.dropped) == {(member, "malformed") for member in early}
        [run] = overview(open_office(read_home(chamber.home)))["runs"]
        assert {(one["step"], one["name"]) for one in run["malformed"]} == set(liars.items())


@pytest.mark.slow
@pytest.mark.parametrize(("n", "left"), [(3, 1), (10, 4)])
def test_with_too_few_left_the_round_is_aborted(tmp_path, n, left):
    chamber = Chamber(tmp_path, n, "required")
    gone = {firm.member: gone_at(TRAIN) for firm in chamber.trust.firms[:left]}
    with chamber, Members(chamber, tmp_path, gone):
        closed = chamber.closed()
        assert (closed.outcome, closed.contributors, closed.aggregate) == ("aborted", (), None)
