"""Names under which a chamber is reached: host names in any script, IP addresses, and the address that members type."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

import idna

from contracts.errors import Malformed
from contracts.wording import N_

MOST_DOMAIN = 200  # characters; the log's origin adds to it


def host_name(text: str) -> str:
    """The ASCII form of a host name, or an IP address as it is written shortest; Malformed if it is neither."""
    bare = text.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    try:
        name = idna.encode(bare.removesuffix("."), uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise _no_host(text, error=error) from error
    if name.rpartition(".")[2].isdigit() or len(name) > MOST_DOMAIN:
        raise _no_host(text, N_("it is no IP address, and no name ends with a number or is that long"))
    return name


def address(text: str) -> str:
    """The address `https://HOST[:PORT]` in its ASCII form; Malformed if members could not use it."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise _no_address(text, error=error) from error
    if parts.scheme != "https" or not parts.hostname or _says_more(parts):
        raise _no_address(text, N_("it is read as https://HOST or https://HOST:PORT and nothing else"))
    host = host_name(parts.hostname)
    written = f"[{host}]" if ":" in host else host
    return f"https://{written}" + (f":{port}" if port is not None else "")


def host_of(url: str) -> str:
    """The host of an address that `address` gave."""
    return host_name(urlsplit(url).hostname or "")


def _says_more(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password)


def _no_host(text: str, why: str = N_("{error}"), error: object = "") -> Malformed:
    return Malformed(
        N_("{text} is no host name"),
        why=why,
        do=N_("write a name such as hub.example, or an IP address: --domain NAME"),
        code="HOST",
        text=text,
        error=error,
    )


def _no_address(text: str, why: str = N_("{error}"), error: object = "") -> Malformed:
    return Malformed(
        N_("{text} is no address that members can reach"),
        why=why,
        do=N_("write it as in --url https://hub.example:8443"),
        code="HOST",
        text=text,
        error=error,
    )
