"""Receipts prove something alone; beside a log they show what it left out."""

import json
from dataclasses import replace

import pytest

from auditor.evidence.reader import Folder
from auditor.steps.step4_receipts import judge, read_receipt
from auditor.steps.step7_budgets import curve
from auditor.verify import verify
from contracts.envelope import open_entry, seal
from contracts.errors import Malformed
from contracts.log.checkpoint import Note
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.pins import Pins
from contracts.log.receipts import (
    Logged,
    Place,
    ResultInclusion,
    ServedResult,
    output_commitment,
    places,
    read_logged,
    read_served,
    salted_lines,
)
from contracts.statements.closed_list import parse, payload
from contracts.statements.off_log import Contribution, Receipt
from contracts.statements.statements import KeyState, LedgerHead, Rollback, Seen
from simulator import NOTHING, Trust, keyid, plan

SALT = b"s" * 16
LINES = ['{"id":"A"}', '{"id":"B"}', '{"id":"C"}']


def kinds(trust):
    return [parse(open_entry(entry).payload).kind for entry in trust.entries]


def seen(trust, size=None):
    """The state of the log that a member had seen: all of it, or less."""
    note = trust.note(size)
    return Seen(size=note.checkpoint.size, root="sha256:" + note.checkpoint.root.hex())


def statement(trust, lines=LINES, **changes):
    run = trust.run
    fields = {
        **trust.stamp(),
        "member": trust.firms[0].member,
        "agreement": run.order.agreement,
        "order": run.run,
        "model": run.release.model,
        "votes": NOTHING,
        "seen": seen(trust),
        "input_commit": NOTHING,
        "output_commit": output_commitment(lines, SALT),
    } | changes
    return Receipt(**fields)


def served(trust, said=None, *, line=1, signer=None, leave_out=(), note=None):
    entries = trust.entries
    chain = places(entries, [i for i, kind in enumerate(kinds(trust)) if kind not in ("genesis", *leave_out)])
    [shown] = places(salted_lines(LINES, SALT), [line])
    sealed = seal(payload(said or statement(trust)), [signer or trust.firms[0].node])
    return ServedResult(sealed, note or trust.note(), tuple(chain), ResultInclusion(shown))


@pytest.fixture
def trust():
    made = Trust()
    made.whole_run()
    return made


@pytest.fixture
def pins(trust):
    return Pins.model_validate(trust.pins())


def fault(receipt, pins, tmp_path):
    file = tmp_path / "one.tlog-proof"
    file.write_text(receipt.text(), encoding="utf-8")
    told = judge(file, pins)
    return told.fault and told.fault.code


def logged(trust, index, note=None, beside=()):
    return Logged(places(trust.entries, [index])[0], note or trust.note(), beside=tuple(places(trust.entries, beside)))


def contributed(trust, firm, opened, round=1):
    """The signed line of a contribution."""
    said = Contribution(
        **trust.stamp(),
        member=firm.member,
        order=trust.run.run,
        open=opened.open_index,
        round=round,
        payload=NOTHING,
        model_in=trust.run.model,
        bundle=NOTHING,
        seen=Seen(size=0, root=NOTHING),
        ledger=LedgerHead(head=NOTHING, rho_total_nano=0),
    )
    return seal(payload(said), [firm.node])


def one_round(**terms):
    """A trust whose last entry is a recorded round, and the lines of its list."""
    trust = Trust(**terms)
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    lines = [contributed(trust, firm, trust.run.open_round()) for firm in trust.firms]
    trust.close(list_root="sha256:" + Tree(map(leaf_hash, lines)).root().hex())
    return trust, lines


def test_a_receipt_of_a_consent_proves_it_alone(trust, pins, tmp_path):
    at = kinds(trust).index("consent")
    receipt = logged(trust, at)
    assert read_logged(receipt.text()) == receipt
    assert fault(receipt, pins, tmp_path) is None
    told = judge(tmp_path / "one.tlog-proof", pins)
    assert "consents from" in " ".join(said.text() for said in told.sentences)
    assert told.fields["cosigners"] == 3 and len(told.not_checked) == 2


