"""No answer of a server can be framed, run or taken for another type: pages, errors, redirects and files."""

import pytest
from starlette.testclient import TestClient

from client_node.web.server import make_app as node_app
from coordinator.web.server import make_app as office_app
from offices import found
from shell.headers import SAFE

ANSWERS = {
    "/": 200,
    "/agreement": 404,
    "/models/none": 404,
    "/nowhere": 404,
    "/checkpoint": 200,
    "/tile/x": 422,
    "/v1/task": 405,
    "/style.css": 200,
}


def is_safe(answer):
    return all(answer.headers.get(name) == value for name, value in SAFE.items())


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    made = found(tmp_path_factory.mktemp("office"))
    yield TestClient(office_app(made), raise_server_exceptions=False)
    made.database.close()


@pytest.mark.parametrize("path", ANSWERS)
def test_a_chambers_answers_are_safe(office, path):
    answer = office.get(path, follow_redirects=False)
    assert answer.status_code == ANSWERS[path] and is_safe(answer)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/style.css", "/v1/score"])
def test_a_nodes_answers_are_safe_without_its_token_too(path):
    answer = TestClient(node_app(object(), "token"), base_url="http://127.0.0.1").get(path)
    assert is_safe(answer) and answer.status_code == (200 if path == "/style.css" else 401)


def test_another_sites_name_is_refused_safely():
    answer = TestClient(node_app(object(), "token"), base_url="http://evil.example").get("/")
    assert answer.status_code == 400 and is_safe(answer)
