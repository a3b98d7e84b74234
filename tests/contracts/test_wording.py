"""What a text may hold that people sign, and how any other is shown: nobody's words hide, move or pass for ours."""

import unicodedata

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.errors import Malformed, Refused
from contracts.fields import check_text
from contracts.statements.statements import AuditReport
from contracts.terms.check import faults
from contracts.terms.reading import page, readable
from contracts.wording import _IDEOGRAPHS, Lines, filled, is_plain, visible, visible_lines
from simulator import NOTHING, Trust

CLAUSE = "示例商会\n\n11. 会员放弃一切权利"
HIDDEN = {
    "new line": CLAUSE,
    "carriage return": "a\rb",
    "escape": "a\x1b[31mb",
    "C1 control": "a\x9b2Jb",
    "NUL": "a\0b",
    "tab": "a\tb",
    "right-to-left override": "a\u202eb",
    "isolate": "a\u2066b",
    "mark": "a\u200fb",
    "Arabic letter mark": "a\u061cb",
    "zero-width space": "a\u200bb",
    "joiner": "a\u200db",
    "word joiner": "a\u2060b",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "private use": "a\ue000b",
    "unassigned": "a\u0378b",
    "noncharacter": "a\ufdd0b",
    "tag": "a\U000e0041b",
    "Hangul filler": "a\u3164b",
    "blank braille": "a\u2800b",
    "variation selector": "a\ufe0fb",
    "surrogate": "a\ud800b",
}
OTHERS = {
    "not NFC": "e\u0301",
    "no-break space": "a\u00a0b",
    "two spaces": "a  b",
    "space before": " a",
    "wide spaces": "a\u3000\u3000b",
    "empty": "",
}
PLAIN = [
    "示例商会",
    "北京 银行",
    "Müller & Söhne GmbH",
    "中华人民共和国法律",
    "甲（北京）·乙—丙“丁”",
    "𬭩𰻝化工",
    "risk",
    "a\u3000b",
]


@pytest.mark.parametrize("name", [*HIDDEN, *OTHERS])
def test_a_text_that_hides_something_is_refused_in_three_lines_and_shown_as_what_it_is(name):
    text = (HIDDEN | OTHERS)[name]
    assert not is_plain(text)
    with pytest.raises(Refused) as refused:
        check_text(text)
    lines = refused.value.lines()
    assert len("\n".join(lines).splitlines()) == 3 and visible("".join(lines)) == "".join(lines)
    if name in HIDDEN:
        assert "[U+" in visible(text) and visible(text).isprintable() and visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_companies_are_called_is_taken_and_shown_as_it_is(text):
    assert is_plain(text) and check_text(text) == text == visible(text)


def test_ideographs_of_later_editions_are_ideographs_whatever_this_python_knows():
    for low, high in _IDEOGRAPHS:
        assert {unicodedata.category(chr(code)) for code in range(low, high + 1)} <= {"Lo", "Cn"}
        assert is_plain(chr(low)) and is_plain(chr(high))


@pytest.mark.parametrize("name", [*HIDDEN, *OTHERS])
def test_terms_of_edition_2_hold_no_such_text_and_those_of_edition_1_stay_as_they_were_judged(name):
    text = (HIDDEN | OTHERS)[name]
    if name in ("surrogate", "empty"):
        return  # neither can stand in signed bytes at all
    trust = Trust()
    for field in ("law", "dispute"):
        found = [
            what for what, values in faults(trust.make_terms(edition=2, **{field: text})) if values.get("text") == text
        ]
        assert len(found) == 1
        assert not list(faults(trust.make_terms(edition=1, **{field: text})))


def test_a_clause_in_a_name_is_not_read_as_a_clause():
    trust = Trust()
    chamber = trust.terms.chamber.model_copy(update={"name": CLAUSE})
    terms = trust.make_terms(chamber=chamber)
    for lang in ("zh", "en"):
        shown = readable(terms, lang)
        assert "\n11. 会员" not in shown and "示例商会[U+000A][U+000A]11." in shown
        assert "[U+000A][U+000A]11." in page(terms, lang, str, origin="o", fingerprint="f")
        assert readable(trust.terms, lang) == readable(trust.make_terms(id=trust.terms.id), lang)


@pytest.mark.parametrize(("edition", "codes"), [(2, ["AUDIT_REPORT"]), (1, [])])
def test_an_auditors_codes_are_plain_where_the_agreement_is_of_edition_2(edition, codes):
    trust, auditor = Trust(edition=edition), Ed25519PrivateKey.generate()
    trust.say(trust.key(None, "auditor", auditor), trust.office, auditor)
    said = {"size": 0, "root": NOTHING, "verdict": "findings", "codes": ("SCOPE\u202e",), "report": NOTHING}
    assert [finding.code for finding in trust.say(AuditReport(**trust.stamp(), **said), auditor)] == codes


def test_no_value_adds_a_line_or_a_code_to_a_sentence():
    error = Malformed("{name} is wrong", why="see {name}", name=CLAUSE + "\x1b[2J", number=1.5)
    assert all("\n" not in line and "\x1b" not in line for line in (*error.lines(), str(error)))
    assert filled("{a:.2f} {b} {c}", {"a": 1.234, "b": None, "c": Lines("x\ny\u202e")}) == "1.23 None x\ny[U+202E]"
    assert visible_lines("a\nb\r") == "a\nb[U+000D]"
