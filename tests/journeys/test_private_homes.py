"""What each party writes is its owner's alone, whatever the shell says of new files, and a home that
was opened is closed again."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import Unavailable
from shell.unix import keep_private
from warm import environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes are not checked on Windows")
CODE = "91440200MA4AAAA01G"


def run(package, *words, ok=(0,)):
    """A command in a shell that lets everybody read what it makes."""
    done = subprocess.run(
        [sys.executable, "-c", f"from {package}.cli import main; main()", *map(str, words), "--lang", "en"],
        env=environment(),
        umask=0,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode in ok, done.stdout + done.stderr
    return done


def readable_by_others(*places):
    """Everything at or below these places that others may read, write or enter."""
    found = [path for place in places for path in (place, *place.rglob("*"))]
    return [path.name for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    (folder / "data").mkdir()
    run("coordinator", "init", "--name", "X", "--domain", "localhost", "--home", folder / "chamber")
    run("coordinator", "invite", "Y", "--code", CODE, "--out", folder / "y.invite", "--home", folder / "chamber")
    run("client_node", "init", "--data", folder / "data", "--home", folder / "node")
    run("auditor", "init", folder / "auditor")
    return folder


def test_homes_and_files_of_all_parties_are_their_owners(places):
    assert readable_by_others(places / "chamber", places / "node", places / "auditor", places / "y.invite") == []


@pytest.mark.parametrize(
    ("home", "package", "words"), [("chamber", "coordinator", ["status"]), ("node", "client_node", ["status"])]
)
def test_a_home_that_others_can_read_is_closed_at_the_next_start(places, home, package, words):
    files = [places / home, *(p for p in (places / home).rglob("*") if "keys" not in p.parts and p.suffix != ".key")]
    for path in files:
        path.chmod(0o755 if path.is_dir() else 0o644)
    run(package, *words, "--home", places / home, ok=(0, 1, 2))
    assert readable_by_others(places / home) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to somebody else")
def test_a_home_of_somebody_else_that_others_can_read_is_refused(places, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from shell.unix import keep_private\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "keep_private(Path(sys.argv[1]))"
    )
    home = tmp_path / "open"
    home.mkdir()
    home.chmod(0o755)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", code, str(home)], env=environment(), capture_output=True, text=True)
    assert "can be read by others" in done.stderr


def test_a_read_only_disk_is_named_as_the_reason(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
    with pytest.raises(Unavailable) as refused:
        keep_private(tmp_path)
    assert "read-only" in refused.value.why and "writable" in refused.value.do


def test_an_auditors_key_that_others_can_read_is_refused(places):
    from auditor.evidence.identity import read_key

    (places / "auditor" / "identity.key").chmod(0o640)
    with pytest.raises(Unavailable, match="can be read by others"):
        read_key(places / "auditor" / "identity.key")


def test_a_log_that_is_exported_for_a_web_server_can_be_read_by_it(places):
    run("coordinator", "export", places / "public", "--home", places / "chamber")
    files = list((places / "public").rglob("*"))
    assert files and all(path.stat().st_mode & 0o044 == 0o044 for path in files)
    assert all(path.stat().st_mode & 0o011 for path in (places / "public", *files) if path.is_dir())
    assert not any(path.stat().st_mode & 0o022 for path in files)


def test_the_demo_writes_for_its_owner_alone():
    text = (Path(__file__).resolve().parents[2] / "demo" / "__main__.py").read_text(encoding="utf-8")
    assert "os.umask(0o077)" in text
