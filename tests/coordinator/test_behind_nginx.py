"""The configuration of docs/how-to/behind-a-proxy.md, run: members' signatures hold through it, and its limits
are those that it states."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from chamber import Chamber
from demo.cluster import free_port
from signed import signed
from strangers import Crowd, is_up
from warm import environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "behind-a-proxy.md"
pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def documented(chamber, inside, outside):
    """The page's configuration with this chamber's folder and ports."""
    [text] = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for word, here in {
        "/srv/chamber": str(chamber.home),
        "hub.example": "localhost",
        "listen 443": f"listen 127.0.0.1:{outside}",
        "127.0.0.1:8443": f"127.0.0.1:{inside}",
    }.items():
        assert word in text
        text = text.replace(word, here)
    return text


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    folder, outside = tmp_path_factory.mktemp("nginx"), free_port()
    chamber = Chamber(folder, 4, "none")
    words = ("serve", "--port", str(chamber.port), "--home", str(chamber.home), "--proxy", "127.0.0.1")
    code = "from coordinator.cli import main; main()"
    serving = subprocess.Popen([sys.executable, "-c", code, *words], env=environment())
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{documented(chamber, chamber.port, outside)} }}",
        encoding="utf-8",
    )
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    end = time.monotonic() + 60
    while not (is_up(chamber.port) and is_up(outside)) and time.monotonic() < end:
        time.sleep(0.05)
    chamber.outside = outside
    yield chamber
    for process in (nginx, serving):
        process.terminate()
        process.wait(timeout=30)
    chamber.database.close()


def test_a_signed_request_holds_through_it(proxied):
    url = f"https://127.0.0.1:{proxied.outside}"
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        began = time.monotonic()
        assert client.send(signed(url, proxied.trust.firms[0], "/v1/head?after=0")).json()["checkpoint"]
        size = proxied.log.published_size()
        assert client.send(signed(url, proxied.trust.firms[0], f"/v1/head?after={size}&wait=3")).json() == {
            "checkpoint": None
        }
        assert time.monotonic() - began > 3, "a poll waits"
        assert client.get(f"{url}/checkpoint").status_code == 200


def test_strangers_stop_at_it(proxied):
    assert Crowd("silent", proxied.outside, 20, 15).seen()["open"] == 0
    seen = Crowd("body", proxied.outside, 1, 6).seen()
    assert seen["sent_mb"] < 20, seen
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        body = b" " * (129 * 1024)
        assert client.post(f"https://127.0.0.1:{proxied.outside}/v1/join", content=body).status_code == 413
