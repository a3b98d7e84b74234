"""Requests as a member's node signs them."""

import secrets
from datetime import UTC, datetime

import httpx

from contracts.statements.requests import sign_request


def signed(url, firm, path, method="GET", body=b""):
    """A request of a simulated firm."""
    request = httpx.Request(method, f"{url}{path}", content=body)
    sign_request(request, body, firm.node, nonce=secrets.token_hex(16), now=datetime.now(UTC))
    return request
