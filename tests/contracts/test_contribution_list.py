"""A round's list is read in one way: contributions, or Malformed, whoever reads it and whatever it is."""

import pytest

from contracts.envelope import canonical, from_base64, strict_json, to_base64
from contracts.errors import Malformed
from contracts.log.contribution_list import LINE_MAX_BYTES, read_list
from golden import read_entries
from hostile_values import DOCUMENTS


@pytest.mark.parametrize("data", DOCUMENTS, ids=[f"{n}" for n in range(len(DOCUMENTS))])
def test_whatever_stands_in_its_place_is_malformed_or_an_empty_list(data):
    try:
        assert list(read_list(data, 10).lines()) == [] and data == b"[]"
    except Malformed as error:
        assert len(error.lines()) == 3


def test_statements_of_another_kind_are_no_lines():
    held = read_list(canonical([to_base64(entry) for entry in read_entries()[:2]]), 2)
    assert len(held.entries) == 2
    with pytest.raises(Malformed, match="another kind"):
        list(held.lines())


def test_one_that_is_longer_than_its_members_can_have_made_it_is_not_parsed():
    with pytest.raises(Malformed, match="too long for 3 members"):
        read_list(b"[" * (3 * LINE_MAX_BYTES + 3), 3)


@pytest.mark.parametrize("value", [None, 7, [], {}, True, "é", "A", "AAAA="])
def test_only_text_in_its_one_spelling_is_base64(value):
    with pytest.raises(Malformed):
        from_base64(value)


@pytest.mark.parametrize(
    "text", ['{"\\ud800":1}', '["\\udfff"]', "1e400", "NaN", "-0", "-0.0", "9" * 5000, str(2**53), '{"a":1,"a":1}']
)
def test_json_that_has_no_one_spelling_is_malformed(text):
    with pytest.raises(Malformed):
        strict_json(text.encode())
