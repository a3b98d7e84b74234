"""Strangers at the ports of a member's machine, witness and local interface: the same door as a coordinator's."""

import socket

import pytest
from starlette.applications import Starlette

from client_node.link.witness_server import serve
from shell.door import HEAD_S, MOST_STRANGERS
from strangers import Crowd


@pytest.fixture
def port():
    listener = socket.create_server(("127.0.0.1", 0))
    stop = serve(Starlette(), listener)
    yield listener.getsockname()[1]
    stop()


@pytest.mark.parametrize("kind", ["plain silent", "plain slow-head"])
def test_who_says_nothing_is_shown_out(port, kind):
    assert Crowd(kind, port, 20, int(HEAD_S) + 5).seen()["open"] == 0


def test_a_crowd_displaces_itself(port):
    assert Crowd("plain silent", port, 300, 3).seen()["open"] <= MOST_STRANGERS
    with socket.create_connection(("127.0.0.1", port), timeout=5) as guest:
        guest.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert guest.recv(12) == b"HTTP/1.1 404"
