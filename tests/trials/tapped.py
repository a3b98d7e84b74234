"""A chamber whose coordinator is tapped: every message that reaches it is in a file before the coordinator sees it.

The coordinator is the real one in a process of its own, behind its own TLS; the tap may lose a part of the replies.
"""

import base64
import json
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from warm import WarmCluster


class Tap:
    """Writes down each PUT and POST; loses some PUTs as a bad network would: written down, answered 503."""

    def __init__(self, app, file, lose):
        self.app, self.file, self.lose, self.draw = app, file, lose, random.Random()

    async def __call__(self, scope, receive, send):
        """See ASGI."""
        if scope["type"] != "http" or scope["method"] not in ("PUT", "POST"):
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        signed = dict(scope["headers"]).get(b"signature-input", b"").decode()
        key = signed.partition('keyid="')[2].partition('"')[0]
        line = [key, scope["method"], scope["path"], base64.b64encode(body).decode()]
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if scope["method"] == "PUT" and self.draw.random() < self.lose:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            return await send({"type": "http.response.body", "body": b"lost"})
        first = [{"type": "http.request", "body": body, "more_body": False}]

        async def again():
            return first.pop() if first else await receive()

        await self.app(scope, again, send)


def serve(home, port, heard, lose):
    """What the tapped process does: `coordinator serve` with the tap before its application."""
    from coordinator.settings import read_home
    from coordinator.web import server

    make = server.make_app
    with Path(heard).open("a", encoding="ascii") as file:
        server.make_app = lambda office, **how: Tap(make(office, **how), file, float(lose))
        server.serve(read_home(Path(home)), "127.0.0.1", int(port))


@dataclass(frozen=True)
class Heard:
    """One message as it reached the coordinator; `key` is the KeyId that signed it."""

    key: str
    method: str
    path: str
    body: bytes

    @cached_property
    def parts(self):
        """(line, payload) of a reply."""
        told = json.loads(self.body)
        return base64.b64decode(told["line"]), base64.b64decode(told["payload"])

    def task(self):
        """Name of the task message that this replies to, or None."""
        _, kind, name, *_ = [*self.path.split("/")[1:], "", ""]
        return name if kind in ("contributions", "replies") else None


@dataclass
class TappedCluster(WarmCluster):
    """See Cluster."""

    lose: float = 0.0

    def found(self, *, secure_sum="required", **options):
        """See Cluster; with another `secure_sum` a second version of the agreement says so before anyone joins."""
        super().found(**options)
        if secure_sum != "required":
            draft = self.folder / "agreement.json"
            terms = json.loads(draft.read_text(encoding="utf-8"))
            terms["secure_sum"] = secure_sum
            draft.write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
            self.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")

    def serve(self):
        """See Cluster."""
        words = (str(self.home("chamber")), str(self.port), str(self.heard_file()), str(self.lose))
        self.start_work("coordinator", serve, words)
        self.wait_for_port()

    def heard_file(self):
        """Where the tap writes; a second process over the same folder has another port and so another file."""
        return self.folder / f"heard-{self.port}.jsonl"

    def heard(self, skip=0):
        """What the coordinator has received so far, in order, without the first `skip` messages."""
        with self.heard_file().open(encoding="ascii") as file:
            lines = [line for line in file if line.endswith("\n")][skip:]
        return [Heard(key, method, path, base64.b64decode(body)) for key, method, path, body in map(json.loads, lines)]
