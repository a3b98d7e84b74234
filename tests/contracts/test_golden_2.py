"""The golden logs of edition 2 are what they were, and give what is written beside them, to both readers and the auditor."""

import json

import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.log.pins import Pins
from contracts.rules.fold import replay
from golden import read_entries
from golden_2 import BY_DOCUMENTS, FOLDER, LOGS
from second_opinion import Opinion

CODES = json.loads((FOLDER / "codes.json").read_text(encoding="ascii"))
MARKS = [name for name, code in CODES.items() if code not in BY_DOCUMENTS]


def test_every_log_has_its_file_and_its_code():
    assert {name: code for name, (code, _) in LOGS.items()} == CODES
    assert {path.stem for path in FOLDER.glob("*.bundle")} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_a_log_is_told_in_the_same_bytes_and_an_auditor_finds_its_fault(name, tmp_path):
    office = LOGS[name][1]()
    assert office.entries == read_entries(f"edition-2/{name}")
    pins = Pins.model_validate(office.write(tmp_path))
    (tmp_path / "documents").mkdir()
    for digest in office.documents:
        plain = digest.removeprefix("sha256:")
        (tmp_path / "documents" / plain).write_bytes((FOLDER / "documents" / plain).read_bytes())
    found = {finding.code for finding in verify(Folder(tmp_path), pins).findings()}
    assert found - {"UPDATE_MISSING", "AGGREGATE"} == {CODES[name]} - {None}


@pytest.mark.parametrize("name", CODES)
def test_a_replay_and_the_second_opinion_say_the_same(name):
    opinion, entries = Opinion(), read_entries(f"edition-2/{name}")
    found = [finding.code for finding in replay(entries)[1]]
    assert found == ([CODES[name]] if name in MARKS and CODES[name] else [])
    assert sorted(code for entry in entries for code in opinion.read(entry)) == found
