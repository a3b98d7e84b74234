"""A real `coordinator serve` over a log that begins in memory, and members of this process that talk to it by HTTP.

The members keep the node's own rules (client_node.rounds.masking) over numbers that the test knows.
"""

import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlmodel import select

from client_node.rounds.masking import sum_round
from contracts.envelope import digest, from_base64, seal, to_base64
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.log.checkpoint import cosign_note, parse_note, witness_name
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.requests import sign_request
from contracts.statements.statements import Seen
from contracts.terms.agreement import Weighted
from coordinator.office import open_office
from coordinator.settings import KEYS, create_home, read_home
from coordinator.store import documents
from coordinator.store.tables import LastSeen
from coordinator.trust.certificates import make_certificates
from demo.cluster import free_port
from engine.rounds import TRAIN, unpack
from privacy.plan import Gradients
from simulator import NOTHING, ORIGIN, Trust, plan
from sums import MemberSide

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 301
DRAFTED = {"edition": 2, "totals": Weighted(rule="weighted")}  # as the office drafts agreements
START = array("d", [0.0] * LENGTH)


class Chamber:
    """`n` members who consent to one run (of one round) of 301 numbers, and the process that serves them."""

    def __init__(self, folder, n, secure_sum, deadline_s=300, rounds=1, **terms):
        self.home, self.port = folder / "chamber", free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.trust = self._agreed(n, deadline_s, rounds, secure_sum=secure_sum, **terms)
        create_home(self.home, name="商会", code_digest="", domain="test", url=self.url)
        self._take_keys()
        make_certificates(self.home / "tls", self.trust.office, name="商会", hosts=("localhost",))
        office = open_office(read_home(self.home), is_new=True)
        with office.database.write() as session:
            documents.keep(session, "model", model("risk", START).to_bytes())
        *agreed, self._order = self.trust.entries
        for entry in agreed:
            office.log.append(entry)
        self.log, self.database, self._n = office.log, office.database, n
        self.run = self.trust.run.run

    def _agreed(self, n, deadline_s, rounds, **terms):
        start = digest(model("risk", START).to_bytes())
        trust = Trust(n, **DRAFTED | terms, start_models=(start,), valid_to="2099-12-31T00:00:00Z")
        trust.now = datetime.now(UTC) - timedelta(hours=1)
        for firm in trust.firms:
            trust.consent(firm, expires_at="2099-12-31T00:00:00Z")
        made = plan(shape=Gradients("gradients", ((LENGTH - 1, 1),), "1"), releases=rounds, sigma_steps=400 * 2**20)
        ends = time_text(datetime.now(UTC) + timedelta(minutes=30))
        trust.order(plan=made, model_start=start, deadline_s=deadline_s, expires_at=ends, window_s=7200)
        assert trust.findings == []
        return trust

    def _take_keys(self):
        for name, key in zip(KEYS, (self.trust.log_key, self.trust.office, self.trust.agreement_key), strict=True):
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (self.home / "keys" / f"{name}.pem").write_bytes(pem)

    def __enter__(self):
        code = "import sys; from coordinator.cli import main; main()"
        words = ("serve", "--port", str(self.port), "--home", str(self.home))
        with (self.home / "log.txt").open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
        return self

    def __exit__(self, *_error):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.database.close()

    def order(self):
        """Order the run, once all members have been heard."""
        end = time.monotonic() + 240
        while time.monotonic() < end:
            with self.database.read() as session:
                if len(session.exec(select(LastSeen)).all()) == self._n:
                    return self.log.append(self._order)
            time.sleep(0.05)
        raise AssertionError("the members do not come")

    def closed(self, round=1):
        """The end of a round, once it is there."""
        end = time.monotonic() + 240
        while time.monotonic() < end:
            rounds = self.log.state().runs[self.run].rounds
            if len(rounds) >= round and rounds[round - 1].closed:
                return rounds[round - 1].closed
            assert self.process.poll() is None, (self.home / "log.txt").read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError("the round did not end")


class Gone(Exception):
    """This member sends what cannot be read, and is not heard again."""

    def __init__(self, body):
        super().__init__()
        self.body = body


