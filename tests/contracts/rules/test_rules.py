"""The rulebook as stories: each rule's number stands in the code it is found under."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import digest, public_text, seal, to_base64
from contracts.rules.fold import apply, replay
from contracts.rules.incidents import late_matters
from contracts.rules.state import EMPTY
from contracts.statements.closed_list import payload
from contracts.statements.statements import (
    AgreementPublished,
    AgreementState,
    Erased,
    Erasure,
    Incident,
    Key,
    KeyState,
    LedgerHead,
    Policy,
    Seen,
)
from contracts.terms.agreement import RoundTerms
from contracts.terms.prose import prose
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
    from contracts.statements.closed_list import parse

    trust.whole_run()
    for entry in trust.entries:
        opened = open_entry(entry)
        assert payload(parse(opened.payload)) == opened.payload


def test_an_agreement_moves_only_along_its_states(trust):
    def change(prev, state, **changes):
        fields = {**trust.stamp(), "agreement": trust.agreement, "prev_state": prev, "state": state} | changes
        return codes(trust.say(AgreementState(reason="office", **fields), trust.office))

    assert change("suspended", "active") == ["AGREEMENT_STATE"]
    assert change("active", "suspended") == []
    assert codes(trust.consent(trust.firms[0])) == ["AGREEMENT_INACTIVE"]
    assert change("suspended", "active") == []
    assert change("active", "expired") == ["AGREEMENT_STATE"], "its last day has not come"
    trust.now = datetime(2028, 1, 1, tzinfo=UTC)
    assert change("active", "expired") == []
    assert change("expired", "closed") == ["AGREEMENT_STATE"], "its records must still be kept"
    trust.now = datetime(2031, 1, 2, tzinfo=UTC)
    assert change("expired", "closed") == []


def test_a_new_version_supersedes_the_one_before_and_needs_new_consents(trust):
    trust.consent(trust.firms[0])
    skipped = trust.make_terms(version=3, supersedes=trust.agreement)
    assert codes(trust.publish(skipped)) == ["AGREEMENT_CHAIN"]
    assert codes(trust.publish(trust.make_terms(version=2, supersedes=trust.agreement), trust.office)) == [
        "AGREEMENT_SIGNATURE"
    ]
    assert codes(trust.publish(trust.make_terms(version=2, supersedes=trust.agreement))) == []
    assert trust.state.agreements[trust.agreement].state == "superseded"
    assert trust.state.consent(trust.firms[0].member, trust.state.active_agreement()) is None
    assert codes(trust.order()) == ["AGREEMENT_INACTIVE"]


def test_a_consent_that_time_has_ended_can_be_said_to_have_by_anyone_and_not_before(trust):
    firm = trust.firms[0]
    trust.consent(firm, expires_at="2026-02-01T00:00:00Z")
    expire = {"event": "expire", "expires_at": None, "notice": None, "signer": trust.office}
    assert codes(trust.consent(firm, **expire)) == ["CONSENT_CHAIN"]
    trust.now = datetime(2026, 2, 1, tzinfo=UTC)
    assert codes(trust.consent(firm, **expire)) == []
    assert codes(trust.consent(firm, "renew")) == ["CONSENT_CHAIN"], "what is over needs a new grant"
    assert codes(trust.consent(firm)) == []


def test_a_consent_does_not_take_effect_in_the_past(trust):
    assert codes(trust.consent(trust.firms[0], effective_from="2026-01-02T00:00:00Z")) == ["BACKDATED_CONSENT"]
    signed_long_ago = {"issued_at": "2026-01-02T00:00:00Z", "effective_from": "2026-01-02T00:00:00Z"}
    assert codes(trust.consent(trust.firms[0], **signed_long_ago)) == ["BACKDATED_CONSENT"]
    assert codes(trust.consent(trust.firms[0])) == []
    assert codes(trust.consent(trust.firms[0], "withdraw", issued_at="2026-01-02T00:00:00Z")) == []


def test_the_clock_of_the_office_does_not_run_backwards(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    assert codes(trust.open(issued_at="2026-01-05T07:00:00Z")) == ["TIME_OUT_OF_WINDOW"]
    assert trust.run.rounds[0].broken


def test_nobody_has_seen_entries_to_come(trust):
    assert codes(trust.consent(trust.firms[0], seen=Seen(size=10**6, root=NOTHING))) == ["EQUIVOCATION"]


def test_rounds_keep_the_agreed_interval(trust):
    trust = Trust(
        rounds=RoundTerms(
            max_per_run=50, orders_max=20, aborted_max=10, interval_min_s=600, window_max_s=259_200, deadline_max_s=3600
        )
    )
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    trust.close()
    assert codes(trust.open()) == ["ROUND_SEQUENCE"]
    trust.close()
    trust.now += timedelta(minutes=10)
    assert codes(trust.open()) == []


def test_a_round_that_a_member_says_it_did_not_start_costs_it_nothing(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    firm, cost = trust.firms[0], plan().rho_nano()
    account = (firm.member, "receivables", "row", "train", "2026")
    assert trust.state.spent(*account) == cost
    waiting = trust.run.open_round()
    assert codes(trust.refuse(firm, "not-started", open=waiting.open_index + 1)) == ["PARTICIPANT"]
    assert codes(trust.refuse(firm, "not-started", open=waiting.open_index)) == []
    assert trust.state.spent(*account) == 0
    assert codes(trust.refuse(firm, "not-started", open=waiting.open_index)) == ["PARTICIPANT"]
    spend = tuple((m, cost) for m, _ in waiting.opened.members if m != firm.member)
    assert codes(trust.close(spend=spend)) == ["PARTICIPANT"], "who did not start is not in the sum"


def test_a_node_that_was_restarted_stays_out_of_that_round_only_and_is_charged(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    firm, waiting = trust.firms[0], trust.run.open_round()
    account = (firm.member, "receivables", "row", "train", "2026")
    assert codes(trust.refuse(firm, "restarted")) == ["PARTICIPANT"], "it says which round"
    assert codes(trust.refuse(firm, "restarted", open=waiting.open_index)) == []
    assert trust.state.spent(*account) == plan().rho_nano() and firm.member not in trust.run.refused
    trust.abort()
    assert codes(trust.open()) == [] and firm.member in dict(trust.run.open_round().opened.members)


def test_whoever_refused_a_run_is_not_asked_again_and_a_faulty_order_must_be_answered(trust):
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    asked = tuple(sorted((f.member, trust.state.consent(f.member, trust.agreement).index) for f in trust.firms))
    assert codes(trust.refuse(trust.firms[0], "bundle")) == []
    refusal = digest(trust.entries[-1])
    assert codes(trust.open(members=asked)) == ["PARTICIPANT"]
    assert late_matters(trust.state, "2026-02-01T00:00:00Z") == []
    assert [m.index for m in late_matters(trust.state, "2026-03-01T00:00:00Z")] == [trust.state.matters[refusal].index]
    answer = {"category": "refusal", "state": "answered", "members": (), "document": digest(b"salted")}
    assert codes(trust.say(Incident(**trust.stamp(), about=NOTHING, **answer), trust.office)) == ["FOLLOW_UP"]
    assert codes(trust.say(Incident(**trust.stamp(), about=refusal, **answer), trust.office)) == []
    assert late_matters(trust.state, "2026-03-01T00:00:00Z") == []


def test_a_key_is_followed_only_by_one_that_it_signs_itself_or_that_auditors_sign(trust):
    firm, auditor = trust.firms[0], Ed25519PrivateKey.generate()
    new, newer, third = (Ed25519PrivateKey.generate() for _ in range(3))

    def succeed(old, key, *signers):
        statement = trust.key(firm.member, "node", key, replaces=old and keyid(old))
        return codes(trust.say(statement, trust.office, key, *signers))

    assert succeed(firm.node, new) == ["KEY_ROTATION"], "the office alone swaps nobody's key"
    assert succeed(trust.firms[1].node, new, trust.firms[1].node) == ["KEY_ROTATION"]
    assert succeed(firm.node, new, firm.node) == []
    assert codes(trust.consent(firm)) == ["REVOKED_KEY"]
    assert codes(trust.consent(firm, signer=new)) == []
    trust.say(KeyState(**trust.stamp(), key=keyid(new), state="compromised"), new)
    assert succeed(new, newer) == ["KEY_ROTATION"], "without auditors a lost key ends the membership"
    trust.say(trust.key(None, "auditor", auditor), trust.office, auditor)
    assert succeed(None, third) == ["KEY_ROTATION"]
    assert succeed(new, newer, auditor) == []
    assert codes(trust.consent(firm, "amend", signer=newer)) == []


def test_the_office_key_is_followed_too(trust):
    new = Ed25519PrivateKey.generate()
    old, statement = trust.office, trust.key(None, "office", new, replaces=keyid(trust.office))
    assert codes(trust.say(statement, new)) == ["KEY_ROTATION"]
    assert codes(trust.say(trust.key(None, "office", new, replaces=keyid(old)), old, new)) == []
    assert codes(trust.order()) == ["REVOKED_KEY"]
    trust.office = new
    assert codes(trust.order()) == []


def test_documents_go_only_when_their_time_is_over_and_only_those_that_the_log_names(trust):
    trust.whole_run()
    model = trust.run.model

    def erase(document, part="document", ground="retention-ended"):
        named = (Erased(document=document, part=part),)
        return codes(trust.say(Erasure(**trust.stamp(), documents=named, ground=ground), trust.office))

    assert erase(digest(trust.entries[3])) == ["ERASURE"], "an entry is no off-log document"
    assert erase(model) == ["ERASURE"]
    assert erase(model, "contributions", "authority") == ["ERASURE"]
    trust.now += timedelta(days=91)
    assert erase(NOTHING, "contributions") == []
    assert erase(NOTHING, "contributions") == ["ERASURE"]
    trust.now = datetime(2031, 1, 1, tzinfo=UTC)
    assert erase(model) == []


def test_the_quorum_rule_changes_only_with_both_groups(trust):
    auditor = Ed25519PrivateKey.generate()
    trust.say(trust.key(None, "auditor", auditor), trust.office, auditor)
    nodes = [f.node for f in trust.firms]

    def change(*signers, prev="members n//2+1, auditors 1"):
        said = Policy(**trust.stamp(), prev=prev, quorum="members 2n//3+1, auditors 1")
        return codes(trust.say(said, trust.office, *signers))

    assert change() == change(*nodes) == change(*nodes[:2], auditor) == ["POLICY"]
    assert change(*nodes[:3], auditor, prev="members n, auditors 1") == ["POLICY"]
    assert change(*nodes[:3], auditor) == []
    assert trust.state.quorum == "members 2n//3+1, auditors 1"


def test_a_release_reaches_those_whom_the_agreement_names_while_it_lasts(trust):
    trust.whole_run()
    trust.order()
    for _ in range(3):
        trust.open()
        trust.close()
    assert codes(trust.release(beneficiaries="public")) == ["RELEASE_BENEFICIARY"]
    assert codes(trust.release(issued_at="2028-01-01T00:00:00Z")) == ["RELEASE_EXPIRED"]


def test_a_member_is_asked_no_more_often_than_it_consented_to(trust):
    for firm in trust.firms:
        trust.consent(firm, scope={"orders_max": 2})
    for _ in range(2):
        trust.order()
        trust.open()
    listed = trust.run.open_round().opened.members
    trust.order()
    assert codes(trust.open(members=listed)) == ["ASKED_TOO_OFTEN"] * 4


def test_rounds_that_end_without_a_sum_are_counted_and_end_at_the_consented_number(trust):
    for firm in trust.firms:
        trust.consent(firm, scope={"aborted_max": 1})
    trust.order()
    trust.open()
    listed = trust.run.open_round().opened.members
    assert codes(trust.abort()) == []
    assert codes(trust.open(members=listed)) == ["ASKED_TOO_OFTEN"] * 4


def test_a_new_year_has_a_budget_only_once_the_member_has_signed_for_it(trust):
    for firm in trust.firms:
        trust.consent(firm, expires_at="2027-12-31T00:00:00Z")
    trust.order(expires_at="2027-12-01T00:00:00Z")
    trust.open()
    listed = trust.run.open_round().opened.members
    trust.close()
    trust.now = trust.now.replace(year=2027)
    assert codes(trust.open(members=listed)) == ["NOT_RENEWED"] * 4
    trust.close()
    for firm in trust.firms:
        assert codes(trust.consent(firm, "renew", expires_at="2027-12-31T00:00:00Z")) == []
    assert codes(trust.open()) == []


def test_a_ledger_that_shrinks_is_found_wherever_it_is_shown(trust):
    trust.whole_run()
    firm = trust.firms[0]
    old = LedgerHead(head=NOTHING, rho_total_nano=1)
    assert codes(trust.consent(firm, "amend", ledger=old)) == ["BUDGET_RESET"]
    trust.order()
    trust.open()
    shown = tuple((m, old) for m, _ in trust.run.open_round().opened.members)
    assert codes(trust.close(ledgers=shown)) == ["BUDGET_RESET"] * 4
    trust.open()
    assert codes(trust.close(ledgers=())) == ["BUDGET_REPORT"]
