"""A node's home is made whole or not at all, wherever the machine fails or the process is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client_node.home import create_home
from client_node.settings import read_home
from contracts.errors import Unavailable

ROOT = Path(__file__).resolve().parent.parent.parent
BREAKS = """
import os, sys
from pathlib import Path
from client_node.home import create_home

folder, is_there, how = Path(sys.argv[1]), sys.argv[2] == "there", sys.argv[3]
(folder / "data").mkdir()
breaks_at, seen = None, 0

def hook(event, words):
    global seen
    if breaks_at is None or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "sqlite3.connect"):
        return
    if not any(str(folder) in str(word) for word in words):
        return
    seen += 1
    if seen == breaks_at:
        if how == "killed":
            os._exit(9)
        raise OSError(28, "no space left on device")

sys.addaudithook(hook)
for step in range(1, 1000):
    place = folder / str(step)
    place.mkdir()
    if is_there:
        (place / "home").mkdir()
    if not (child := os.fork()):
        breaks_at = step
        try:
            create_home(place / "home", folder / "data")
        except Exception:
            os._exit(9)
        os._exit(0 if seen < step else 9)
    if os.waitpid(child, 0)[1] == 0:  # it was made, and nothing broke
        break
print(step)
"""


def places(tmp_path, *words):
    """Homes whose making broke at the first file that it touched, the second, and so on;
    the last one was not broken."""
    done = subprocess.run(
        [sys.executable, "-c", BREAKS, str(tmp_path), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    return [tmp_path / str(step) / "home" for step in range(1, int(done.stdout) + 1)]


def is_whole(home):
    try:
        read_home(home)
    except Unavailable as error:
        assert "holds no node" in str(error)
        return False
    return (home / "witness.db").is_file()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["killed", "failed"])
def test_a_home_is_whole_or_not_there_wherever_its_making_breaks(tmp_path, how):
    homes = places(tmp_path, "absent", how)
    for home in homes:
        assert is_whole(home) if home.exists() else create_home(home, tmp_path / "data")
    assert is_whole(homes[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_is_empty_again_wherever_filling_it_fails(tmp_path):
    homes = places(tmp_path, "there", "failed")
    for home in homes:
        assert is_whole(home) or (not list(home.iterdir()) and create_home(home, tmp_path / "data"))
    assert is_whole(homes[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_is_no_home_wherever_its_filling_is_killed(tmp_path):
    homes = places(tmp_path, "there", "killed")
    again = 0
    for home in homes:
        if is_whole(home):
            continue
        if not (home / "keys").exists():
            create_home(home, tmp_path / "data")
            again += 1
        else:
            with pytest.raises(Unavailable, match="is not empty"):
                create_home(home, tmp_path / "data")
    assert is_whole(homes[-1]) and again > len(homes) / 2


@pytest.mark.parametrize("there", ["a file", "files of others", "a node"])
def test_what_lies_in_the_place_of_a_home_stays(tmp_path, there):
    home = tmp_path / "home"
    if there == "a file":
        home.write_text("x")
    elif there == "files of others":
        home.mkdir(), (home / "mine.txt").write_text("x")
    else:
        create_home(home, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(Unavailable):
        create_home(home, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
