"""Names, presence and what else the log does not say are shown to the office alone: on its machine, or by its code."""

import pytest
from fastapi.testclient import TestClient

from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.web.insiders import code_of, cookie_of
from coordinator.web.server import make_app
from firm import Firm

NAME = "机械"
FORWARDING = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"]


@pytest.fixture(scope="module")
def office(tmp_path_factory, run_command):
    tmp_path = tmp_path_factory.mktemp("office")
    words = ("--name", "商会", "--domain", "hub.example", "--url", "https://testserver", "--home", str(tmp_path))
    assert run_command("coordinator", "init", *words).returncode == 0
    made = open_office(read_home(tmp_path))
    with TestClient(make_app(made), base_url="https://testserver") as client:
        assert Firm(made, client).join().json()["state"] == "admitted"
    yield made
    made.database.close()


def browser(office, peer="203.0.113.7", host="hub.example", proxy=""):
    return TestClient(make_app(office, proxy=proxy), base_url=f"https://{host}", client=(peer, 50000))


def test_a_stranger_sees_no_name_and_no_presence(office):
    page = browser(office).get("/?lang=en")
    assert page.status_code == 200 and NAME not in page.text
    assert "online" not in page.text and "missing" not in page.text and "Waiting" not in page.text
    assert next(iter(office.log.state().members())) in page.text, "what the log says is shown"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.8.0.1", "::ffff:127.0.0.1"])
def test_the_offices_own_machine_sees_them(office, peer):
    for host in ("localhost", "127.0.0.1", "hub.example"):
        assert NAME in browser(office, peer, host).get("/").text


@pytest.mark.parametrize("header", FORWARDING)
def test_what_a_proxy_passed_on_is_not_the_offices_machine(office, header):
    assert NAME not in browser(office, "127.0.0.1").get("/", headers={header: "127.0.0.1"}).text


def test_behind_a_configured_proxy_nobody_is_on_the_offices_machine(office):
    assert NAME not in browser(office, "127.0.0.1", proxy="127.0.0.1").get("/").text


def test_a_page_elsewhere_cannot_point_its_own_name_at_the_offices_machine(office):
    assert NAME not in browser(office, "127.0.0.1", "evil.example").get("/").text


def test_the_code_opens_once_and_stays_in_a_cookie_not_in_the_address(office):
    client = browser(office)
    code = code_of(office.settings)
    opened = client.get(f"/?code={code}&lang=en", follow_redirects=False)
    assert opened.status_code == 303 and opened.headers["location"] == "/?lang=en"
    cookie = opened.headers["set-cookie"].lower()
    assert (
        all(word in cookie for word in ("httponly", "secure", "samesite=strict"))
        and cookie_of(office.settings) in cookie
    )
    shown = client.get("/")
    assert NAME in shown.text and code not in shown.text and shown.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("code", ["", "guess", "é", "0" * 43])
def test_another_code_opens_nothing(office, code):
    code_of(office.settings)
    client = browser(office)
    answer = client.get("/", params={"code": code}, follow_redirects=False)
    assert "set-cookie" not in answer.headers and NAME not in answer.text
    client.cookies.set(cookie_of(office.settings), code.encode("ascii", "ignore").decode())
    assert NAME not in client.get("/").text


def test_a_home_without_a_code_takes_none(office):
    (office.settings.home / "office.code").unlink(missing_ok=True)
    client = browser(office)
    client.cookies.set(cookie_of(office.settings), "")
    assert NAME not in client.get("/?code=").text


def test_the_command_prints_the_address(office, run_command):
    done = run_command("coordinator", "status", "--link", "--home", str(office.settings.home))
    assert done.stdout.strip() == f"https://testserver/?code={code_of(office.settings)}"
    assert (office.settings.home / "office.code").stat().st_mode & 0o077 == 0
    assert NAME in browser(office).get(done.stdout.strip().removeprefix("https://testserver")).text


@pytest.mark.parametrize(
    "path",
    [
        "/agreement",
        "/models/none",
        "/checkpoint",
        "/checkpoints",
        "/policy",
        "/v1/clock",
        "/documents/x",
        "/tile/entries/000.p/3",
        "/v1/head?after=0",
    ],
)
def test_no_other_address_tells_a_stranger_a_name(office, path):
    office.log.publish()
    assert NAME.encode() not in browser(office).get(path).content
