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


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
REFUSED = [(path, status) for path, status in ANSWERS.items() if status >= 400]


@pytest.mark.parametrize(("path", "status"), [*REFUSED, ("/documents/none", 403), ("/v1/head", 403)])
def test_a_chamber_answers_people_with_a_page_and_programs_with_json(office, path, status):
    for lang, words in (("en", '<html lang="en">'), ("zh-CN", '<html lang="zh-CN">')):
        page = office.get(path, headers=BROWSER | {"Accept-Language": lang})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert words in page.text and page.text.count("<h1>") == 1 and "{" not in page.text and is_safe(page)
    told = office.get(path, headers={"Accept": "*/*"})
    is_page = path in ("/agreement", "/models/none")
    assert told.status_code == status and ("<main>" in told.text if is_page else told.json())


@pytest.mark.parametrize(
    ("path", "host", "status"), [("/", "127.0.0.1", 401), ("/nowhere", "127.0.0.1", 401), ("/", "evil.example", 400)]
)
def test_a_node_answers_people_with_a_page_and_programs_with_json(path, host, status):
    client = TestClient(node_app(object(), "token"), base_url=f"http://{host}")
    page = client.get(path, headers=BROWSER | {"Accept-Language": "en"})
    assert page.status_code == status and "<h1>" in page.text and "{" not in page.text and is_safe(page)
    assert "text/html" not in client.get(path).headers["content-type"]


def test_an_address_that_a_node_does_not_have_is_a_page_too():
    client = TestClient(node_app(object(), "token"), base_url="http://127.0.0.1")
    page = client.get("/nowhere", headers=BROWSER | {"Authorization": "Bearer token", "Accept-Language": "zh"})
    assert page.status_code == 404 and "此地址没有页面" in page.text and is_safe(page)
