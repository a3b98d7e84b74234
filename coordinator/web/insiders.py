"""Who may see what the log keeps to itself, until people sign in: the office's own machine, or who has the office's code."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from fastapi import Request

from contracts.envelope import key_id
from coordinator.settings import Settings, write_private
from shell.addresses import is_own

FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


def code_of(settings: Settings) -> str:
    """The office's code, made at the first use; whoever deletes its file ends it."""
    path = settings.home / "office.code"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode("ascii"))
    return path.read_text(encoding="ascii")


def cookie_of(settings: Settings) -> str:
    """Browsers send a cookie to every port of a machine, so two chambers on one need a name each."""
    return f"mengbang-office-{key_id(settings.log_key.public_key())[7:15]}"


def is_code(shown: str, settings: Settings) -> bool:
    """Compared in constant time; none, where none was made."""
    path = settings.home / "office.code"
    held = path.read_bytes() if path.exists() else b""
    return bool(held) and secrets.compare_digest(shown.encode("utf-8", "replace"), held)


def is_insider(request: Request, settings: Settings, *, is_proxied: bool) -> bool:
    """Does this request come from the office's own machine, by one of its names and not through a proxy, or with the
    code? A page of another site can point a name of its own at this machine; it cannot make it one of ours."""
    if is_code(request.cookies.get(cookie_of(settings), ""), settings):
        return True
    if is_proxied or any(name in request.headers for name in FORWARDING):
        return False
    own = {"localhost", settings.domain, urlsplit(settings.url).hostname}
    host = request.url.hostname or ""
    return is_own(request.client.host if request.client else "") and (host in own or is_own(host))
