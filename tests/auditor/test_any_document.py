"""Whatever a log, a mirror or a pack holds, an auditor gives a finding, says what it could not check, or
says why it cannot begin."""

import secrets

import pytest

from any_mirror import faults


@pytest.mark.parametrize("seed", [*range(1, 8), secrets.randbelow(10**9)], ids=[*"1234567", "random"])
def test_no_mirror_stops_an_audit_and_none_that_was_altered_is_clean(seed, tmp_path):
    print(f"seed {seed}")
    assert list(faults(seed, 250, tmp_path)) == []
