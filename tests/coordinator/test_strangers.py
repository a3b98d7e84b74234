"""Strangers at the coordinator's port: what they hold open, send, claim and ask is bounded."""

import socket
import ssl
import sys
import threading
import time
from contextlib import suppress

import anyio
import httpx
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlmodel import select

from chamber import Chamber
from contracts.errors import Unavailable
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.store.tables import UsedNonce
from coordinator.web.bodies import Bodies
from coordinator.web.server import make_app
from firm import Firm
from signed import signed
from strangers import Crowd, is_up, memory_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def chamber(tmp_path_factory):
    with Chamber(tmp_path_factory.mktemp("strangers"), 4, "none") as made:
        end = time.monotonic() + 60
        while not is_up(made.port) and time.monotonic() < end:
            time.sleep(0.05)
        yield made


class Growth:
    """The most by which the memory of a process has grown since."""

    def __init__(self, pid):
        self._pid, self._stop, self.mb = pid, threading.Event(), 0.0
        self._before = memory_mb(pid)
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._stop.wait(0.05):
            self.mb = max(self.mb, memory_mb(self._pid) - self._before)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("kind", ["no-handshake", "silent", "slow-head", "slow-body"])
def test_who_says_nothing_or_says_it_too_slowly_is_shown_out(chamber, kind):
    assert Crowd(kind, chamber.port, 30, 70).seen()["open"] == 0


def test_of_two_hundred_silent_connections_few_are_kept(chamber):
    assert Crowd("silent", chamber.port, 200, 3).seen()["open"] <= 128


@pytest.mark.parametrize("kind", ["body", "claimed-body", "long-head"])
def test_a_stranger_is_not_listened_to_for_long(chamber, kind):
    with Growth(chamber.process.pid) as first:
        Crowd(kind, chamber.port, 1, 4).seen()
    with Growth(chamber.process.pid) as growth:
        seen = Crowd(kind, chamber.port, 1, 6).seen()
    assert first.mb < 64 and growth.mb < 30, (first.mb, growth.mb)  # buffers of one burst, and nothing that adds up
    if kind != "long-head":  # who connects again and again sends again and again
        assert seen["sent_mb"] < 20, seen


def test_answers_that_nobody_reads_take_no_memory(chamber):
    with Growth(chamber.process.pid) as growth:
        Crowd("deaf", chamber.port, 20, 4).seen()
    assert growth.mb < 30, growth.mb


def poll(chamber, firm):
    """A connection on which a member waits for news."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    made = context.wrap_socket(socket.create_connection(("127.0.0.1", chamber.port)))
    path = f"/v1/head?after={chamber.log.published_size()}&wait=25"
    lines = [f"{name}: {value}" for name, value in signed(chamber.url, firm, path).headers.items()]
    made.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
    return made


def test_a_member_with_hundreds_of_polls_does_not_starve_the_others(chamber):
    first, second = chamber.trust.firms[:2]
    crowd = []
    for _ in range(410):
        with suppress(OSError):  # it is too many already
            crowd.append(poll(chamber, first))
    time.sleep(1)
    took = []
    with httpx.Client(verify=False, timeout=60, trust_env=False) as client:
        for _ in range(20):
            began = time.perf_counter()
            assert client.send(signed(chamber.url, second, "/v1/head?after=0")).status_code == 200
            took.append(time.perf_counter() - began)
    for one in crowd:
        one.close()
    assert max(took) < 2, took


def test_a_stranger_leaves_nothing_in_the_database(chamber):
    """A request to join is signed by any key: nothing of it is kept before the invite was looked at."""
    office = open_office(read_home(chamber.home))
    with TestClient(make_app(office), base_url="https://testserver") as client:
        stranger = Firm(office, client)
        stranger.invite = stranger.invite | {"secret": "guess"}
        assert stranger.join(nonce="x").json()["code"] == "INVITE_UNKNOWN"
        assert stranger.join(nonce="n" * 10_000).json()["code"] == "BAD_SIGNATURE"
        with office.database.read() as session:
            assert not [row for row in session.exec(select(UsedNonce)) if row.nonce[0] in "xn"]
    office.database.close()


def test_who_goes_away_in_the_middle_of_a_body_is_refused_as_any_other():
    async def hangs_up():
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "path": "/v1/join", "headers": []}, hangs_up)
    with pytest.raises(Unavailable) as refused:
        anyio.run(anext, Bodies().of(request))
    assert refused.value.code == "CUT_OFF"
