"""Debian's Chromium, asked over its own pipe: what a page measures in a window of a given width.
Skips where there is none."""

import json
import os
import shutil
import subprocess

import pytest

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Chromium:
    """One browser with one page; `ask` evaluates an expression in it, whatever the page's policy says of scripts."""

    def __init__(self, folder, width=360):
        binary = next(filter(None, map(shutil.which, NAMES)), None) or pytest.skip(
            "no Chromium: apt-get install chromium"
        )
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        command = [binary, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            command,
            preexec_fn=lambda: (os.dup2(theirs_in, 3), os.dup2(theirs_out, 4)),  # where it looks for its pipe
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in), os.close(theirs_out)
        self._number, self._rest, self._session = 0, b"", None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.enable")

    def _call(self, method, **params):
        self._number += 1
        about = {"sessionId": self._session} if self._session else {}
        os.write(
            self._out, json.dumps({"id": self._number, "method": method, "params": params, **about}).encode() + b"\0"
        )
        while (told := self._next()).get("id") != self._number:
            pass
        assert "error" not in told, told
        return told["result"]

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._in, 65536)
            assert part, "Chromium has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def open(self, address):
        """Go to an address and wait until it stands."""
        self._call("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def ask(self, expression):
        """The value of an expression in the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self):
        """End it."""
        self._process.terminate()
        self._process.wait(30)
        os.close(self._out), os.close(self._in)


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# numbers, with their separators, that begin on one line and end on another
BROKEN = r"""(() => { const found = [], range = document.createRange()
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
while (walker.nextNode()) for (const match of walker.currentNode.data.matchAll(/(?<![\w:])\d[\d,.]*\d(?!\w)/g)) {
  range.setStart(walker.currentNode, match.index); range.setEnd(walker.currentNode, match.index + match[0].length)
  if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(match[0]) }
return found })()"""
