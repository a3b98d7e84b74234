"""Sheets: one statement that goes round, copies that are merged, and rules that say whether enough have signed."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import cosign, key_id, seal
from contracts.errors import Malformed
from contracts.statements import to_cosign
from contracts.statements.closed_list import payload
from contracts.statements.statements import KeyState, Policy
from simulator import Trust


@pytest.fixture
def trust():
    return Trust()


def said(entry):
    return to_cosign.write(entry).encode()


def policy(trust):
    stated = Policy(**trust.stamp(), prev="members n//2+1, auditors 1", quorum="members n, auditors 1")
    return seal(payload(stated), [trust.office])


def test_copies_signed_apart_are_one_sheet_and_the_rules_count(trust):
    sheet = policy(trust)
    one, other = (cosign(sheet, firm.node) for firm in trust.firms[:2])
    assert [finding.code for finding in trust.append(one)] == ["POLICY"], "two of three members are the quorum"
    merged, what = to_cosign.read([said(one), said(other), said(other)])
    assert trust.append(merged) == () and trust.state.quorum == what.quorum
    assert "members n, auditors 1" in to_cosign.words(what)
    assert cosign(merged, trust.office) == merged, "who has signed already changes nothing"


def test_a_live_key_signs_for_its_successor_and_an_ended_one_cannot(trust):
    firm, new = trust.firms[0], Ed25519PrivateKey.generate()

    def follows(old):
        entry = to_cosign.successor(old, new, member=firm.member, role="node", issued_at=trust.stamp()["issued_at"])
        return trust.append(cosign(entry, trust.office))

    assert [finding.code for finding in follows(key_id(firm.node.public_key()))] == ["KEY_ROTATION"]
    assert follows(firm.node) == ()
    assert trust.state.live_key(firm.member, "node")[0] == key_id(new.public_key())
    ended = KeyState(**trust.stamp(), key=key_id(new.public_key()), state="compromised")
    assert trust.say(ended, new) == ()


@pytest.mark.parametrize("text", [b"", b"[]", b'{"entries": []}', b'{"entries": [1]}', b'{"entries": ["AAAA"]}'])
def test_anything_else_is_not_a_sheet(text):
    with pytest.raises(Malformed):
        to_cosign.read([text])


def test_two_statements_are_not_one_sheet_and_a_consent_is_none(trust):
    with pytest.raises(Malformed, match="one and the same"):
        to_cosign.read([said(policy(trust)), said(policy(trust))])
    with pytest.raises(Malformed, match="no statement to cosign"):
        to_cosign.read([json.dumps({"entries": []}).encode(), said(trust.entries[-1])])
