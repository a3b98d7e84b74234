"""Machines and files as people have them: no home folder, an editor's mark at the beginning,
two services on one machine."""

import os
import subprocess
import sys

import httpx
import pytest

from client_node.home import create_home
from client_node.settings import claim, read_home
from client_node.web.server import cookie_of as node_cookie
from contracts.errors import Unavailable
from coordinator.settings import read_home as read_office
from coordinator.trust.founding import found
from coordinator.web.insiders import cookie_of as office_cookie
from shell.answers import fetch, make_client

MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("party", ["coordinator", "client_node", "auditor"])
def test_a_user_whom_the_machine_does_not_know_is_helped(party):
    """As in a container that runs under a number."""
    code = (
        "import pwd\ndef nobody(number): raise KeyError(number)\npwd.getpwuid = nobody\n"
        f"from {party}.cli import main; main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize(
    ("party", "module", "part", "words"),
    [
        ("coordinator", "sqlalchemy", "coordinator", ("init", "--name", "商会", "--domain", "hub.example")),
        ("client_node", "polars", "node", ("init", "--data", ".")),
    ],
)
def test_a_part_that_was_not_installed_is_named(party, module, part, words, tmp_path):
    code = f"import sys\nsys.modules['{module}'] = None\nfrom {party}.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--home", str(tmp_path / "home"), "--lang", "en"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 3, done.stderr
    assert f"needs {module}, which" in done.stderr and f"whl[{part}]'" in done.stderr
    assert not (tmp_path / "home").exists()


def test_files_of_a_home_may_begin_with_an_editors_mark(tmp_path):
    (tmp_path / "data").mkdir()
    create_home(tmp_path / "node", tmp_path / "data")
    found(tmp_path / "office", name="商会", domain="hub.example")
    for path in (tmp_path / "node" / "config.toml", tmp_path / "office" / "coordinator.json"):
        path.write_bytes(MARK + path.read_bytes())
    assert read_home(tmp_path / "node").data == tmp_path / "data"
    assert read_office(tmp_path / "office").name == "商会"


def test_two_processes_never_hold_one_home(tmp_path):
    create_home(tmp_path / "node", tmp_path)
    code = "import sys\nfrom pathlib import Path\nfrom client_node.settings import claim\nclaim(Path(sys.argv[1]))"
    line = [sys.executable, "-c", code, str(tmp_path / "node")]
    with claim(tmp_path / "node"):
        done = subprocess.run(line, capture_output=True, encoding="utf-8", timeout=60)
        assert done.returncode and "another client-node runs on" in done.stderr
    assert subprocess.run(line, timeout=60).returncode == 0


def test_an_empty_folder_is_no_home_to_run(tmp_path):
    with pytest.raises(Unavailable, match="holds no node"):
        claim(tmp_path)


def test_two_services_on_one_machine_keep_their_cookies_apart(tmp_path):
    for name in ("one", "two"):
        found(tmp_path / name, name="商会", domain="hub.example")
    assert office_cookie(read_office(tmp_path / "one")) != office_cookie(read_office(tmp_path / "two"))
    assert node_cookie("one") != node_cookie("two")


@pytest.mark.parametrize("proxy", ["socks4://x:1", "ftp://x", "http://[::1", "://"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_said_in_three_lines(monkeypatch, name, proxy):
    monkeypatch.setenv(name, proxy)
    with pytest.raises(Unavailable, match="proxy of this machine"):
        make_client()


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "socks5h://127.0.0.1:9", "http://127.0.0.1:9", "nonsense", "http://a b"]
)
def test_a_proxy_that_nobody_runs_is_a_failed_connection(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with make_client(timeout=5) as client, pytest.raises(httpx.TransportError):
        fetch(client, client.build_request("GET", "https://hub.example/"), 100)
