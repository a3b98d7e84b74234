"""What nobody foresaw at a server's door costs one connection, never the door."""

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import shell.door
from client_node.link.witness_server import serve


@pytest.fixture
def url():
    listener = socket.create_server(("127.0.0.1", 0))
    stop = serve(Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))]), listener)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    stop()


def once(monkeypatch, where, name, failure):
    """The first call fails; the others are as they were."""
    real, left = getattr(where, name), [failure]

    def called(*words, **options):
        if left:
            raise left.pop()
        return real(*words, **options)

    monkeypatch.setattr(where, name, called)


@pytest.mark.parametrize(
    ("where", "name"), [(shell.door, "network_of"), (shell.door, "_Entry"), (shell.door.Door, "enter")]
)
def test_a_connection_that_breaks_what_admits_it_is_the_only_one_lost(url, monkeypatch, capsys, where, name):
    assert httpx.get(url).text == "here"
    once(monkeypatch, where, name, ValueError("nobody foresaw this"))
    with pytest.raises(httpx.TransportError):
        httpx.get(url, timeout=5)
    assert httpx.get(url, timeout=5).text == "here"
    assert "nobody foresaw this" in capsys.readouterr().out, "and it is said"
