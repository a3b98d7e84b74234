"""Two doors: nodes are shown the chamber's own certificate, browsers one that they trust."""

import os
import socket
import ssl
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.trust.certificates import make_certificates
from coordinator.trust.founding import found
from demo.cluster import free_port


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors")
    found(folder / "office", name="商会", domain="localhost")
    make_certificates(
        folder / "web", Ed25519PrivateKey.generate(), name="An authority of browsers", hosts=("localhost",)
    )
    return folder


def serve(folder, port, *words):
    line = "from coordinator.cli import main; main()"
    words = ["serve", "--port", str(port), *map(str, words), "--home", str(folder / "office"), "--lang", "en"]
    return subprocess.Popen(
        [sys.executable, "-c", line, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ,
    )


def is_trusted(port, authority):
    """Whether a client that trusts this authority alone is shown a certificate that it takes."""
    context = ssl.create_default_context(cafile=authority)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as plain:
                context.wrap_socket(plain, server_hostname="localhost").close()
            return True
        except ssl.SSLCertVerificationError:
            return False
        except OSError:
            time.sleep(0.1)
    raise AssertionError("nobody serves")


def test_nodes_and_browsers_are_each_shown_the_certificate_that_they_trust(place):
    port, tls_port = free_port(), free_port()
    web = place / "web"
    process = serve(place, port, "--tls", web / "server.pem", web / "server.key", "--tls-port", tls_port)
    try:
        own, browsers = place / "office" / "tls" / "ca.pem", web / "ca.pem"
        assert [is_trusted(port, own), is_trusted(port, browsers)] == [True, False]
        assert [is_trusted(tls_port, own), is_trusted(tls_port, browsers)] == [False, True]
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    "files",
    [("none.pem", "none.key"), ("web/server.pem", "office/tls/server.key"), ("web/server.key", "web/server.pem")],
)
def test_files_that_are_no_certificate_and_key_are_named_and_nothing_is_served(place, files):
    process = serve(place, free_port(), "--tls", *(place / file for file in files), "--tls-port", free_port())
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2 and len(told.splitlines()) == 3 and str(place / files[0]) in told
