"""The member's pages as a person meets them, in a real browser: `make browser` (needs Chromium,
`apt-get install chromium`).

Not collected by pytest: it starts a browser. Each check prints a line; exit 1 if one fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.cluster import Cluster, free_port  # noqa: E402
from demo.world import write  # noqa: E402

_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
_NARROW = "360,1600"


class Outline(HTMLParser):
    """Headings, images with their words, labels and fields of a page as the browser holds it."""

    def __init__(self, text: str):
        super().__init__()
        self.headings, self.unnamed, self.labels, self.fields, self.ids = [], 0, set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        named = dict(attrs)
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3") else []
        self.unnamed += tag == "svg" and not (named.get("role") == "img" and named.get("aria-label"))
        self.labels |= {named.get("for")} if tag == "label" else set()
        self.fields |= {named.get("id")} if tag in ("select", "input") and named.get("type") != "hidden" else set()
        self.ids += [named["id"]] if named.get("id") else []

    def faults(self) -> list[str]:
        """What a reader without sight, or without a mouse, would stumble over."""
        told = []
        told += ["no single first heading"] if self.headings.count(1) != 1 or self.headings[0] != 1 else []
        told += ["a chart without words"] if self.unnamed else []
        told += ["a field without a label"] if self.fields - self.labels else []
        told += ["an id twice"] if len(self.ids) != len(set(self.ids)) else []
        return told


def browse(address: str, folder: Path, *words: str) -> str:
    """The page as the browser holds it (`--dump-dom`), or nothing where a picture was asked for."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    command = [binary, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *words, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def look(url: str, token: str, folder: Path) -> list[str]:
    """Every fault of every page, in both languages and on a narrow screen. The token opens the first page; the cookie
    that it sets opens the others, in the same profile."""
    faults = []
    first = browse(f"{url}/?token={token}", folder, "--dump-dom")
    faults += ["the token does not open the pages"] if "/tasks/risk" not in first else []
    for task in ("risk", "demand"):
        for lang in ("zh", "en"):
            page = browse(f"{url}/tasks/{task}?token={token}", folder, "--dump-dom", f"--accept-lang={lang}")
            faults += [f"{task} {lang}: {fault}" for fault in Outline(page).faults()]
            faults += [f"{task} {lang}: no table"] if "<table" not in page else []
            print(f"{task:<7} {lang}  {len(page):>6} characters")
        shot = folder / f"{task}.png"
        browse(f"{url}/tasks/{task}?token={token}", folder, f"--window-size={_NARROW}", f"--screenshot={shot}")
        faults += (
            [f"{task}: no picture on a narrow screen"] if not shot.exists() or shot.stat().st_size < 10_000 else []
        )
    return faults


def main() -> int:
    """0 if nothing was found."""
    with tempfile.TemporaryDirectory() as place, Cluster(Path(place), "en") as cluster:
        [(name, data)] = write(Path(place) / "world", 1, "demo")
        cluster.found(epsilon_run="1")
        home = cluster.home(cluster.join(1, name, data))
        cluster.command("client_node", "score", home=home.name)  # before anything was released
        cluster.close()
        port = free_port()
        code = "from client_node.cli import main; main()"
        words = [sys.executable, "-c", code, "serve", "--port", str(port), "--home", str(home)]
        node = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
        try:
            token = _token(home, f"http://127.0.0.1:{port}")
            faults = look(f"http://127.0.0.1:{port}", token, Path(place))
        finally:
            node.terminate()
            node.wait(timeout=30)
    print(json.dumps({"faults": faults}, ensure_ascii=False))
    return 1 if faults else 0


def _token(home: Path, url: str) -> str:
    """The node's token, once the pages answer."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False, timeout=60)
            return (home / "serve.token").read_text(encoding="ascii")
        except (httpx.HTTPError, FileNotFoundError):
            time.sleep(0.2)
    raise SystemExit("client-node serve does not answer")


if __name__ == "__main__":
    sys.exit(main())
