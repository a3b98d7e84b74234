"""Who may see what the log keeps to itself, until people sign in: the office's own machine, or
who has the office's code."""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlsplit

from fastapi import Request

from contracts.envelope import key_id
from contracts.errors import Malformed, TrustError
from contracts.wording import N_
from coordinator.settings import Settings, write_private
from shell.addresses import is_own
from shell.text_files import UNREADABLE, read_text

_CODE = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes that nobody guesses
FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


def code_of(settings: Settings) -> str:
    """The office's code, made at the first use; whoever deletes its file ends it."""
    path = settings.home / "office.code"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode("ascii"))
    do = N_("delete it; a new one is made")
    code = read_text(path, do=do).strip()
    if not _CODE.fullmatch(code):
        raise Malformed(UNREADABLE, why=N_("it holds no code of an office"), do=do, path=path)
    return code


def cookie_of(settings: Settings) -> str:
    """Browsers send a cookie to every port of a machine, so two chambers on one need a name each."""
    return f"mengbang-office-{key_id(settings.log_key.public_key())[7:15]}"


def is_code(shown: str, settings: Settings) -> bool:
    """Compared in constant time; none, where none was made."""
    if not (settings.home / "office.code").exists():
        return False
    try:
        held = code_of(settings)
    except TrustError:
        return False
    return secrets.compare_digest(shown.encode("utf-8", "replace"), held.encode())


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
