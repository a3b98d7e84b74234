"""An honest chamber at random moments of its life. The long one is `python tests/trials/honest_moments.py`."""

import pytest

from honest_moments import live


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_honest_chamber_is_never_found_guilty(tmp_path):
    assert live(tmp_path / "life", 40) == {}
