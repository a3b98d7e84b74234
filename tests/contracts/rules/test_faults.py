"""Each fault gives its own code and nothing else; two faults give both; the clean log gives none."""

import json
import re
from pathlib import Path

import pytest

from contracts.rules.fold import replay
from editor import Editor
from faults import FAULTS, found
from golden import GOLDEN, read_entries

ROOT = Path(__file__).resolve().parents[3]
CODES = json.loads((GOLDEN / "codes.json").read_text(encoding="ascii"))
# Faults that change the same statement, or take statements away, cannot stand beside one another.
ALONE = {"RELEASE_EXPIRED", "NO_CONSENT", "MIN_PARTICIPANTS", "TRAINED_AFTER_WITHDRAWAL"}
ALONE |= {"NOT_RENEWED", "ASKED_TOO_OFTEN"}
ONE_STATEMENT = {"BAD_SIGNATURE", "UNKNOWN_KEY", "DUPLICATE_ENTRY", "NOT_CANONICAL", "TYPE_CONFUSION", "PROFILE"}
ONE_STATEMENT |= {"TIME_OUT_OF_WINDOW", "FOLLOW_UP"}
ONE_CHAIN = {"CONSENT_EXPIRED", "BUDGET_RESET"}
FREE = [f for f in FAULTS if f.code not in ALONE and f.by_rules and not f.documents]
PAIRS = [(a, b) for a, b in zip(FREE, [*FREE[23:], *FREE[:23]], strict=True)]
PAIRS = [(a, b) for a, b in PAIRS if a.code != b.code]
PAIRS = [p for p in PAIRS if not any({one.code for one in p} <= same for same in (ONE_STATEMENT, ONE_CHAIN))]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.number}-{f.words}")
def test_a_fault_gives_its_code_and_no_other(fault, tmp_path):
    assert found([fault], tmp_path) == {fault.code}


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.in_log()], ids=lambda f: f"{f.number}-{f.words}")
def test_rule_code_and_test_carry_one_number(fault):
    editor = Editor()
    fault.edit(editor)
    _, findings = replay(editor.build())
    if not fault.documents:  # else the entries hold no fault, only the documents that they name
        assert {f.rule for f in findings} == set(fault.rule.split())
    said = [
        path.read_text(encoding="utf-8")
        for place in ("contracts/rules", "auditor")
        for path in (ROOT / place).rglob("*.py")
    ]
    for rule in fault.rule.split():
        assert any(re.search(rf'"""[^"]*\b{rule}\b', text) for text in said), f"no docstring says that it is {rule}"


def test_every_invariant_has_a_fault():
    """Beside those of receipts (I22, in tests/auditor/test_receipts.py) and of a second signature (I30), which nobody can demand yet."""
    broken = {int(rule[1:]) for fault in FAULTS for rule in fault.rule.split()}
    assert set(range(1, 32)) - broken == {22, 30}


def test_the_clean_log_gives_none(tmp_path):
    assert found([], tmp_path) == set()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0].code}+{p[1].code}")
def test_two_faults_give_both_codes(pair, tmp_path):
    assert found(list(pair), tmp_path) == {fault.code for fault in pair}


@pytest.mark.parametrize("name", CODES)
def test_the_golden_logs_on_disk_give_what_is_written_beside_them(name):
    _, findings = replay(read_entries(name))
    in_documents = {"UPDATE_REPLAY", "UPDATE_SIGNATURE", "UPDATE_MISSING"} | (
        {"AGGREGATE"} if "forged" in name else set()
    )
    expected = {CODES[name]} - {None} - in_documents
    assert {f.code for f in findings} == expected


def test_the_golden_logs_are_what_the_editor_makes_of_the_clean_one():
    assert Editor().build() == read_entries(), "signing the clean log again changes no byte"
    assert {name for name in CODES if name != "clean"} == {f.name for f in FAULTS if f.in_log()}
    for fault in (f for f in FAULTS if f.in_log()):
        editor = Editor()
        fault.edit(editor)
        assert editor.build() == read_entries(fault.name), fault.name


def test_every_golden_log_that_is_broken_in_the_rules_reads_as_a_sentence_in_chinese_too():
    from shell.language import translator

    chinese = translator("auditor", "zh")
    for name in CODES:
        for finding in replay(read_entries(name))[1]:
            assert finding.text() and finding.text(chinese) != finding.text()
