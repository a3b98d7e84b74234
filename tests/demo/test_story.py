"""What the demo says of sharing is the node's own word, and a public start is not sharing."""

import pytest

from demo.story import TEXT, word_of


@pytest.mark.parametrize(
    ("verdict", "run", "word"),
    [
        ("better", "sha256:1", "better"),
        ("better", None, "start"),
        ("tie", "sha256:1", "tie"),
        ("tie", None, "tie"),
        ("worse", "sha256:1", "worse"),
        (None, None, "few"),
    ],
)
def test_the_summary_says_what_the_node_says(verdict, run, word):
    assert word_of({"verdict": verdict, "run": run}) == word
    assert all(word in text for text in TEXT.values())
