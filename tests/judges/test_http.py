"""schemathesis asks the real application whatever fits its routes, unsigned and signed: it
answers, and never breaks."""

import secrets
from datetime import UTC, datetime

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup

from contracts.statements.requests import sign_request
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.web.server import make_app
from firm import Firm

FIELDS = {  # of the bodies that the routes read, so that what is asked gets past the first door
    "/v1/join": ("entries", "secret", "register"),
    "/v1/cosignatures": ("size", "line"),
    "/v1/statements": ("entry",),
    "/v1/task": ("wait", "done"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory, run_command):
    """The coordinator's application over a new database, with one member that has joined."""
    home = tmp_path_factory.mktemp("office")
    words = ("init", "--name", "商会", "--domain", "localhost", "--url", "https://testserver", "--home", str(home))
    assert run_command("coordinator", *words).returncode == 0
    office = open_office(read_home(home))
    office.closing.set()  # long polls answer at once
    app = make_app(office)
    with TestClient(app, base_url="https://testserver", raise_server_exceptions=False) as client:
        firm = Firm(office, client)
        assert firm.join().json()["state"] == "admitted"
        yield app, firm
    office.database.close()


def described(app):
    """What FastAPI says of the routes, with the bodies that it cannot know."""
    told = app.openapi()
    for path, ways in told["paths"].items():
        if "post" in ways:
            fields = FIELDS.get(path, ())
            body = {"type": "object", "properties": {f: {} for f in fields}, "required": list(fields)}
            either = {"anyOf": [body | {"additionalProperties": False}, {}]}
            ways["post"]["requestBody"] = {"required": True, "content": {"application/json": {"schema": either}}}
    return told


def ask_all(told, client, *signers):
    """Everything that schemathesis makes of a description, each case once by every signer; fails if the server does."""
    for operation in schemathesis.openapi.from_dict(told).get_all_operations():

        @settings(
            max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.ok().as_strategy())
        def asked(case):
            for signer in signers:
                ask(client, case, signer)

        asked()


def test_no_request_breaks_the_coordinator(served):
    app, firm = served
    ask_all(described(app), firm.client, None, firm.key)


def ask(client, case, signer):
    sent = case.as_transport_kwargs(base_url="https://testserver")
    parts = {name: sent.get(name) for name in ("params", "headers", "json")}
    request = client.build_request(sent["method"], sent["url"], **parts)
    if signer:
        sign_request(request, request.content, signer, nonce=secrets.token_hex(16), now=datetime.now(UTC))
    case.validate_response(client.send(request), checks=[not_a_server_error])


def test_a_route_that_breaks_is_found():
    app = FastAPI()
    app.get("/tenth/{n}")(lambda n: 10 / int(n))
    with pytest.raises(FailureGroup):
        ask_all(app.openapi(), TestClient(app, base_url="https://testserver", raise_server_exceptions=False), None)
