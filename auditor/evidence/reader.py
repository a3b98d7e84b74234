"""One reader for evidence, whether it lies in a folder or is served at a URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import httpx

from contracts.envelope import ENTRY_MAX_BYTES, loose_json
from contracts.errors import Malformed, TrustError, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import Note, parse_note
from contracts.wording import N_
from privacy.plan import MAX_LENGTH
from shell.answers import TooLarge, fetch
from shell.certificates import ended_or_early, is_of_tls

SIZE_LIMIT = 64 * 2**20
NOTE_LIMIT = 4 * 2**20  # some 25,000 cosignatures
DOCUMENT_LIMIT = 32 * MAX_LENGTH + 2**20  # the state of a step is four times its model: no plan has a larger document
BUNDLE_LIMIT = tiles.WIDTH * (2 + ENTRY_MAX_BYTES)


def limit_of(path: str) -> int:
    """How many bytes a file of this path may have: nothing that is larger is read."""
    kind = path.partition("/")[0]
    if kind == "tile":
        return BUNDLE_LIMIT
    if kind in ("checkpoint", "checkpoints", "policy"):
        return NOTE_LIMIT
    return DOCUMENT_LIMIT if kind == "documents" else SIZE_LIMIT


def _too_large(path: str) -> Malformed:
    return Malformed(
        N_("{path} is larger than any file of its kind may be"),
        why=N_("at most {limit} bytes are read"),
        code="TOO_LARGE",
        path=path,
        limit=limit_of(path),
    )


class Evidence(Protocol):
    """Files of a log by their path below its prefix."""

    def read(self, path: str) -> bytes | None:
        """The bytes at `path`, None if there are none; Unavailable if nobody can tell, Malformed (TOO_LARGE) if they
        are more than such a file may have."""

    def paths(self) -> list[str]:
        """Every file present; of a URL only what it can list."""


class Remembered:
    """Evidence that knows which of its files was read last: the one to name when a check stumbles."""

    def __init__(self, evidence: Evidence):
        self._evidence, self.last = evidence, ""

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        self.last = path
        return self._evidence.read(path)

    def paths(self) -> list[str]:
        """See Evidence."""
        return self._evidence.paths()


class Folder:
    """A mirror folder."""

    def __init__(self, root: Path):
        if not root.is_dir():
            raise Unavailable(
                N_("there is no folder {path}"),
                why=N_("the evidence to check must lie in it"),
                do=N_("make one with: auditor mirror URL DIR"),
                path=root,
            )
        self._root = root

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        file = self._root / path
        if not file.is_file():
            return None
        if file.stat().st_size > limit_of(path):
            raise _too_large(path)
        return file.read_bytes()

    def paths(self) -> list[str]:
        """See Evidence. As the folder was when it was first asked."""
        return list(self._paths)

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if p.is_file())


class ServedEvidence:
    """A coordinator's address; `client` carries the trusted CA and, if admitted, the auditor's signature."""

    def __init__(self, url: str, client: httpx.Client):
        self._url, self._client = url.rstrip("/"), client

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        try:
            answer = fetch(self._client, self._client.build_request("GET", f"{self._url}/{path}"), limit_of(path))
        except TooLarge as error:
            raise _too_large(path) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if answer.status_code in (401, 403, 404):
            return None
        if answer.status_code != 200:
            raise self._refused(answer.status_code, path)
        return answer.content

    def send(self, path: str, value: dict[str, object]) -> None:
        """Hand something to the coordinator; Unavailable if it is not taken."""
        try:
            asked = self._client.build_request("POST", f"{self._url}/{path}", json=value)
            answer = fetch(self._client, asked, SIZE_LIMIT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if answer.status_code != 200:
            raise self._refused(answer.status_code, path)

    def paths(self) -> list[str]:
        """The kept checkpoints: nothing else at an address can be listed."""
        try:
            return [f"checkpoints/{size}" for size in read_sizes(self.read("checkpoints") or b"[]")]
        except Malformed as error:
            raise Unavailable(N_("{url} lists its checkpoints in an unknown form"), url=self._url) from error

    def _unreachable(self, error: Exception) -> TrustError:
        if is_of_tls(error):
            return ended_or_early(self._url, error) or Unavailable(
                N_("{url} shows a certificate that is not trusted here"),
                why=N_("a chamber has a CA of its own, which stands in the pins of its members: {error}"),
                do=N_(
                    "give a member's pins: auditor verify {url} --pins pins.json. If you gave them: a member whose "
                    "node has followed the log since writes new ones (client-node pins); else do not go on"
                ),
                code="CA",
                url=self._url,
                error=error,
            )
        return Unavailable(
            N_("{url} cannot be reached"),
            why=N_("{error}"),
            do=N_("check the address and the network"),
            url=self._url,
            error=error,
        )

    def _refused(self, status: int, path: str) -> Unavailable:
        return Unavailable(N_("{url} answered {status} for {path}"), url=self._url, status=status, path=path)


def read_sizes(data: bytes) -> list[int]:
    """The sizes of kept checkpoints in a list of them; Malformed otherwise."""
    match loose_json(data):
        case list(sizes) if all(type(size) is int and 0 <= size < 2**53 for size in sizes):
            return sizes
    raise Malformed(N_("this is not a list of sizes"))


def kept_size(path: str) -> int | None:
    """The size of a kept checkpoint by its path, None of any other path."""
    match = re.fullmatch(r"checkpoints/(0|[1-9][0-9]{0,15})", path)
    return int(match[1]) if match else None


def document_path(name: str) -> str:
    """Where the document of this digest lies."""
    return f"documents/{name.removeprefix('sha256:')}"


def required(evidence: Evidence, path: str) -> bytes:
    """The bytes at `path`; Unavailable if they are absent."""
    return _there(evidence.read(path), path)


def read_tile(evidence: Evidence, name: tiles.TileName) -> bytes | None:
    """The bytes of a tile, of a partial one also as the start of the full one, which takes its place as the log grows
    (C2SP tlog-tiles); None if neither is there."""
    held = evidence.read(name.path())
    if held is not None or name.width == tiles.WIDTH:
        return held
    full = evidence.read(tiles.TileName(name.level, name.n).path())
    return None if full is None else tiles.start_of(full, name)


def required_tile(evidence: Evidence, name: tiles.TileName) -> bytes:
    """The same; Unavailable if neither is there."""
    return _there(read_tile(evidence, name), name.path())


def _there(data: bytes | None, path: str) -> bytes:
    if data is None:
        raise Unavailable(
            N_("{path} is missing"),
            why=N_("without it nothing can be checked"),
            do=N_("fetch the log again: auditor mirror URL DIR"),
            path=path,
        )
    return data


def read_note(evidence: Evidence, path: str) -> Note:
    """The signed checkpoint at `path`; Malformed names the file."""
    try:
        return parse_note(required(evidence, path).decode("utf-8"))
    except (Malformed, UnicodeDecodeError) as error:
        raise Malformed(N_("{path} is not a signed checkpoint"), path=path) from error


def read_bundles(
    evidence: Evidence, size: int, tick: Callable[[int], None] = lambda done: None, *, start: int = 0
) -> Iterator[tuple[tiles.TileName, list[bytes]]]:
    """The entry bundles of the first `size` entries in order, from the one that holds entry `start` on, one in memory
    at a time; Malformed names the file."""
    for name in tiles.bundle_names(size, start // tiles.WIDTH):
        path = name.path()
        try:
            entries = tiles.parse_bundle(required_tile(evidence, name), name.width)
        except Malformed as error:
            raise Malformed(N_("{path} is not an entry bundle"), path=path, code="TREE_MISMATCH") from error
        yield name, entries
        tick(name.n * tiles.WIDTH + name.width)
