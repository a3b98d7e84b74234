"""Real processes whose clocks are wrong by a month. All steps: `python tests/trials/clocks.py`."""

import pytest

from clocks import LIBRARY, wage


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(LIBRARY is None, reason="needs Debian's faketime")
def test_whoever_is_out_of_time_is_out_of_the_sum_and_nobody_is_blamed():
    assert wage(("+31d",)) == []
