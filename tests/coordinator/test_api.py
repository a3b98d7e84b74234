"""What the coordinator answers to requests that are not what they should be, and that its log survives."""

import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from contracts.envelope import public_text, seal, to_base64
from contracts.errors import Malformed, Refused, Unavailable
from contracts.fields import new_id, time_text
from contracts.statements.closed_list import payload
from contracts.statements.statements import Key, LedgerHead, Refusal, Seen
from coordinator.requests import SubmittedReply, read
from coordinator.settings import read_home
from coordinator.trust import members
from coordinator.web.server import make_app
from demo.cluster import company_code
from firm import Firm
from offices import found
from signed import signed
from simulator import NOTHING


@pytest.fixture
def office(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", database_url)
    made = found(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def firm(office):
    with TestClient(make_app(office), base_url="https://testserver", raise_server_exceptions=False) as client:
        joined = Firm(office, client)
        assert joined.join().json()["state"] == "admitted"
        yield joined


def code(answer):
    return answer.json().get("code")


def test_a_member_cannot_fill_the_log_that_everybody_keeps(office, firm, monkeypatch):
    monkeypatch.setattr("coordinator.web.api.STATEMENT_BURST", 3.0)
    with TestClient(make_app(office), base_url="https://testserver") as firm.client:
        codes = [code(firm.ask("POST", "/v1/statements", {"entry": refusal(firm)})) for _ in range(5)]
        other = Firm(office, firm.client)
        other.join()
        assert code(other.ask("POST", "/v1/statements", {"entry": refusal(other)})) != "BUSY", "another has its own"
    assert codes[3:] == ["BUSY"] * 2 and "BUSY" not in codes[:3]


def refusal(firm):
    """A statement of a member about a run that nobody ordered."""
    said = Refusal(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=firm.invite["member"],
        order=NOTHING,
        reason="budget",
        open=None,
        seen=Seen(size=1, root=NOTHING),
        ledger=LedgerHead(head=NOTHING, rho_total_nano=0),
    )
    return to_base64(seal(payload(said), [firm.key]))


def test_only_a_contribution_is_large(office, firm):
    """A poll keeps its body for as long as it waits, and few large bodies are kept at once."""
    large = json.dumps({"wait": 0, "done": ["a" * 60] * 20_000}).encode()
    assert len(large) > 2**20
    for method, path in (("POST", "/v1/task"), ("POST", "/v1/statements"), ("POST", "/v1/cosignatures")):
        answer = firm.client.send(signed("https://testserver", firm, path, method, large))
        assert code(answer) == "TOO_LARGE", path
    asked = firm.client.send(signed("https://testserver", firm, f"/v1/contributions/{NOTHING[7:]}", "PUT", large))
    assert code(asked) == "PARTICIPANT", "it was read, and nobody had asked for it"


@pytest.mark.parametrize("body", [b'{"line":[' + b'"a",' * 10**6 + b'"a"],"payload":""}', b"[" * 10**6, b"{}," * 10**6])
def test_a_body_of_many_parts_is_refused_before_they_are_made(body):
    """Parsed, each part costs fifty times its bytes."""
    tracemalloc.start()
    with pytest.raises(Malformed, match="fields"):
        read(SubmittedReply, body)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_invite_admits_one_node_once(office, firm):
    assert firm.join().json()["state"] == "admitted", "the same node may ask again"
    second = Firm(office, firm.client)
    second.invite = firm.invite
    assert code(second.join()) == "INVITE_USED"
    late = Firm(office, firm.client, days=-1)
    assert code(late.join()) == "INVITE_EXPIRED"
    stranger = Firm(office, firm.client)
    stranger.invite = stranger.invite | {"secret": "guess"}
    assert code(stranger.join()) == "INVITE_UNKNOWN"


def test_a_changed_body_a_replayed_nonce_and_a_wrong_clock_are_refused(office, firm):
    request = firm.request("POST", "/v1/task", {"wait": 0, "done": []}, nonce="once")
    assert firm.client.send(request).status_code == 204
    assert code(firm.client.send(request)) == "REPLAYED_NONCE"
    changed = firm.request("POST", "/v1/task", {"wait": 0, "done": []})
    other = firm.client.build_request(
        "POST", "https://testserver/v1/task", content=b'{"wait": 9, "done": []}', headers=changed.headers
    )
    other.headers["content-length"] = "23"
    assert code(firm.client.send(other)) == "BAD_DIGEST"
    moved = firm.client.build_request(
        "POST", "https://testserver/v1/cosignatures", content=b'{"wait": 0, "done": []}', headers=changed.headers
    )
    assert code(firm.client.send(moved)) == "BAD_SIGNATURE"
    late = firm.ask("GET", "/v1/head?after=0", now=datetime.now(UTC) - timedelta(minutes=10))
    assert code(late) == "CLOCK_SKEW" and re.search("60[0-9] seconds", late.json()["text"][0])


def test_a_node_speaks_only_with_its_own_key_and_for_itself(office, firm):
    assert code(firm.ask("GET", "/v1/head?after=0", key=Ed25519PrivateKey.generate())) == "UNKNOWN_KEY"
    other = Firm(office, firm.client)
    other.join()
    statement = Key(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=other.invite["member"],
        role="node",
        public=public_text(Ed25519PrivateKey.generate().public_key()),
        register_document=None,
    )
    entry = to_base64(seal(payload(statement), [other.key]))
    assert code(firm.ask("POST", "/v1/statements", {"entry": entry})) == "CONSENT_NOT_BY_PRINCIPAL"


def test_documents_are_for_admitted_keys_and_contributions_for_their_author(office, firm):
    from coordinator.store import documents

    with office.database.write() as session:
        mine = documents.keep(session, "contribution", b"mine", firm.invite["member"])
        theirs = documents.keep(session, "contribution", b"theirs", "someone")
    assert firm.ask("GET", f"/documents/{mine[7:]}").content == b"mine"
    assert firm.ask("GET", f"/documents/{theirs[7:]}").status_code == 404
    assert code(firm.client.get(f"/documents/{mine[7:]}")) == "UNKNOWN_KEY"


def test_tiles_may_be_cached_for_ever_bundles_are_compressed_and_checkpoints_are_neither(office, firm):
    office.log.publish()
    path = f"/tile/entries/000.p/{office.log.state().size}"
    packed = firm.client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = firm.client.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.content == plain.content == office.log.tile(path[1:])
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert "immutable" in plain.headers["cache-control"] and "Accept-Encoding" in plain.headers["vary"]
    assert firm.client.get("/checkpoint").headers["cache-control"] == "no-cache"
    assert firm.client.get("/checkpoints").json()[-1] == office.log.state().size
    assert firm.client.get("/policy").text.startswith("log chamber.localhost/consent-log+")


def test_wrong_bodies_get_an_answer_and_not_a_crash(firm):
    for body in (None, [], {"wait": 0}, {"line": "x", "payload": "y"}):
        answer = firm.ask("PUT", "/v1/contributions/none", body)
        assert answer.status_code in (403, 422) and answer.json()["what"]
    assert firm.client.get("/tile/0/999").status_code == 422


def test_appending_is_idempotent_and_a_full_disk_loses_nothing(office, firm, monkeypatch):
    size = office.log.state().size
    [entry] = office.log.entries(2, 3)
    assert office.log.append(entry) == 2 and office.log.state().size == size

    @event.listens_for(office.database._writes, "before_cursor_execute")
    def full(connection, cursor, statement, *_more):
        if statement.startswith("INSERT INTO logentry"):
            raise OperationalError(statement, {}, OSError("database or disk is full"))

    late = Firm(office, firm.client)
    assert code(late.join()) == "UNAVAILABLE"
    event.remove(office.database._writes, "before_cursor_execute", full)
    assert office.log.state().size == size
    members.admit(office.database, office.log, office.settings, late.invite["member"])
    assert office.log.state().size == size + 2


def test_a_company_code_with_a_wrong_check_digit_is_refused(office):
    good = company_code(7)
    members.check_company_code(good)
    with pytest.raises(Refused, match="not a valid company code"):
        members.check_company_code(good[:-1] + ("0" if good[-1] != "0" else "1"))


def test_a_second_init_and_an_absent_home_are_refused(tmp_path, run_command):
    with pytest.raises(Unavailable, match="holds no coordinator"):
        read_home(tmp_path / "nowhere")
    first = run_command(
        "coordinator", "init", "--name", "x", "--domain", "localhost", "--home", str(tmp_path), "--lang", "en"
    )
    again = run_command(
        "coordinator", "init", "--name", "x", "--domain", "localhost", "--home", str(tmp_path), "--lang", "en"
    )
    assert (first.returncode, again.returncode) == (0, 2) and len(again.stderr.strip().splitlines()) == 3
