"""How every party's commands end: three lines and a code, whatever happens."""

import pytest

from shell.terminal import COULD_NOT, Terminal


@pytest.mark.parametrize(
    "error", [TypeError("no such thing"), RecursionError(), MemoryError(), AssertionError("never")]
)
def test_what_nobody_foresaw_is_three_lines_and_no_verdict(capsys, error):
    def app(**_words):
        raise error

    with pytest.raises(SystemExit) as ended:
        Terminal("auditor").run(app)
    told = capsys.readouterr()
    assert ended.value.code == COULD_NOT and told.out == ""
    assert len(told.err.splitlines()) == 3 and type(error).__name__ in told.err and "test_terminal.py" in told.err
