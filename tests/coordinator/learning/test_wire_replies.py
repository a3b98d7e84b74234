"""A buggy or greedy member over real HTTPS: each broken reply is refused, typed, never combined,
and in the round's record."""

import secrets
import ssl
import threading
import time
from array import array
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.link.uplink import padded
from contracts.envelope import digest, open_entry, seal, to_base64
from contracts.fields import new_id, time_text
from contracts.log.checkpoint import cosign_note, witness_name
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import parse, payload
from contracts.statements.off_log import Contribution
from contracts.statements.requests import sign_request
from contracts.statements.statements import LedgerHead, Round, RunOrder, Seen
from coordinator.office import open_office
from coordinator.settings import Settings
from coordinator.store import documents
from coordinator.store.clock import confirm
from coordinator.trust.certificates import make_certificates
from coordinator.web.server import Serving, make_app
from demo.cluster import free_port
from simulator import NOTHING, ORIGIN, Trust, plan

OTHER = "sha256:" + "1" * 64
RELEASES = 20
PLAN = plan(releases=RELEASES)
START = model("risk", array("d", [0.0] * PLAN.length())).to_bytes()


def reply(said, values, key, **changes):
    """The honest body of a contribution, unless `changes` say otherwise."""
    data = changes.get("data") or of_round("contribution", said.order, said.round, values).to_bytes()
    said = said.model_copy(update={"payload": digest(data)} | changes.get("words", {}))
    line = seal(changes.get("predicate", payload(said)), [changes.get("key", key)])
    return {"line": to_base64(line), "payload": to_base64(data)} | changes.get("body", {})


def artefact(said, values, old, new):
    """The bytes of a contribution with another header."""
    return of_round("contribution", said.order, said.round, values).to_bytes().replace(old, new)


# what the broken member sends in place of its contribution -> (status, code)
CASES = {
    "an extra metric": (lambda s, v, k: reply(s, v, k, body={"loss": 0.1}), (422, "MALFORMED")),
    "a row count": (lambda s, v, k: reply(s, v, k, body={"rows": 5000}), (422, "MALFORMED")),
    "a string": (lambda s, v, k: reply(s, v, k, body={"note": "customer 7"}), (422, "MALFORMED")),
    "a number for a payload": (lambda s, v, k: reply(s, v, k, body={"payload": 7}), (422, "MALFORMED")),
    "a string in the payload's header": (
        lambda s, v, k: reply(s, v, k, data=artefact(s, v, b'"order":', b'"note":"customer 7","order":')),
        (422, "SHAPE"),
    ),
    "a field in the payload's header": (
        lambda s, v, k: reply(s, v, k, data=artefact(s, v, b'"fields":', b'"clip":9,"fields":')),
        (422, "MALFORMED"),
    ),
    "a field in the signed line": (
        lambda s, v, k: reply(s, v, k, predicate=payload(s).replace(b'"bundle":', b'"rows":5000,"bundle":')),
        (422, "PROFILE"),
    ),
    "NaN": (
        lambda s, v, k: reply(
            s, v, k, data=of_round("contribution", s.order, s.round, array("d", [float("nan")] * len(v))).to_bytes()
        ),
        (422, "MALFORMED"),
    ),
    "a longer vector": (lambda s, v, k: reply(s, v + array("q", [1]), k), (422, "SHAPE")),
    "a shorter vector": (lambda s, v, k: reply(s, v[:-1], k), (422, "SHAPE")),
    "numbers beyond the plan": (lambda s, v, k: reply(s, array("q", [2**61] * len(v)), k), (422, "SHAPE")),
    "another dtype": (
        lambda s, v, k: reply(s, v, k, data=artefact(s, v, b'"type":"q"', b'"type":"i"')),
        (422, "MALFORMED"),
    ),
    "bytes that are no vector": (lambda s, v, k: reply(s, v, k, data=b"\x80\x04K\x01."), (422, "MALFORMED")),
    "another bundle digest": (lambda s, v, k: reply(s, v, k, words={"bundle": OTHER}), (403, "CODE_HASH")),
    "a contribution of another round": (lambda s, v, k: reply(s, v, k, words={"round": 7}), (401, "UPDATE_REPLAY")),
    "a time after its consent had ended": (
        lambda s, v, k: reply(s, v, k, words={"issued_at": "2099-01-01T00:00:00Z"}),
        (403, "CONSENT_ENDED"),
    ),
    "a time before its round was opened": (
        lambda s, v, k: reply(s, v, k, words={"issued_at": "2025-01-01T00:00:00Z"}),
        (403, "CONSENT_ENDED"),
    ),
    "a ledger that was reset": (
        lambda s, v, k: reply(s, v, k, words={"ledger": LedgerHead(head=NOTHING, rho_total_nano=0)}),
        (403, "BUDGET_RESET"),
    ),
}


