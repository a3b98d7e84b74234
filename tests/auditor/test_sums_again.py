"""An auditor does a secure sum again from what was revealed, and finds each way in which that can be forged."""

from array import array
from dataclasses import replace

import pytest

from auditor.steps.step8_models import check_models
from contracts.envelope import canonical, digest, open_entry, seal, to_base64
from contracts.log.merkle import leaf_hash, root
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import parse, payload
from contracts.statements.off_log import Contribution
from contracts.statements.statements import Seen
from contracts.statements.sums import read_unmasking
from engine.rounds import TRAIN
from privacy.secure_sum import new_secrets
from privacy.step import advance, start_state
from simulator import NOTHING
from sums import Sum

START = array("d", [0.0] * 4)


class Held(dict):
    """Evidence that lies in memory."""

    def read(self, path):
        return self.get(path)

    def keep(self, data):
        self["documents/" + digest(data).removeprefix("sha256:")] = data
        return digest(data)


class Recorded:
    """A round of five members, of whom one was gone before it masked; recorded honestly but for `unmasking`."""

    def __init__(self, folder):
        self.sum, self.held = Sum(folder, 5, {TRAIN: 1}), Held()
        self.used, self.total, document = self.sum.combine()
        self.honest = read_unmasking(document)
        [self.gone] = self.honest.mask_keys
        self.survivors = [reply.member for reply in self.used]

    def close(self, unmasking, **changes):
        """Log the round with this document; findings of the log must be none."""
        trust, used = self.sum.trust, self.used
        run, order = trust.run, trust.run.order
        values, state = advance(order.plan, start_state(order.plan, START), self.total, 1)
        keep, named = self.held.keep, {"order": run.run, "round": 1}
        lines = [self.line(reply.member, reply.values) for reply in used]
        keep(model(order.task, START).to_bytes())
        said = {
            "contributors": tuple(self.survivors),
            "list_root": "sha256:" + root([leaf_hash(line) for line in lines]).hex(),
            "list_document": keep(canonical([to_base64(line) for line in lines])),
            "aggregate": keep(of_round("aggregate", named["order"], 1, self.total).to_bytes()),
            "model_out": keep(model(order.task, values).to_bytes()),
            "step_state": keep(of_round("step-state", named["order"], 1, state).to_bytes()),
            "unmasking": keep(unmasking.to_bytes()),
            "dropped": ((self.gone, "no-reply"),),
            "ledgers": tuple((m, trust.ledger(m, order.plan.rho_nano())) for m in self.survivors),
        }
        assert trust.close(**said | changes) == ()

    def line(self, member, values):
        trust = self.sum.trust
        data = of_round("contribution", trust.run.run, 1, values).to_bytes()
        self.held.keep(data)
        said = Contribution(
            **trust.stamp(),
            member=member,
            order=trust.run.run,
            open=trust.run.open_round().open_index,
            round=1,
            payload=digest(data),
            model_in=trust.run.model,
            bundle=trust.run.order.bundle,
            seen=Seen(size=0, root=NOTHING),
            ledger=trust.ledger(member, trust.run.order.plan.rho_nano()),
        )
        return seal(payload(said), [self.sum.firms[member].node])

    def checked(self):
        """(codes found, number of things that could not be checked)."""
        step = check_models(self.sum.trust.state, self.held, None)
        return [finding.code for finding in step.findings], len(step.not_checked)

    def resigned(self, lines, signer, **changes):
        """One signed line said otherwise, by the same member under another key."""
        said = parse(open_entry(lines[0]).payload)
        return (seal(payload(said.model_copy(update=changes)), [signer]), *lines[1:])


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.START", digest(model("risk", START).to_bytes()))
    return Recorded(tmp_path)


def test_an_honest_sum_is_done_again_to_the_last_bit(recorded):
    recorded.close(recorded.honest)
    assert recorded.checked() == ([], 0)


def flipped(secret):
    return bytes([secret[0] ^ 1]) + secret[1:]


def swapped(secrets):
    first, second, *_ = secrets
    return {**secrets, first: secrets[second], second: secrets[first]}