class Member(MemberSide):
    """One member on the network: signs requests, cosigns the log, answers twice and late, and keeps what it sent.

    `before(step)` is called before each answer and may wait, or raise Gone.
    """

    def __init__(self, chamber, firm, folder, values, before=lambda step: None):
        super().__init__(chamber.trust, firm, folder, values)
        self.chamber, self.before, self.draw = chamber, before, random.Random(firm.member)
        self.sent, self.failed, self.told, self.stop = [], None, None, threading.Event()
        self.round = 0  # that `published` belongs to
        self.masked = chamber.trust.terms.secure_sum == "required"
        self.link = httpx.Client(base_url=chamber.url, verify=False, trust_env=False, timeout=30)
        self.thread = threading.Thread(target=self.live)
        self.thread.start()

    def about(self):
        """As `sum_round`, by the chamber's log."""
        state = self.chamber.log.state()
        run = state.runs[self.chamber.run]
        if run.open_round() is None:
            raise Refused("the round has ended", code="LATE")
        return sum_round(state, run, run.open_round())

    def live(self):
        """Follow and answer until told to stop."""
        size = 0
        while not self.stop.is_set():
            try:
                size = self.cosign(size)
                self.answer()
            except httpx.TransportError:
                time.sleep(0.1)  # the chamber is not up yet
            except Gone:
                return
            except Refused as error:
                if error.code != "LATE":
                    self.failed = error
                    raise
            except BaseException as error:
                self.failed = error
                raise

    def ask(self, method, path, body=None):
        """One signed request; Refused with the code of the chamber's error."""
        data = json.dumps(body).encode() if body is not None else b""
        request = self.link.build_request(method, path, content=data)
        sign_request(request, data, self.firm.node, nonce=secrets.token_hex(16), now=datetime.now(UTC))
        answer = self.link.send(request)
        if answer.status_code >= 400:
            raise Refused("refused", code=answer.json()["code"])
        return answer

    def cosign(self, size):
        """Sign the newest checkpoint, if it is new."""
        text = self.ask("GET", f"/v1/head?after={size}&wait=0").json()["checkpoint"]
        if text is None:
            return size
        note, name = parse_note(text), witness_name(ORIGIN, self.firm.member)
        line = cosign_note(note, self.firm.witness, name=name, time=int(time.time()))
        self.ask("POST", "/v1/cosignatures", {"size": note.checkpoint.size, "line": line})
        return note.checkpoint.size

    def answer(self):
        """Take one message, answer it twice, and repeat something older."""
        told = self.ask("POST", "/v1/task", {"wait": 0.2, "done": []})
        if told.status_code == 204:
            return
        task = told.json()
        try:
            self.before(task["step"])
        except Gone as gone:
            try:  # nobody waits for a member whose reply cannot be read
                self.ask(
                    "PUT", f"/v1/{'contributions' if task['step'] == TRAIN else 'replies'}/{task['id']}", gone.body
                )
            except Refused as error:
                self.told = error.code
            raise
        asked, _model = unpack(from_base64(task["message"]))
        if task["step"] == TRAIN:
            values, line = self.contribute(asked, None)
            data = of_round("contribution", task["run"], task["round"], values).to_bytes()
            path = f"/v1/contributions/{task['id']}"
        else:
            line, data = self.take_step(task["step"], asked)
            path = f"/v1/replies/{task['id']}"
        self.send(path, {"line": to_base64(line), "payload": to_base64(data)})

    def send(self, path, body):
        """Put a reply, then everything that was put before in some order, then other bytes, which must be refused."""
        time.sleep(self.draw.uniform(0, 0.1))
        self.sent.append((path, body))
        try:
            self.ask("PUT", path, body)
            for older in self.draw.sample(self.sent, len(self.sent)):
                self.ask("PUT", *older)
            self.ask("PUT", path, body | {"line": to_base64(b"other")})
        except Refused as error:
            if error.code not in ("UPDATE_REPLAY", "LATE"):
                raise

    def contribute(self, asked, model):
        """As `MemberSide`, with a line that the chamber accepts; without masks where none are agreed."""
        if asked.round != self.round:
            self.round, self.published = asked.round, None
        if self.masked:
            values, _ = super().contribute(asked, model)
        else:
            values = self.values
        run = self.chamber.log.state().runs[asked.run]
        said = Contribution(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=self.firm.member,
            order=asked.run,
            open=asked.open_index,
            round=asked.round,
            payload=digest(of_round("contribution", asked.run, asked.round, values).to_bytes()),
            model_in=run.open_round().opened.model_in,
            bundle=NOTHING,
            seen=Seen(size=0, root=NOTHING),
            ledger=self.trust.ledger(self.firm.member, run.order.plan.rho_nano()),
        )
        return values, seal(payload(said), [self.firm.node])


class Members:
    """All members of a chamber at work, each with fresh numbers; ends them all."""

    def __init__(self, chamber, folder, before=None, seed=1):
        draw, self.all, self.chamber = random.Random(seed), {}, chamber
        for firm in chamber.trust.firms:
            values = array("q", (draw.randrange(-(2**31), 2**31) for _ in range(LENGTH)))
            waits = (before or {}).get(firm.member, lambda step: None)
            self.all[firm.member] = Member(chamber, firm, folder, values, waits)

    def plain(self, names):
        """The sum of these members' numbers."""
        return array("q", map(sum, zip(*(self.all[name].values for name in names), strict=True)))

    def __enter__(self):
        self.chamber.order()
        return self

    def __exit__(self, *_error):
        for member in self.all.values():
            member.stop.set()
        for member in self.all.values():
            member.thread.join(timeout=60)
            member.link.close()
            assert member.failed is None, member.failed


def gone_at(step, body=None):
    """A `before` that ends its member at a step, with a reply that is none."""

    def before(now):
        if now == step:
            raise Gone(body or {})

    return before
