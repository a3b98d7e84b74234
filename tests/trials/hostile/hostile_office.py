"""The office in the wrong hands: a coordinator over TLS that signs and logs what it likes and
keeps every byte it gets."""

import asyncio
import dataclasses
import json
import secrets
import threading
import time
from datetime import UTC, datetime

import uvicorn

from contracts.envelope import digest, from_base64, open_entry, seal, to_base64
from contracts.fields import new_id, time_text
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY
from contracts.rules.times import shifted
from contracts.statements.artefact import model
from contracts.statements.closed_list import parse, payload
from contracts.statements.statements import GateTerms, MemberStatement, Refusal, Round, RoundOpen, RunOrder
from coordinator.settings import read_home
from coordinator.store import documents
from coordinator.store.database import Database, migrate
from coordinator.store.log import Log
from coordinator.web.server import Office, make_app
from engine.bundle import bundle_digest
from engine.rounds import TRAIN, RoundRequest, invitation, pack
from engine.task import load, plan_for

RELEASES, COST_NANO, WINDOW_S = 30, 3_000_000, 3600
DATA = ("/v1/contributions/", "/v1/replies/")
TASK = load("risk")


def anything(state, entry, index):
    """The rules of a log that refuses nothing."""
    return apply(state, entry, index)[0], ()


class Wire:
    """Everything that the nodes send, in order, in front of the coordinator's own application."""

    def __init__(self, app):
        self.app, self.questions, self.asking = app, {}, set()  # asking: keys of nodes that have asked for work
        self.done = set()  # names of questions that a node is through with, answered or not
        self.bodies = []  # (path, body) of everything
        self.got = []  # (key, name of the question, body) of contributions and steps of a sum

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        path = scope["path"]
        self.bodies.append((path, body))
        if path.startswith(DATA):
            self.got.append((self._who(scope), path.rpartition("/")[2], body))
            await self._answer(send, b'{"state":"kept"}')
        elif path == "/v1/task":
            await self._answer(send, await self._question(self._who(scope), json.loads(body)))
        else:
            given = [{"type": "http.request", "body": body, "more_body": False}]

            async def again():
                return given.pop() if given else await receive()

            await self.app(scope, again, send)

    def _who(self, scope):
        headers = dict(scope["headers"])
        return headers[b"signature-input"].decode().partition('keyid="')[2].partition('"')[0]

    async def _question(self, who, asked):
        self.asking.add(who)
        self.done.update(asked["done"])
        for _ in range(500):
            question = self.questions.get(who)
            if question and question["id"] not in asked["done"]:
                return json.dumps(question).encode()
            await asyncio.sleep(0.02)
        return b""

    async def _answer(self, send, body):
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if body else 204, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def data(self, since):
        """Bytes of contributions and steps of a sum from `since` on; the same bytes again tell nothing new."""
        known = {body for path, body in self.bodies[:since] if path.startswith(DATA)}
        return sum(len(b) for path, b in self.bodies[since:] if path.startswith(DATA) and b not in known)


