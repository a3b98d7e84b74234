"""Each fault gives its own code and nothing else; two faults give both; the clean log gives none."""

import json
import re
from pathlib import Path

import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.log.pins import Pins
from contracts.rules.fold import replay
from editor import Editor
from faults import FAULTS, found
from golden import BY_DOCUMENTS, EDITION_2, GOLDEN, TOLD, read_entries
from second_opinion import Opinion

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
    """Beside those of receipts (I22, in tests/auditor/test_receipts.py) and of a second signature (I30),
    which nobody can demand yet."""
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


# Edition 2: see golden.TOLD.

CODES_2 = json.loads((EDITION_2 / "codes.json").read_text(encoding="ascii"))
IN_ENTRIES = [name for name, code in CODES_2.items() if code not in BY_DOCUMENTS]


def test_every_log_has_its_file_and_its_code():
    assert {name: code for name, (code, _) in TOLD.items()} == CODES_2
    assert {path.stem for path in EDITION_2.glob("*.bundle")} == set(CODES_2)


@pytest.mark.parametrize("name", CODES_2)
def test_a_log_is_told_in_the_same_bytes_and_an_auditor_finds_its_fault(name, tmp_path):
    office = TOLD[name][1]()
    assert office.entries == read_entries(f"edition-2/{name}")
    pins = Pins.model_validate(office.write(tmp_path))
    (tmp_path / "documents").mkdir()
    for called in office.documents:
        plain = called.removeprefix("sha256:")
        (tmp_path / "documents" / plain).write_bytes((EDITION_2 / "documents" / plain).read_bytes())
    found = {finding.code for finding in verify(Folder(tmp_path), pins).findings()}
    assert found - {"UPDATE_MISSING", "AGGREGATE"} == {CODES_2[name]} - {None}


@pytest.mark.parametrize("name", CODES_2)
def test_a_replay_and_the_second_opinion_say_the_same(name):
    opinion, entries = Opinion(), read_entries(f"edition-2/{name}")
    found = [finding.code for finding in replay(entries)[1]]
    assert found == ([CODES_2[name]] if name in IN_ENTRIES and CODES_2[name] else [])
    assert sorted(code for entry in entries for code in opinion.read(entry)) == found
