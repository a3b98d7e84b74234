"""What a server answers, as far as a client reads it: at most so many bytes unpacked, and not for ever.

httpx unpacks each piece of an answer whole, and a piece may say that it was packed twice: a few kilobytes become
gigabytes. Here an answer is plain or packed once, and is unpacked only as far as the limit.
"""

from __future__ import annotations

import json
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from contracts.errors import Unavailable
from contracts.wording import N_

ANSWER_S = 600.0  # of one answer in all: 64 MiB on a line of 1 Mbit/s
MOST_PARTS = 2**20  # of a JSON answer: a list of all checkpoints of ten years
_GZIP = 31  # zlib's word for a gzip header
_SEPARATORS = (b",", b"[", b"{")
_FRAMING = (b"content-encoding", b"content-length", b"transfer-encoding")


class TooLarge(httpx.HTTPError):
    """An answer that unpacks to more than its reader takes, or that takes too long."""


def make_client(**options: Any) -> httpx.Client:
    """A client with httpx's `options`; Unavailable if this machine's settings name a proxy that it cannot use."""
    try:
        return httpx.Client(**options)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise Unavailable(
            N_("the proxy of this machine cannot be used"),
            why=N_("{error}"),
            do=N_("correct HTTPS_PROXY and ALL_PROXY, or name the chamber's host in NO_PROXY"),
            code="PROXY",
            error=error,
        ) from error


def fetch(client: httpx.Client, request: httpx.Request, limit: int) -> httpx.Response:
    """The answer to a request, its body read, and in `extensions` when its certificate ends; TooLarge instead of a body
    of more than `limit` bytes, DecodingError of one that is torn or packed in another way."""
    request.headers["Accept-Encoding"] = "gzip"
    answer = client.send(request, stream=True)
    ends = certificate_end(answer)
    try:
        body = b"".join(_within(_unpacked(answer, limit), limit))
    finally:
        answer.close()
    headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in _FRAMING]
    known = {"certificate_ends": ends}
    return httpx.Response(answer.status_code, headers=headers, content=body, request=request, extensions=known)


def certificate_end(answer: httpx.Response) -> datetime | None:
    """When the certificate ends under which this answer comes; None without TLS. Before the answer is closed."""
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    shown = tls.getpeercert() if tls is not None else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC) if shown else None


def read_json(data: bytes) -> Any:
    """A JSON value of few parts; ValueError for others: each costs a hundred times its bytes."""
    if sum(map(data.count, _SEPARATORS)) > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS} parts")
    return json.loads(data)


def _unpacked(answer: httpx.Response, limit: int) -> Iterator[bytes]:
    """The body in pieces of at most `limit` + 1 bytes, as far as they come."""
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        yield from answer.iter_raw()
        return
    if encoding != "gzip":
        raise httpx.DecodingError(f"the answer is packed by {encoding[:40]}")
    unpack = zlib.decompressobj(_GZIP)
    for part in answer.iter_raw():
        try:
            yield unpack.decompress(part, limit + 1)
        except zlib.error as error:
            raise httpx.DecodingError("the answer cannot be unpacked") from error
        if unpack.unused_data:
            raise httpx.DecodingError("the answer goes on after its end")
    if not unpack.eof:
        raise httpx.DecodingError("the answer breaks off")


def _within(parts: Iterable[bytes], limit: int) -> Iterator[bytes]:
    got, end = 0, time.monotonic() + ANSWER_S
    for part in parts:
        got += len(part)
        if got > limit:
            raise TooLarge(f"the answer has more than {limit} bytes")
        if time.monotonic() > end:
            raise TooLarge(f"the answer takes more than {ANSWER_S:.0f} seconds")
        yield part