class Office:
    """A real coordinator process' inside, with TLS on a port, over the log of a simulated trust."""

    def __init__(self, folder):
        until = time_text(datetime.now(UTC) + timedelta(days=300))
        self.trust = trust = Trust(members=4, start_models=(digest(START),), valid_to=until)
        trust.now = datetime.now(UTC) - timedelta(hours=1)
        for firm in trust.firms:
            trust.consent(firm, expires_at=until)
        assert not trust.findings, trust.findings
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        keys = trust.log_key, trust.office, trust.agreement_key
        settings = Settings(folder, "商会", NOTHING, "test", self.url, *keys)
        assert settings.origin == ORIGIN
        make_certificates(folder / "tls", Ed25519PrivateKey.generate(), name="X", hosts=("localhost",))
        self.made = open_office(settings, is_new=True)
        confirm(settings.home)  # the log is of last winter, and goes on today
        for entry in trust.entries:
            self.made.log.append(entry)
        with self.made.database.write() as session:
            documents.keep(session, "model", START)
        self.ca = ssl.create_default_context(cadata=(folder / "tls" / "ca.pem").read_text())
        tls = {"ssl_certfile": str(folder / "tls" / "server.pem"), "ssl_keyfile": str(folder / "tls" / "server.key")}
        config = uvicorn.Config(make_app(self.made), port=self.port, log_level="critical", ws="none", **tls)
        self.server, self.serving = uvicorn.Server(config), Serving(self.made)
        self.threads = [threading.Thread(target=work) for work in (self.server.run, self.witness)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.serving.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_error):
        self.made.closing.set()
        self.serving.stop()
        self.server.should_exit = True
        for thread in self.threads:
            thread.join(timeout=20)
        self.made.database.close()

    def witness(self):
        """All members' witnesses in one: sign each new checkpoint."""
        size = 0
        while not self.made.closing.wait(0.01):
            note = self.made.log.note()
            if note is None or note.checkpoint.size == size:
                continue
            size = note.checkpoint.size
            for firm in self.trust.firms:
                name = witness_name(ORIGIN, firm.member)
                self.made.log.cosign(size, cosign_note(note, firm.witness, name=name, time=int(time.time())))

    def order(self):
        """Order a run of as many rounds as there are cases, and one honest one before them."""
        stamp = {"record_id": new_id(), "issued_at": time_text(datetime.now(UTC))}
        terms = self.trust.terms
        said = RunOrder(
            **stamp,
            agreement=terms.digest(),
            task="risk",
            dataset="receivables",
            schema_digest=NOTHING,
            bundle=NOTHING,
            model_start=digest(START),
            plan=PLAN,
            min_members=3,
            window_s=3600,
            deadline_s=20,
            expires_at=terms.valid_to,
        )
        entry = seal(payload(said), [self.trust.office])
        self.made.log.append(entry)
        return digest(entry)

    def rounds(self, run):
        """{number: its record in the log}."""
        entries = self.made.log.entries(0, self.made.log.state().size)
        said = [parse(open_entry(entry).payload) for entry in entries]
        return {s.round: s for s in said if isinstance(s, Round) and s.order == run}


class Member:
    """A member that speaks the protocol by hand; `broken` says what it sends in which round."""

    def __init__(self, office, firm, broken=None):
        self.office, self.firm, self.broken = office, firm, broken or {}
        self.told, self.client = {}, httpx.Client(verify=office.ca, trust_env=False, timeout=40)

    def ask(self, method, path, body):
        data = padded(body)
        request = self.client.build_request(method, self.office.url + path, content=data)
        sign_request(request, data, self.firm.node, nonce=secrets.token_hex(16), now=datetime.now(UTC))
        return self.client.send(request)

    def work(self):
        with self.client:  # an open connection would keep the server from ending
            while not self.office.made.closing.is_set():
                answer = self.ask("POST", "/v1/task", {"wait": 1.0, "done": []})
                if answer.status_code == 200:
                    self.reply(answer.json())

    def reply(self, task):
        round = task["round"]
        run = self.office.made.log.state().runs[task["run"]]
        said = Contribution(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=self.firm.member,
            order=task["run"],
            open=task["open"],
            round=round,
            payload=NOTHING,
            model_in=run.open_round().opened.model_in,
            seen=Seen(size=0, root=NOTHING),
            ledger=LedgerHead(head=NOTHING, rho_total_nano=1000 + round),
            bundle=NOTHING,
        )
        values = array("q", [round, 2, 3, 4])
        make = self.broken.get(round, reply)
        answer = self.ask("PUT", f"/v1/contributions/{task['id']}", make(said, values, self.firm.node))
        self.told[round] = answer.status_code, answer.json().get("code")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """(name of the broken member, what it was told, the rounds' records, documents kept) of one run over all cases."""
    folder = tmp_path_factory.mktemp("office")
    with Office(folder) as office:
        broken = {2 + n: make for n, (make, _) in enumerate(CASES.values())}
        members = [Member(office, firm, broken if n == 0 else None) for n, firm in enumerate(office.trust.firms)]
        threads = [threading.Thread(target=member.work, daemon=True) for member in members]
        for thread in threads:
            thread.start()
        run, end = office.order(), time.monotonic() + 120
        while len(office.rounds(run)) < RELEASES and time.monotonic() < end:
            time.sleep(0.05)
        yield members[0], office.rounds(run), office
        office.made.closing.set()
        for thread in threads:
            thread.join(timeout=20)


def test_an_honest_reply_is_combined(outcome):
    member, rounds, _ = outcome
    assert len(rounds) == RELEASES and len(CASES) < RELEASES
    for number in (1, *range(2 + len(CASES), RELEASES + 1)):
        assert member.told[number] == (200, None)
        assert member.firm.member in rounds[number].contributors and not rounds[number].dropped


@pytest.mark.parametrize("name", CASES)
def test_a_broken_reply_is_refused_typed_and_in_the_record_of_its_round(outcome, name):
    member, rounds, office = outcome
    number = 2 + list(CASES).index(name)
    assert member.told[number] == CASES[name][1]
    closed = rounds[number]
    assert closed.outcome == "recorded" and closed.dropped == ((member.firm.member, "malformed"),)
    total = documents.read(office.made.database, closed.aggregate).data
    assert total == of_round("aggregate", closed.order, number, array("q", [3 * number, 6, 9, 12])).to_bytes()
