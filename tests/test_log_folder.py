"""A folder with a copy of a log never loses what it holds to another log, or to an older copy of the same."""

import pytest

from contracts.envelope import digest
from contracts.errors import Refused
from shell.log_folder import LogFolder, write_folder
from simulator import Trust


def files(folder):
    return {path: digest(path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_newer_copy_is_not_written_over_and_an_older_one_grows(tmp_path):
    trust = Trust(3)
    write_folder(tmp_path / "copy", trust.entries, [trust.note()], {})
    entries, note = list(trust.entries), trust.note()
    trust.admit()
    write_folder(tmp_path / "copy", trust.entries, [trust.note()], {})
    held = files(tmp_path / "copy")
    with pytest.raises(Refused) as refused:
        write_folder(tmp_path / "copy", entries, [note], {})
    assert refused.value.code == "COPY" and files(tmp_path / "copy") == held
    assert LogFolder(tmp_path / "copy").notes(trust.log)[0].checkpoint.size == len(trust.entries)


def test_the_copy_of_another_log_is_not_written_over(tmp_path):
    mine, other = Trust(3), Trust(2)
    write_folder(tmp_path / "copy", other.entries, [other.note()], {})
    held = files(tmp_path / "copy")
    with pytest.raises(Refused):
        write_folder(tmp_path / "copy", mine.entries, [mine.note()], {})
    assert files(tmp_path / "copy") == held
