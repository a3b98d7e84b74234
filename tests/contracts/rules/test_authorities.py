"""Certificate authorities on the log: golden logs, the second reader, when the replaced one
ends, what an auditor reads."""

import json

import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.errors import Malformed
from contracts.log.pins import Pins
from contracts.rules.fold import replay
from contracts.rules.kinds import KINDS
from contracts.rules.members import overlap_ends
from contracts.statements.closed_list import parse, payload
from contracts.statements.statements import Authority
from golden import AUTHORITIES, AUTHORITY, ca_of, certificate, followed, read_entries
from second_opinion import Opinion
from shell.language import translator

CODES = json.loads((AUTHORITY / "codes.json").read_text(encoding="ascii"))


def test_every_log_has_its_file_and_its_code():
    assert {name: code for name, (code, _) in AUTHORITIES.items()} == CODES
    assert {path.stem for path in AUTHORITY.glob("*.bundle")} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_the_rules_the_second_reader_and_an_auditor_find_the_same(name, tmp_path):
    office, entries = AUTHORITIES[name][1](), read_entries(f"authority/{name}")
    assert office.entries == entries
    expected = [CODES[name]] if CODES[name] else []
    assert [finding.code for finding in replay(entries)[1]] == expected
    opinion = Opinion()
    assert [code for entry in entries for code in opinion.read(entry)] == expected
    pins = Pins.model_validate(office.write(tmp_path))
    assert [finding.code for finding in verify(Folder(tmp_path), pins).findings()] == expected


def test_the_newest_is_in_force_and_the_replaced_one_ends_sixty_days_later():
    state = followed().state
    assert state.authority() == ca_of(2)
    assert [one.replaces for one in state.authorities] == [state.genesis.ca, ca_of(1)]
    assert overlap_ends("2026-01-01T00:00:00Z") == "2026-03-02T00:00:00Z"


def test_a_broken_one_changes_nothing():
    assert AUTHORITIES["an-authority-past-the-newest"][1]().state.authority() == ca_of(2)


def test_its_sentence_says_which_ends_and_when_in_both_languages():
    said = parse(payload(Authority(**followed().stamp(), certificate=certificate(1), replaces=ca_of(2))))
    sentence, values = KINDS[Authority].words(said)
    english, chinese = sentence.format(**values), translator("auditor", "zh")(sentence).format(**values)
    assert ca_of(1) in english and ca_of(2) in english and values["until"] in english
    assert chinese != english and values["until"] in chinese


@pytest.mark.parametrize("text", ["AB==", "A===", "AAAA\n", "no base64", "A" * 8196])
def test_a_certificate_has_one_spelling(text):
    said = Authority(**followed().stamp(), certificate=certificate(1), replaces=ca_of(2))
    with pytest.raises(Malformed):
        parse(payload(said).replace(certificate(1).encode(), json.dumps(text)[1:-1].encode()))
