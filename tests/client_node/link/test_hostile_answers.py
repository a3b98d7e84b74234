"""Answers that are small on the wire and large when unpacked: nodes and auditors take no more than they use."""

import gzip
import threading
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from auditor.evidence.reader import ServedEvidence
from client_node.link.uplink import Uplink, answered
from contracts.errors import Malformed, Unavailable

MIB = 2**20


def zeros(mib):
    """So many MiB, packed."""
    pack, block = zlib.compressobj(9, wbits=31), bytes(MIB)
    return b"".join([*(pack.compress(block) for _ in range(mib)), pack.flush()])


ANSWERS = {  # how it is packed, what is sent
    "/packed": ("gzip", zeros(1024)),
    "/packed-twice": ("gzip, gzip", gzip.compress(zeros(1024))),
    "/lists": ("identity", b'{"checkpoint":[' + b"[]," * (10 * MIB) + b"[]]}"),
    "/lists-packed": ("gzip", gzip.compress(b'{"checkpoint":[' + b"[]," * (10 * MIB) + b"[]]}")),
    "/checkpoints": ("gzip", gzip.compress(b"[" + b"1," * (30 * MIB) + b"1]")),
    "/torn": ("gzip", gzip.compress(bytes(1000))[:20]),
    "/goes-on": ("gzip", gzip.compress(b'{"checkpoint":null}') + bytes(300 * MIB)),
    "/two": ("gzip", gzip.compress(b'{"checkpoint":') + gzip.compress(b"null}")),
    "/good": ("gzip", gzip.compress(b'{"checkpoint":null}')),
}


class Office(BaseHTTPRequestHandler):
    """A coordinator that answers what it likes."""

    def do_GET(self):
        encoding, body = ANSWERS[self.path]
        self.send_response(200)
        self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        """Say nothing."""


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Office)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


class AnyMessage:
    """An egress that lets everything out."""

    def check(self, *_words):
        """See Egress."""

    def record(self, *_words):
        """See Egress."""


@pytest.fixture
def uplink(url, monkeypatch):
    monkeypatch.setattr("client_node.link.uplink.trusted", lambda *_words: {})
    monkeypatch.setattr("client_node.link.uplink.note_end", lambda *_words: None)
    monkeypatch.setattr("client_node.link.uplink.sign_request", lambda *_words, **_options: None)

    class Settings:
        node_key = home = None

    return Uplink(Settings(), AnyMessage(), {"url": url})


@pytest.fixture
def peak():
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()


@pytest.mark.parametrize("path", ["/packed", "/packed-twice", "/torn", "/goes-on", "/two"])
def test_a_node_unpacks_no_more_than_it_takes(uplink, peak, path):
    with pytest.raises(Unavailable, match="cannot be reached"):
        uplink.ask("tile", "GET", path)
    assert peak() < 250


@pytest.mark.parametrize("path", ["/lists", "/lists-packed"])
def test_a_node_builds_no_object_of_a_million_parts(uplink, peak, path):
    with pytest.raises(Unavailable):
        answered(uplink.ask("head", "GET", path), "checkpoint")
    assert peak() < 250


def test_an_honest_answer_is_read(uplink):
    assert answered(uplink.ask("head", "GET", "/good"), "checkpoint") is None


@pytest.mark.parametrize(
    ("path", "told"),
    [("packed", "larger than any"), ("packed-twice", "cannot be reached"), ("torn", "cannot be reached")],
)
def test_an_auditor_unpacks_no_more_than_it_takes(url, peak, path, told):
    with httpx.Client() as client, pytest.raises((Malformed, Unavailable), match=told):
        ServedEvidence(url, client).read(path)
    assert peak() < 250


def test_an_auditor_takes_no_list_without_an_end(url, peak):
    with httpx.Client() as client, pytest.raises(Unavailable):
        ServedEvidence(url, client).paths()
    assert peak() < 250