FORGED = {
    "a seed with one bit changed": lambda r, h: replace(
        h, seeds={**h.seeds, r.survivors[0]: flipped(h.seeds[r.survivors[0]])}
    ),
    "two seeds changed places": lambda r, h: replace(h, seeds=swapped(h.seeds)),
    "a mask key that is another's secret": lambda r, h: replace(h, mask_keys={r.gone: h.seeds[r.survivors[0]]}),
    "a fresh mask key": lambda r, h: replace(h, mask_keys={r.gone: new_secrets().mask}),
    "a seed is missing": lambda r, h: replace(h, seeds=dict(list(h.seeds.items())[1:])),
    "a mask key is missing": lambda r, h: replace(h, mask_keys={}),
    "both secrets of the one who was gone": lambda r, h: replace(h, seeds={**h.seeds, r.gone: bytes(32)}),
    "keys of one member less": lambda r, h: replace(h, keys=h.keys[1:], seeds=dict(list(h.seeds.items())[1:])),
    "keys shown twice": lambda r, h: replace(h, keys=(*h.keys, h.keys[0])),
    "keys signed by the coordinator": lambda r, h: replace(h, keys=r.resigned(h.keys, r.sum.trust.office)),
    "keys for another round": lambda r, h: replace(
        h, keys=r.resigned(h.keys, r.sum.firms[r.sum.names[0]].node, round=2)
    ),
    "too few signatures under the survivors": lambda r, h: replace(h, survivors=h.survivors[:3]),
    "no signature under the survivors": lambda r, h: replace(h, survivors=()),
    "one signature counted twice": lambda r, h: replace(h, survivors=(*h.survivors[:3], h.survivors[0])),
    "a signature under other survivors": lambda r, h: replace(
        h,
        survivors=r.resigned(
            h.survivors, r.sum.firms[r.survivors[0]].node, survivors=tuple(r.survivors[:3]), cutoff=99
        ),
    ),
    "a survivor's signature by the coordinator": lambda r, h: replace(
        h, survivors=r.resigned(h.survivors, r.sum.trust.office)
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_each_forged_unmasking_is_found(recorded, name):
    recorded.close(FORGED[name](recorded, recorded.honest))
    assert recorded.checked() == (["SECURE_SUM"], 0)


def test_survivors_in_the_log_that_are_not_those_who_were_signed_for_are_found(recorded):
    recorded.used, recorded.survivors = recorded.used[:3], recorded.survivors[:3]
    dropped = tuple((m, "no-reply") for m in recorded.sum.names if m not in recorded.survivors)
    recorded.close(recorded.honest, dropped=dropped)
    assert recorded.checked() == (["SECURE_SUM"], 0)


def test_another_cut_off_than_was_signed_for_is_found(recorded):
    recorded.sum.trust.admit()
    recorded.close(recorded.honest, cutoff=len(recorded.sum.trust.entries))
    assert recorded.checked() == (["SECURE_SUM"], 0)


def test_a_masked_contribution_that_was_changed_is_found(recorded):
    values = array("q", recorded.used[0].values)
    values[0] ^= 1
    recorded.used[0] = replace(recorded.used[0], values=values)
    recorded.close(recorded.honest)
    assert recorded.checked() == (["AGGREGATE"], 0)


def test_a_document_that_is_missing_and_one_that_was_changed_later_are_found(recorded):
    recorded.close(recorded.honest)
    path = "documents/" + digest(recorded.honest.to_bytes()).removeprefix("sha256:")
    whole = recorded.held.pop(path)
    assert recorded.checked() == (["ERASURE"], 1), "whoever holds contributions was given everything: this one was lost"
    recorded.held[path] = whole[:-1] + b" "
    assert recorded.checked() == (["TREE_MISMATCH"], 0)


def test_a_round_that_names_no_unmasking_where_a_secure_sum_is_agreed_is_found_in_the_log_itself(recorded):
    trust = recorded.sum.trust
    assert [finding.code for finding in trust.close(unmasking=None)] == ["AGGREGATE"]
