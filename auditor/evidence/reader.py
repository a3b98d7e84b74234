"""One reader for evidence, whether it lies in a folder or is served at a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import httpx

from contracts.errors import Malformed, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import Note, parse_note
from contracts.wording import N_
from shell.answers import fetch, read_json

SIZE_LIMIT = 64 * 2**20  # bytes of a file, unpacked: a model, or a contribution of four million numbers


class Evidence(Protocol):
    """Files of a log by their path below its prefix."""

    def read(self, path: str) -> bytes | None:
        """The bytes at `path`, None if there are none; Unavailable if nobody can tell."""

    def paths(self) -> list[str]:
        """Every file present; of a URL only what it can list."""


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
        return file.read_bytes() if file.is_file() else None

    def paths(self) -> list[str]:
        """See Evidence. As the folder was when it was first asked."""
        return list(self._paths)

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if p.is_file())


class Served:
    """A coordinator's address; `client` carries the trusted CA and, if admitted, the auditor's signature."""

    def __init__(self, url: str, client: httpx.Client):
        self._url, self._client = url.rstrip("/"), client

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        try:
            answer = fetch(self._client, self._client.build_request("GET", f"{self._url}/{path}"), SIZE_LIMIT)
        except httpx.HTTPError as error:
            raise Unavailable(
                N_("{url} cannot be reached"),
                why=N_("{error}"),
                do=N_("check the address and the network"),
                url=self._url,
                error=error,
            ) from error
        if answer.status_code in (401, 403, 404):
            return None
        if answer.status_code != 200:
            raise Unavailable(
                N_("{url} answered {status} for {path}"), url=self._url, status=answer.status_code, path=path
            )
        return answer.content

    def send(self, path: str, value: dict[str, object]) -> None:
        """Hand something to the coordinator; Unavailable if it is not taken."""
        try:
            asked = self._client.build_request("POST", f"{self._url}/{path}", json=value)
            answer = fetch(self._client, asked, SIZE_LIMIT)
        except httpx.HTTPError as error:
            raise Unavailable(
                N_("{url} cannot be reached"),
                why=N_("{error}"),
                do=N_("check the address and the network"),
                url=self._url,
                error=error,
            ) from error
        if answer.status_code != 200:
            raise Unavailable(
                N_("{url} answered {status} for {path}"), url=self._url, status=answer.status_code, path=path
            )

    def paths(self) -> list[str]:
        """The kept checkpoints: nothing else at an address can be listed."""
        listed = self.read("checkpoints")
        try:
            sizes = read_json(listed or b"[]")
            return [f"checkpoints/{int(size)}" for size in sizes]
        except (ValueError, TypeError, RecursionError) as error:
            raise Unavailable(N_("{url} lists its checkpoints in an unknown form"), url=self._url) from error


def document_path(name: str) -> str:
    """Where the document of this digest lies."""
    return f"documents/{name.removeprefix('sha256:')}"


def required(evidence: Evidence, path: str) -> bytes:
    """The bytes at `path`; Unavailable if they are absent."""
    data = evidence.read(path)
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
    evidence: Evidence, size: int, tick: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[tiles.TileName, list[bytes]]]:
    """The entry bundles of the first `size` entries in order, one in memory at a time; Malformed names the file."""
    for name in tiles.bundle_names(size):
        path = name.path()
        try:
            entries = tiles.parse_bundle(required(evidence, path), name.width)
        except Malformed as error:
            raise Malformed(N_("{path} is not an entry bundle"), path=path, code="TREE_MISMATCH") from error
        yield name, entries
        tick(name.n * tiles.WIDTH + name.width)
