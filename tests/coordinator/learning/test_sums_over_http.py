"""The secure sum over the real chain of it: a coordinator process, TLS, its grid in its database, members on the wire
that answer twice, late and out of order."""

import pytest

from chamber import START, Chamber, Members, gone_at
from contracts.envelope import canonical, digest, open_entry, to_base64
from contracts.errors import Refused
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import parse
from contracts.statements.statements import Round
from contracts.terms.agreement import Grouped
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.web.overview import overview
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK


def garbage(line=b"", payload=b""):
    return {"line": to_base64(line), "payload": to_base64(payload)}


def said_in(entry):
    return parse(open_entry(entry).payload)


def sums_exactly(chamber, members, closed):
    total = of_round("aggregate", chamber.run, closed.round, members.plain(closed.contributors))
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


def test_a_group_that_does_not_reply_as_a_whole_is_left_out_and_the_log_says_why(tmp_path):
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    chamber = Chamber(tmp_path, 12, "required", edition=2, totals=rule)
    silent = chamber.trust.firms[0].member
    with chamber, Members(chamber, tmp_path, {silent: gone_at(TRAIN)}) as members:
        closed = chamber.closed()
        group = next(one for one in chamber.log.state().groups["receivables"] if silent in one)
        assert closed.outcome == "recorded" and set(closed.contributors) == set(members.all) - set(group)
        assert sums_exactly(chamber, members, closed)
        [record] = [said for said in map(said_in, chamber.log.entries(0, 10**6)) if isinstance(said, Round)]
        assert dict(record.dropped) == {m: "malformed" if m == silent else "group" for m in group}


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


def away_from(chamber, step):
    """A `before` of a member that hangs from a step of the first round until that has ended, and then is back."""

    def before(now):
        if now == step and chamber.log.state().runs[chamber.run].next_round() == 2:
            chamber.closed()
            raise Refused("the round has ended", code="LATE")

    return before


@pytest.mark.slow
@pytest.mark.parametrize("step", [SURVIVORS, UNMASK])
def test_after_a_round_that_was_aborted_under_its_masks_the_next_one_is_exact(tmp_path, step):
    chamber = Chamber(tmp_path, 10, "required", deadline_s=15, rounds=2)
    away = {firm.member: away_from(chamber, step) for firm in chamber.trust.firms[3:7]}
    with chamber, Members(chamber, tmp_path, away) as members:
        first, second = chamber.closed(), chamber.closed(2)
        assert (first.outcome, first.aggregate, first.unmasking) == ("aborted", None, None)
        assert first.model_out == digest(model("risk", START).to_bytes()), "nothing was learned from it"
        assert second.outcome == "recorded" and len(second.contributors) == 10
        assert sums_exactly(chamber, members, second)
        sent = [body["payload"] for one in members.all.values() for path, body in one.sent if "contributions" in path]
        assert len(set(sent)) == len(sent) == 20, "each round has masks of its own"