class Coordinator:
    """Signs with the office's keys and logs what it likes; asks members what it likes."""

    def __init__(self, cluster):
        self.cluster, self.settings = cluster, read_home(cluster.home("chamber"))
        migrate(self.settings.database_url)
        database = Database(self.settings.database_url)
        self.log = Log(database, self.settings, rules=anything)
        self.office = Office(database, self.log, self.settings)
        self.wire = Wire(make_app(self.office))
        tls = cluster.home("chamber") / "tls"
        files = {"ssl_certfile": str(tls / "server.pem"), "ssl_keyfile": str(tls / "server.key")}
        config = uvicorn.Config(
            self.wire, port=cluster.port, log_level="critical", ws="none", timeout_graceful_shutdown=1, **files
        )
        self.server = uvicorn.Server(config)
        self.threads = [threading.Thread(target=work) for work in (self.server.run, self._follow)]
        self.honest, self.findings, self.folded = EMPTY, [], 0  # what the true rules say of this log
        self.judging = threading.Lock()
        self.ordered = 0  # where the newest order stands

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        until(lambda: self.server.started, "the server starts")
        return self

    def __exit__(self, *_error):
        self.office.closing.set()
        self.server.should_exit = True
        for thread in self.threads:
            thread.join(timeout=20)
        self.office.database.close()

    def _follow(self):
        """Publish what the chamber's own commands append, as any coordinator does."""
        seen = None
        while not self.office.closing.wait(0.02):
            version = self.office.database.data_version()
            if version != seen:
                self.publish()
                seen = version

    @property
    def state(self):
        return self.log.state()

    def say(self, predicate):
        """Append and publish; (index, digest)."""
        entry = seal(payload(predicate), [self.settings.office_key])
        index = self.log.append(entry)
        self.publish()
        return index, digest(entry)

    def publish(self):
        self.log.publish()
        self.office.bell.ring()

    def stamp(self):
        return {"record_id": new_id(), "issued_at": time_text(datetime.now(UTC))}

    def terms(self):
        agreement = self.state.active_agreement()
        return agreement, self.state.agreements[agreement].terms

    def plan(self, **changes):
        return dataclasses.replace(self._plan(), **changes)

    def _plan(self):
        schema = TASK.schema()
        shared = {"releases": RELEASES, "rho_nano": COST_NANO, "delta": "1e-6", "members": 3}
        return plan_for(TASK, schema, family="gradients", **shared)

    def order(self, logged=True, **changes):
        """Order a run; its name."""
        self.ordered = self.state.size
        agreement, terms = self.terms()
        start = TASK.start(TASK.schema(), "gradients")
        with self.office.database.write() as session:
            documents.keep(session, "model", model("risk", start).to_bytes())
        stamp = self.stamp() | {name: at for name, at in changes.items() if name == "issued_at"}
        fields = {
            **stamp,
            "agreement": agreement,
            "task": "risk",
            "dataset": TASK.schema().dataset,
            "schema_digest": terms.tasks[0].schema_digest,
            "bundle": bundle_digest(),
            "model_start": digest(model("risk", start).to_bytes()),
            "plan": self.plan(),
            "min_members": 3,
            "window_s": WINDOW_S,
            "deadline_s": 60,
            "expires_at": shifted(stamp["issued_at"], WINDOW_S),
            "gate": GateTerms(rho_nano=COST_NANO, untold="keep"),
        } | changes
        said = RunOrder(**fields)
        return self.say(said)[1] if logged else digest(seal(payload(said), [self.settings.office_key]))

    def consents(self):
        """Everyone's consent, live or not, as a round-open names it."""
        agreement, _ = self.terms()
        events = {m: self.state.consent(m, agreement) for m in self.state.members()}
        return tuple(sorted((m, e.index) for m, e in events.items() if e))

    def opening(self, run, round=1, **changes):
        start = digest(model("risk", TASK.start(TASK.schema(), "gradients")).to_bytes())
        fields = {
            **self.stamp(),
            "order": run,
            "round": round,
            "members": self.consents(),
            "model_in": start,
            "log_size": self.state.size,
            "deadline_s": 60,
        } | changes
        return RoundOpen(**fields)

    def open(self, run, round=1, **changes):
        """Open a round and wait until the members' own witnesses have cosigned it; its index."""
        index, _ = self.say(self.opening(run, round, **changes))
        until(lambda: self.log.witnessed(index + 1), "members cosign")
        return index

    def abort(self, run, open_index, round):
        """End an open round without a sum."""
        said = self.state.runs[run].open_round()
        listed = [m for m, _ in said.opened.members]
        nothing = dict.fromkeys(("list_root", "list_document", "aggregate", "step_state", "unmasking"))
        self.say(
            Round(
                **self.stamp(),
                **nothing,
                order=run,
                open=open_index,
                round=round,
                outcome="aborted",
                cutoff=self.state.size,
                contributors=(),
                model_out=said.opened.model_in,
                dropped=tuple((m, "no-reply") for m in listed),
                spend=tuple((m, self.plan().rho_nano()) for m in listed),
                ledgers=(),
            )
        )

    def ask(self, member, run, open_index, step=TRAIN, *, parts=(), round=1, values=None, header=None, late=False):
        """Put one question to a node and wait for what it does: (line, payload), or None if it refuses; where it is
        only too `late`, the log says nothing of that."""
        values = TASK.start(TASK.schema(), "gradients") if values is None else values
        message = pack(
            invitation(RoundRequest(run, round, open_index, tuple(parts)), values if step == TRAIN else None)
        )
        if header:
            message = message.replace(b'"open"', header + b',"open"', 1)
        key, name, mark = self.node_key(member), secrets.token_hex(32), self.state.size
        question = {"id": name, "run": run, "round": round, "open": open_index, "step": step}
        question |= {"size": self.state.size, "message": to_base64(message)}
        self.wire.questions[key] = question
        try:
            until(
                lambda: (late and name in self.wire.done) or self._reply(name) or self.refusals(member, run, mark),
                f"{step} is answered or refused",
            )
        finally:
            self.wire.questions.pop(key, None)
        reply = self._reply(name)
        return (from_base64(reply["line"]), from_base64(reply["payload"])) if reply else None

    def _reply(self, name):
        return next((json.loads(body) for _, got, body in self.wire.got if got == name), None)

    def node_key(self, member):
        return self.state.live_key(member, "node")[0]

    def refusals(self, member, run, since):
        """Signed refusals of a run by a member in the log from `since` on that the true
        rules find nothing wrong with."""
        said = [said for at, (said, found) in enumerate(self.judged()) if at >= since and not found]
        return [s for s in said if isinstance(s, Refusal) and (s.member, s.order) == (member, run)]

    def judged(self):
        """[(statement, what an honest auditor finds in it)] of the whole log."""
        with self.judging:
            for entry in self.log.entries(self.folded, self.state.size):
                self.honest, found = apply(self.honest, entry, self.folded)
                self.folded += 1
                self.findings.append((parse(open_entry(entry).payload), [one.code for one in found]))
        return self.findings

    def blamed(self):
        """Findings in what members have signed, or against their ledgers."""
        return [
            (said.kind, codes)
            for said, codes in self.judged()
            if (isinstance(said, MemberStatement) and codes) or "BUDGET_RESET" in codes
        ]


def until(holds, what, seconds=90):
    """Wait for a condition; what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
