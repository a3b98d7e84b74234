"""Whoever holds an invite joins as the company that it names, with keys that the log takes, and
holds up nobody behind it."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from contracts.envelope import canonical, cosign, digest, from_base64, to_base64
from contracts.fields import new_id, time_text
from contracts.rules.members import register_document
from coordinator.cli import app
from coordinator.store.tables import Invite, JoinRequest
from coordinator.trust import members
from coordinator.web.server import make_app
from demo.cluster import company_code
from firm import Firm
from offices import found

WEAK = {"all zero": bytes(32), "identity": b"\x01" + bytes(31), "not canonical": b"\xff" * 32}


@pytest.fixture
def office(tmp_path):
    made = found(tmp_path / "office")
    yield made
    made.database.close()


@pytest.fixture
def firm(office):
    with TestClient(make_app(office), base_url="https://testserver") as client:
        yield Firm(office, client)


def entries_of(firm, *, node=None, witness=None, register=None):
    """What an honest member sends, with some fields of its statements changed."""
    named = digest(canonical(register)) if register else None
    node = {"register_document": named} | (node or {})
    return [firm.key_entry("node", firm.key, **node), firm.key_entry("witness", firm.witness, **(witness or {}))]


REGISTER = {"name": "机械", "code": company_code(1), "salt": "0" * 32}
LATER = time_text(datetime.now(UTC) + timedelta(days=400))
BROKEN = {
    "a witness key of small order": {"witness": {"public": base64.b64encode(WEAK["identity"]).decode()}},
    "a witness key of zeros": {"witness": {"public": base64.b64encode(WEAK["all zero"]).decode()}},
    "a witness key in another spelling": {"witness": {"public": base64.b64encode(WEAK["not canonical"]).decode()}},
    "a witness key that replaces another": {"witness": {"replaces": "sha256:" + "1" * 64}},
    "a node key that replaces another": {"node": {"replaces": "sha256:" + "1" * 64}},
    "a witness key of another member": {"witness": {"member": new_id()}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_request_that_the_log_would_refuse_is_refused_and_the_invite_stays_good(office, firm, name):
    answer = firm.join(entries_of(firm, register=REGISTER, **BROKEN[name]), REGISTER)
    assert answer.status_code in (401, 403, 422) and answer.json()["code"], answer.text
    assert office.log.state().size == 1, "no half of a member is in the log"
    assert firm.join().json()["state"] == "admitted"


def test_a_witness_key_that_its_owner_did_not_sign_for_is_refused(office, firm):
    stolen = firm.key_entry("witness", firm.witness, signer=firm.key)
    answer = firm.join([entries_of(firm, register=REGISTER)[0], stolen], REGISTER)
    assert answer.status_code in (401, 403) and office.log.state().size == 1


def test_one_key_for_both_roles_is_refused(office, firm):
    firm.witness = firm.key
    assert firm.join().status_code == 403 and office.log.state().size == 1


@pytest.mark.parametrize("change", [{"name": "别家"}, {"code": company_code(2)}, {"more": "x"}])
def test_nobody_registers_as_another_company_than_it_was_invited_as(office, firm, change):
    """Other members are shown this document, and may demand companies by their code."""
    register = REGISTER | change
    answer = firm.join(entries_of(firm, register=register), register)
    assert answer.status_code == 403 and answer.json()["code"] == "INVITE_OTHER"
    assert office.log.state().size == 1
    assert firm.join().json()["state"] == "admitted"
    assert register_document(office.log.state(), firm.invite["member"])


def test_nobody_becomes_another_company_with_its_next_key(office, firm):
    other = Firm(office, firm.client)
    assert [one.join().json()["state"] for one in (firm, other)] == ["admitted"] * 2
    stolen = register_document(office.log.state(), other.invite["member"])
    fresh, live = Ed25519PrivateKey.generate(), office.log.state().live_key(firm.invite["member"], "node")[0]
    entry = firm.key_entry("node", fresh, replaces=live, register_document=stolen)
    entry = to_base64(cosign(from_base64(entry), firm.key))
    assert firm.ask("POST", "/v1/statements", {"entry": entry}).json()["code"] == "PARTICIPANT"
    entry = to_base64(cosign(from_base64(firm.key_entry("node", fresh, replaces=live)), firm.key))
    assert firm.ask("POST", "/v1/statements", {"entry": entry}).status_code == 200
    assert register_document(office.log.state(), other.invite["member"]) == stolen


def test_a_waiting_request_that_the_log_refuses_holds_nobody_up(office, firm, tmp_path):
    second = Firm(office, firm.client)
    with office.database.write() as session:
        for one in (firm, second):
            session.get_one(Invite, one.invite["member"]).approved = False
    assert [one.join().json()["state"] for one in (firm, second)] == ["pending"] * 2
    with office.database.write() as session:  # as a coordinator of before may have kept it
        session.get_one(JoinRequest, firm.invite["member"]).entries = '["AA==", "AA=="]'
    words = ["approve", "--all", "--home", str(office.settings.home)]
    done = CliRunner().invoke(app, words, standalone_mode=False)
    assert done.return_value == 1 and all(one.invite["member"] in done.output for one in (firm, second)), done.output
    assert second.invite["member"] in office.log.state().members()
    assert [row.member for row in members.waiting(office.database)] == [firm.invite["member"]]
