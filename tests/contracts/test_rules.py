"""The rulebook as stories: each rule's number stands in the code it is found under."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.agreement import prose
from contracts.envelope import public_text, seal, to_base64
from contracts.rules.fold import apply, replay
from contracts.rules.state import EMPTY
from contracts.statements import AgreementPublished, Key, KeyState, payload
from simulator import NOTHING, Firm, Trust, keyid, plan


def codes(findings):
    return [f.code for f in findings]


@pytest.fixture
def trust():
    return Trust(members=4)


def test_a_whole_run_breaks_no_rule_and_replays_to_the_same_state(trust):
    trust.whole_run()
    assert trust.findings == []
    assert trust.state.released("risk").release.participants == 4
    assert replay(trust.entries) == (trust.state, [])


def test_every_finding_reads_as_a_sentence(trust):
    trust.order()
    [finding] = trust.open(members=((trust.firms[0].member, 1),) * 3)[:1]
    assert finding.text().startswith("round 1 asks fewer than 3 members")


def test_only_the_member_can_consent(trust):
    assert codes(trust.consent(trust.firms[0], signer=trust.office)) == ["CONSENT_NOT_BY_PRINCIPAL"]
    assert codes(trust.consent(trust.firms[0], signer=trust.firms[1].node)) == ["CONSENT_NOT_BY_PRINCIPAL"]
    assert not trust.state.consents


def test_an_unknown_key_says_nothing(trust):
    assert codes(trust.consent(trust.firms[0], signer=Ed25519PrivateKey.generate())) == ["UNKNOWN_KEY"]


def test_a_retired_key_is_refused_and_a_second_node_too(trust):
    firm = trust.firms[0]
    other = Ed25519PrivateKey.generate()
    second = Key(
        **trust.stamp(), member=firm.member, role="node", public=public_text(other.public_key()), register_document=None
    )
    assert codes(trust.say(second, trust.office, other)) == ["SECOND_NODE"]
    assert codes(trust.say(KeyState(**trust.stamp(), key=keyid(firm.node), state="retired"), firm.node)) == []
    assert codes(trust.consent(firm)) == ["REVOKED_KEY"]


def test_admission_needs_possession_of_the_key_and_a_sound_one(trust):
    other = Ed25519PrivateKey.generate()
    key = {"member": Firm().member, "role": "node", "register_document": None}
    unproven = Key(**trust.stamp(), **key, public=public_text(other.public_key()))
    assert codes(trust.say(unproven, trust.office)) == ["BAD_SIGNATURE"]
    weak = Key(**trust.stamp(), **key, public=to_base64((1).to_bytes(32, "little")))
    assert codes(trust.say(weak, trust.office)) == ["WEAK_KEY"]


def test_a_consent_stays_within_the_agreement_and_follows_its_chain(trust):
    firm = trust.firms[0]
    assert codes(trust.consent(firm, scope={"rho_year_max_nano": 10**12})) == ["SCOPE"]
    assert codes(trust.consent(firm, expires_at="2030-01-01T00:00:00Z")) == ["SCOPE"]
    assert codes(trust.consent(firm, seq=2)) == ["CONSENT_CHAIN"]
    assert codes(trust.consent(firm, "amend")) == ["CONSENT_CHAIN"]
    assert codes(trust.consent(firm, scope={"rounds_max": 20})) == []
    assert codes(trust.consent(firm, "amend")) == ["SCOPE"]
    assert codes(trust.consent(firm, "renew", scope={"rounds_max": 20})) == ["CONSENT_CHAIN"]
    later = {"scope": {"rounds_max": 20}, "expires_at": "2027-06-30T00:00:00Z"}
    assert codes(trust.consent(firm, "amend", **later)) == ["CONSENT_EXPIRED"]
    assert codes(trust.consent(firm, "renew", **later)) == []
    assert codes(trust.consent(firm)) == [], "a new grant may say everything anew"
    assert codes(trust.consent(firm, "amend", scope={"rounds_max": 5})) == []
    assert codes(trust.consent(firm, "amend", agreement=NOTHING)) == ["CONSENT_CHAIN", "AGREEMENT_INACTIVE"]


def test_a_withdrawal_is_accepted_whatever_else_is_wrong(trust):
    firm = trust.firms[0]
    assert codes(trust.consent(firm, "withdraw", seq=77, prev=NOTHING, agreement=NOTHING)) == []
    trust.consent(firm)
    assert codes(trust.consent(firm, "withdraw", seq=99)) == []
    assert trust.state.consent(firm.member, trust.agreement).consent.event == "withdraw"


def test_the_prose_follows_from_the_fields_in_both_languages(trust):
    terms = trust.make_terms(version=2, supersedes=trust.agreement)
    forged = terms.model_copy(update={"min_members": 5})
    assert codes(trust.say(AgreementPublished(**trust.stamp(), terms=forged), trust.office, trust.agreement_key)) == [
        "PROSE_MISMATCH"
    ]
    assert codes(trust.say(AgreementPublished(**trust.stamp(), terms=terms), trust.office, trust.agreement_key)) == []
    assert trust.state.active_agreement() == terms.digest()
    assert "可由此估计该会员的总量" in prose(terms, "zh") and "totals can be estimated" in prose(terms, "en")
    hidden = trust.make_terms(secure_sum="required")
    assert "可由此估计" not in prose(hidden, "zh") and "totals are hidden" in prose(hidden, "en")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bundle": "sha256:" + "1" * 64}, "CODE_HASH"),
        ({"schema_digest": "sha256:" + "1" * 64}, "SCHEMA_HASH"),
        ({"model_start": NOTHING}, "MODEL_CHAIN"),
        ({"min_members": 2}, "MIN_PARTICIPANTS"),
        ({"plan": plan(sigma_steps=2**20)}, "OVER_BUDGET"),
        ({"plan": plan(max_units=999)}, "NOISE"),
        ({"plan": plan(releases=51)}, "ROUND_SEQUENCE"),
        ({"plan": plan(delta="1e-3")}, "NOISE"),
        ({"expires_at": "2028-12-01T00:00:00Z"}, "AGREEMENT_INACTIVE"),
        ({"task": "demand"}, "AGREEMENT_INACTIVE"),
    ],
)
def test_an_order_that_leaves_the_agreement_is_refused(trust, change, code):
    assert codes(trust.order(**change)) == [code]
    assert not trust.state.runs


def test_nobody_is_asked_without_a_live_consent(trust):
    for firm in trust.firms[:3]:
        trust.consent(firm)
    trust.order()
    asked = tuple(
        sorted(
            [
                *((f.member, trust.state.consent(f.member, trust.agreement).index) for f in trust.firms[:3]),
                (trust.firms[3].member, 3),
            ]
        )
    )
    assert codes(trust.open(members=asked)) == ["NO_CONSENT"]


def test_expired_consent_behaves_as_withdrawn(trust):
    for firm in trust.firms:
        trust.consent(firm, expires_at="2026-01-05T08:30:00Z")
    trust.order()
    asked = tuple(sorted((f.member, trust.state.consent(f.member, trust.agreement).index) for f in trust.firms))
    assert set(codes(trust.open(members=asked, issued_at="2026-01-05T09:00:00Z"))) == {"CONSENT_EXPIRED"}


def test_a_withdrawal_below_the_cut_off_excludes_a_member_that_has_already_sent(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    trust.consent(trust.firms[0], "withdraw")
    assert codes(trust.close()) == ["TRAINED_AFTER_WITHDRAWAL"]
    assert codes(trust.open()) == [] and len(trust.run.open_round().opened.members) == 3
    assert codes(trust.close()) == []


def test_the_withdrawn_member_is_dropped_and_the_round_stands(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    trust.consent(trust.firms[0], "withdraw")
    assert codes(trust.close(without=(trust.firms[0].member,))) == []


def test_the_yearly_budget_ends_further_rounds(trust):
    cost = plan().rho_nano()
    for firm in trust.firms:
        trust.consent(firm, scope={"rho_year_max_nano": 4 * cost})
    trust.order()
    for _ in range(3):
        assert codes(trust.open() + trust.close()) == []
    trust.order()
    assert codes(trust.open() + trust.close()) == []
    members = trust.run.rounds[0].opened.members
    assert codes(trust.open(members=members)) == ["OVER_BUDGET"] * 4
    spent = trust.state.spent(trust.firms[0].member, "receivables", "row", "train", "2026")
    assert spent == 5 * cost, "a broken entry spends"


def test_rounds_come_in_order_and_a_broken_one_uses_up_its_number(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    assert codes(trust.open(round=2)) == ["ROUND_SEQUENCE"]
    assert trust.run.next_round() == 2, "one fault gives one finding"
    trust.close(round=2)
    assert codes(trust.open()) == []


def test_the_model_chain_and_the_charges_of_a_round_are_checked(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    assert codes(trust.open(model_in=NOTHING)) == ["MODEL_CHAIN"]
    waiting = trust.run.open_round().opened
    assert codes(trust.close(spend=tuple((m, 1) for m, _ in waiting.members))) == ["BUDGET_REPORT"]
    trust.open()
    assert codes(trust.close(outcome="aborted")) == ["MODEL_CHAIN"]
    trust.open()
    assert codes(trust.close(aggregate=None)) == ["AGGREGATE"]
    trust.open()
    assert codes(trust.close(unmasking=NOTHING)) == ["AGGREGATE"], "none was agreed"


def test_a_round_under_a_secure_sum_names_what_the_sum_can_be_done_again_with():
    trust = Trust(members=4, secure_sum="required")
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    assert codes(trust.close(unmasking=None)) == ["AGGREGATE"]
    trust.open()
    assert codes(trust.close()) == []


def test_nothing_is_released_early_twice_or_altered(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    assert codes(trust.release(rounds=1, participants=3)) == ["RELEASE_ROUNDS"]
    for _ in range(3):
        trust.open()
        trust.close()
    assert codes(trust.release(model=NOTHING)) == ["RELEASE_MODEL"]
    assert codes(trust.release(participants=5)) == ["RELEASE_FLOOR"]
    assert codes(trust.release()) == []
    assert codes(trust.release()) == ["RELEASE_ROUNDS"]


def test_the_same_statement_is_not_said_twice(trust):
    trust.consent(trust.firms[0])
    assert codes(trust.append(trust.entries[-1])) == ["DUPLICATE_ENTRY"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_fold_is_total_and_no_changed_byte_passes(data):
    trust = _TRUST
    index = data.draw(st.integers(0, len(trust.entries) - 1))
    state, _ = replay(trust.entries[:index])
    entry = bytearray(trust.entries[index])
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    after, findings = apply(state, bytes(entry), index)
    assert findings and after.size == index + 1
    assert after.keys == state.keys and after.charges == state.charges


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_finding_and_never_an_exception(data):
    assert apply(EMPTY, data, 0)[1]
    assert apply(_TRUST.state, seal(data, [_TRUST.office]), len(_TRUST.entries))[1]


_TRUST = Trust()
_TRUST.whole_run()


def test_payloads_parse_back(trust):
    from contracts.envelope import open_entry
    from contracts.statements import parse

    trust.whole_run()
    for entry in trust.entries:
        opened = open_entry(entry)
        assert payload(parse(opened.payload)) == opened.payload