def test_every_altered_byte_of_a_receipt_is_found(trust, pins, tmp_path):
    for text in (logged(trust, kinds(trust).index("consent")).text(), served(trust).text()):
        whole = text.encode("utf-8")
        for at in range(0, len(whole), max(1, len(whole) // 300)):
            file = tmp_path / "altered"
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            told = judge(file, pins)
            assert told.fault or "do not know" in told.not_checked[0].text(), at  # a cosigner's name was altered


def test_a_checkpoint_of_too_few_witnesses_or_of_another_log_is_not_relied_on(trust, pins, tmp_path):
    whole = trust.note()
    few = Note(whole.checkpoint, whole.signatures[:2])
    assert fault(logged(trust, 5, few), pins, tmp_path) == "RECEIPT_QUORUM"
    foreign = Trust()
    foreign.whole_run()
    assert fault(logged(foreign, 5), pins, tmp_path) == "RECEIPT_SIGNATURE"
    unsigned = Note(whole.checkpoint, whole.signatures[1:])
    assert fault(logged(trust, 5, unsigned), pins, tmp_path) == "RECEIPT_SIGNATURE"


def test_a_wrong_path_and_another_history_are_found(trust, pins, tmp_path):
    right = logged(trust, 5)
    moved = Logged(Place(right.entry.data, 6, right.entry.size, right.entry.path), right.note)
    assert fault(moved, pins, tmp_path) == "RECEIPT_PROOF"
    other = pins.model_copy(update={"root": "sha256:" + "1" * 64})
    assert fault(right, other, tmp_path) == "EQUIVOCATION"


def test_a_round_receipt_proves_the_members_own_line(tmp_path):
    trust, lines = one_round()
    opened = trust.run.rounds[0]
    pins = Pins.model_validate(trust.pins())
    [entry] = places(trust.entries, [len(trust.entries) - 1])
    own = Logged(entry, trust.note(), places(lines, [1])[0])
    assert read_logged(own.text()) == own and fault(own, pins, tmp_path) is None
    foreign = [contributed(trust, firm, opened, round=2) for firm in trust.firms]
    assert fault(Logged(entry, trust.note(), places(foreign, [1])[0]), pins, tmp_path) == "RECEIPT_PROOF"
    elsewhere = Logged(places(trust.entries, [3])[0], trust.note(), places(lines, [1])[0])
    assert fault(elsewhere, pins, tmp_path) == "RECEIPT_LINE"


@pytest.mark.parametrize("mode", ["required", "none"])
def test_a_round_receipt_says_in_both_languages_what_its_round_cost(mode, tmp_path, run_command):
    trust, lines = one_round(members=4, secure_sum=mode)
    kinds_, at = kinds(trust), len(trust.entries) - 1
    beside = tuple(places(trust.entries, [kinds_.index(kind) for kind in ("agreement", "run-order", "round-open")]))
    own = Logged(places(trust.entries, [at])[0], trust.note(), places(lines, [1])[0], beside)
    pins = Pins.model_validate(trust.pins())
    assert read_logged(own.text()) == own and fault(own, pins, tmp_path) is None
    [told] = judge(tmp_path / "one.tlog-proof", pins).promises
    assert told.epsilon == curve(plan().rho_nano(), "1e-6") and told.of == "round"
    assert told.honest == (3 if mode == "required" else None)
    (tmp_path / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    words = ["verify-receipt", str(tmp_path / "one.tlog-proof"), "--pins", str(tmp_path / "pins.json"), "--lang"]
    english, chinese = (run_command("auditor", *words, lang).stdout for lang in ("en", "zh"))
    assert "What this round cost this member:" in english and "by this round alone (2026)" in english
    assert "本轮对该会员的代价" in chinese and "仅此一轮（2026 年）" in chinese
    assert ("a secure sum hides those" in english) == (mode == "required")


@pytest.mark.parametrize("mode", ["required", "none"])
def test_a_consent_receipt_says_in_both_languages_what_it_allows_at_most(mode, tmp_path, run_command):
    trust, _lines = one_round(secure_sum=mode)
    at, pins = kinds(trust).index("consent"), Pins.model_validate(trust.pins())
    assert fault(logged(trust, at, beside=[kinds(trust).index("agreement")]), pins, tmp_path) is None
    [told] = judge(tmp_path / "one.tlog-proof", pins).promises
    scope = parse(open_entry(trust.entries[at]).payload).scope
    assert told.epsilon == curve(scope.rho_year_max_nano, scope.delta) and len(told.sentences()) == 3 + (
        mode == "required"
    )
    (tmp_path / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    words = ["verify-receipt", str(tmp_path / "one.tlog-proof"), "--pins", str(tmp_path / "pins.json"), "--lang"]
    english, chinese = (run_command("auditor", *words, lang).stdout for lang in ("en", "zh"))
    assert f"epsilon at most {told.epsilon:.2f} at delta 1e-6, for adding or removing one row of receivables" in english
    assert "此授权至多允许" in chinese and f"ε 至多为 {told.epsilon:.2f}" in chinese


def test_a_receipt_without_its_agreement_and_order_says_where_the_cost_stands(tmp_path):
    trust, lines = one_round()
    pins, at = Pins.model_validate(trust.pins()), len(trust.entries) - 1
    bare = Logged(places(trust.entries, [at])[0], trust.note(), places(lines, [1])[0])
    for receipt in (bare, logged(trust, kinds(trust).index("consent")), replace(bare, beside=bare.beside[:1])):
        assert fault(receipt, pins, tmp_path) is None
        told = judge(tmp_path / "one.tlog-proof", pins)
        assert told.promises == () and "auditor budget" in " ".join(said.text() for said in told.not_checked)


def test_what_stands_beside_an_entry_must_be_in_the_log_too(trust, pins, tmp_path):
    at = kinds(trust).index("consent")
    right = logged(trust, at, beside=[kinds(trust).index("agreement")])
    [agreement] = right.beside
    moved = replace(right, beside=(replace(agreement, data=trust.entries[at]),))
    assert fault(right, pins, tmp_path) is None and fault(moved, pins, tmp_path) == "RECEIPT_PROOF"


def test_a_served_number_leads_to_its_consents_and_shows_nothing_else(trust, pins, tmp_path):
    receipt = served(trust)
    assert read_served(receipt.text()) == receipt and fault(receipt, pins, tmp_path) is None
    told = judge(tmp_path / "one.tlog-proof", pins)
    assert told.fields["shown"] == LINES[1] and LINES[0] not in receipt.text()
    assert told.fields["rounds"] == 3 and len(told.fields["consents"]) == 3
    assert told.fields["model"] == trust.run.release.model


def test_a_served_number_says_in_both_languages_what_its_run_cost(trust, pins, tmp_path, run_command):
    receipt, file = served(trust), tmp_path / "one.tlog-proof"
    assert fault(receipt, pins, tmp_path) is None
    [told] = judge(file, pins).promises
    assert told.epsilon == curve(3 * plan().rho_nano(), "1e-6") and told.unit == "row"
    (tmp_path / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    for lang, words in (("en", "If everybody else conspires: epsilon"), ("zh", "即使其他各方全部串通")):
        done = run_command(
            "auditor", "verify-receipt", str(file), "--pins", str(tmp_path / "pins.json"), "--lang", lang
        )
        assert done.returncode == 0 and words in done.stdout, done.stderr


def test_a_number_of_the_members_own_models_needs_no_ones_consent(trust, pins, tmp_path):
    alone = served(trust, statement(trust, order=None, model=None), leave_out=("consent", "release", "round"))
    assert fault(alone, pins, tmp_path) is None
    assert "own models alone" in " ".join(s.text() for s in judge(tmp_path / "one.tlog-proof", pins).sentences)
    assert judge(tmp_path / "one.tlog-proof", pins).promises == (), "nobody's budget was touched"


@pytest.mark.parametrize(
    ("cheat", "code"),
    [
        (lambda t: served(t, statement(t, model=NOTHING)), "RECEIPT_MODEL"),
        (lambda t: served(t, statement(t, agreement=NOTHING)), "RECEIPT_AGREEMENT"),
        (lambda t: served(t, statement(t, order=NOTHING)), "RECEIPT_RELEASE"),
        (lambda t: served(t, statement(t, [*LINES[::-1], "{}"])), "RECEIPT_COMMITMENT"),
        (lambda t: served(t, signer=t.firms[1].node), "RECEIPT_SIGNATURE"),
        (lambda t: served(t, leave_out=("key",)), "RECEIPT_SIGNATURE"),
        (lambda t: served(t, leave_out=("release",)), "RECEIPT_RELEASE"),
        (lambda t: served(t, statement(t, seen=seen(t, len(t.entries) - 1))), "RECEIPT_RELEASE"),
        (lambda t: served(t, leave_out=("round",)), "RECEIPT_MODEL"),
        (lambda t: served(t, leave_out=("consent",)), "RECEIPT_CONSENT"),
        (lambda t: served(t, leave_out=("agreement",)), "RECEIPT_AGREEMENT"),
    ],
)
def test_a_served_receipt_that_breaks_at_one_link_is_found(trust, pins, tmp_path, cheat, code):
    assert fault(cheat(trust), pins, tmp_path) == code


def test_a_log_that_left_out_what_a_receipt_proves_is_found(trust, tmp_path):
    acknowledged = logged(trust, len(trust.entries) - 1)
    shorter_pins = {**trust.pins(), "size": 3, "root": "sha256:" + trust.note(3).checkpoint.root.hex()}
    last = trust.entries.pop()
    trust.entries.append(trust.entries.pop() if not last else seal(payload(statement(trust)), [trust.office]))
    trust.write(tmp_path)
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "release.tlog-proof").write_text(acknowledged.text(), encoding="utf-8")
    found = verify(Folder(tmp_path), Pins.model_validate(shorter_pins)).findings()
    assert "RECEIPT_NOT_IN_LOG" in {f.code for f in found}
    assert "SELF_EQUIVOCATION" in {f.code for f in found}


def test_a_log_that_holds_what_a_receipt_proves_is_clean(trust, pins, tmp_path):
    trust.write(tmp_path)
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "consent.tlog-proof").write_text(logged(trust, 9).text(), encoding="utf-8")
    (tmp_path / "receipts" / "number.tlog-proof").write_text(served(trust).text(), encoding="utf-8")
    assert verify(Folder(tmp_path), pins).findings() == []


def beside_the_log(trust, receipt, folder):
    """Codes of an audit of the log with this receipt among the evidence."""
    pins = Pins.model_validate(trust.write(folder))
    (folder / "receipts").mkdir()
    (folder / "receipts" / "number.tlog-proof").write_text(receipt.text(), encoding="utf-8")
    return [finding.code for finding in verify(Folder(folder), pins).findings()]


def test_a_model_that_was_taken_back_stands_behind_no_later_number(trust, tmp_path):
    before = statement(trust)
    back = {"task": "risk", "gone": trust.run.run, "order": None, "reason": "harm"}
    assert trust.say(Rollback(**trust.stamp(), **back), trust.office) == ()
    assert beside_the_log(trust, served(trust, before, leave_out=("rollback",)), tmp_path / "before") == []
    later = served(trust, statement(trust), leave_out=("rollback",))
    assert beside_the_log(trust, later, tmp_path / "later") == ["RECEIPT_RELEASE"]


def test_a_number_signed_by_an_ended_key_or_on_another_log_is_found(trust, tmp_path):
    ended = KeyState(**trust.stamp(), key=keyid(trust.firms[0].node), state="retired")
    elsewhere = statement(trust, seen=Seen(size=len(trust.entries), root=NOTHING))
    assert trust.say(ended, trust.firms[0].node) == ()
    chain = {"leave_out": ("key-state",)}
    assert beside_the_log(trust, served(trust, elsewhere, **chain), tmp_path / "elsewhere") == ["EQUIVOCATION"]
    assert beside_the_log(trust, served(trust, statement(trust), **chain), tmp_path / "ended") == ["RECEIPT_SIGNATURE"]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"c2sp.org/tlog-proof@v1\n", b'{"format":"mengbang-served/1"}'])
def test_what_is_no_receipt_is_refused_in_words(data):
    with pytest.raises(Malformed) as error:
        read_receipt(data)
    assert error.value.code == "RECEIPT_FORM"


@pytest.mark.parametrize("size", ["3", None, True, [3], {}])
def test_a_place_that_is_no_number_is_not_a_receipt(size, tmp_path):
    trust, lines = one_round()
    path = tuple(Tree(map(leaf_hash, lines)).inclusion_proof(0, 3))
    for line in (Place(lines[0], 0, size, path), Place(lines[0], False, 3, path)):
        receipt = Logged(places(trust.entries, [len(trust.entries) - 1])[0], trust.note(), line)
        assert fault(receipt, Pins.model_validate(trust.pins()), tmp_path) == "RECEIPT_FORM"


def test_a_shown_line_that_is_no_text_is_not_a_receipt(trust, pins, tmp_path):
    leaf = SALT + b"\xff"
    said = statement(trust, output_commit="sha256:" + leaf_hash(leaf).hex())
    crafted = replace(served(trust, said), shown=ResultInclusion(Place(leaf, 0, 1, ())))
    assert fault(crafted, pins, tmp_path) == "RECEIPT_FORM"


def test_the_command_exits_as_documented(trust, pins, tmp_path, run_command):
    (tmp_path / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    (tmp_path / "good.tlog-proof").write_text(logged(trust, 9).text(), encoding="utf-8")
    good = run_command(
        "auditor",
        "verify-receipt",
        str(tmp_path / "good.tlog-proof"),
        "--pins",
        str(tmp_path / "pins.json"),
        "--lang",
        "en",
    )
    assert good.returncode == 0 and "entry 9 is in the log" in good.stdout, good.stderr
    (tmp_path / "bad.tlog-proof").write_text(logged(Trust(), 3).text(), encoding="utf-8")
    bad = run_command(
        "auditor", "verify-receipt", str(tmp_path / "bad.tlog-proof"), "--pins", str(tmp_path / "pins.json"), "--json"
    )
    assert bad.returncode == 1 and json.loads(bad.stdout)["clean"] is False
