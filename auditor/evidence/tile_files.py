"""Files beside the canonical ones: older partial tiles, the policy, documents. An unknown file is a finding."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress

from auditor.evidence.reader import Evidence, read_tile
from auditor.findings import AuditStep
from contracts.envelope import digest
from contracts.errors import Malformed, TrustError
from contracts.log import tiles
from contracts.log.checkpoint import NoteKey
from contracts.log.tiles import TileName
from contracts.rules.state import TrustState
from contracts.wording import N_

CHECKED_ELSEWHERE = ("checkpoint", "checkpoints/", "receipts/")


class TileFiles:
    """Compares served hash tiles and older partial tiles with the ones rebuilt from the entries."""

    def __init__(self, evidence: Evidence, size: int, step: AuditStep):
        self._evidence, self._step = evidence, step
        self._altered: list[TileName] = []
        self._missing: list[str] = []
        self._partials: defaultdict[tuple[int | None, int], list[TileName]] = defaultdict(list)
        self._beyond: list[TileName] = []
        for path in (path for path in evidence.paths() if path.startswith("tile/")):
            self._note_partial(path, size)

    def _note_partial(self, path: str, size: int) -> None:
        try:
            name = tiles.parse_path(path)
        except Malformed as error:
            self._step.caught(error, path)
            return
        if name.level is None and tiles.reach(name) > size:
            self._beyond.append(name)
        elif not tiles.is_of(name, size):
            self._partials[name.level, name.n].append(name)

    def compare(self, name: TileName, rebuilt: bytes) -> None:
        """A hash tile as the entries give it, against the served one."""
        served = self._read(name)
        if served is None:
            self._missing.append(name.path())
        elif served != rebuilt:
            self._altered.append(name)
        for partial in self._partials.pop((name.level, name.n), ()):
            self._is_start(partial, rebuilt[: 32 * partial.width] if partial.width <= name.width else None)

    def bundle(self, name: TileName, entries: list[bytes]) -> None:
        """Older partial bundles must be the start of this one."""
        for partial in self._partials.pop((None, name.n), ()):
            self._is_start(partial, tiles.bundle(entries[: partial.width]))

    def _is_start(self, name: TileName, expected: bytes | None) -> None:
        if self._read(name) != expected:
            self._step.add("TREE_MISMATCH", N_("{file} does not belong to this log"), name.path(), file=name.path())

    def _read(self, name: TileName) -> bytes | None:
        try:
            return read_tile(self._evidence, name)
        except Malformed:
            return b""  # larger than any tile: not this one, at least

    def conclude(self, rooted: bool, waiting: int) -> None:
        """Name what was altered: the tile if the entries lead to the signed root, else the bundle beside it. Bundles of
        the first `waiting` entries, as wide as there are any, led to a signed root."""
        for name in self._altered:
            if rooted or name.level == 0:
                file = name.path() if rooted else TileName(None, name.n, name.width).path()
                self._step.add("TREE_MISMATCH", N_("{file} does not agree with the signed root"), file, file=file)
        for names in self._partials.values():
            for name in names:
                self._step.skip(N_("{path} reaches beyond the checkpoint"), path=name.path())
        for name in self._beyond:
            self._is_start(name, self._start(name, waiting))
        if self._missing:
            self._step.skip(
                N_("{n} hash tiles are missing, the first is {path}"), n=len(self._missing), path=self._missing[0]
            )

    def _start(self, name: TileName, waiting: int) -> bytes | None:
        """What a bundle holds if it belongs to the first `waiting` entries, None if it reaches beyond them."""
        if tiles.reach(name) > waiting:
            return None
        widest = TileName(None, name.n, min(tiles.WIDTH, waiting - name.n * tiles.WIDTH))
        return tiles.bundle(tiles.parse_bundle(self._read(widest) or b"", widest.width)[: name.width])


def other_files(evidence: Evidence, log: NoteKey, state: TrustState, step: AuditStep, *, size: int) -> None:
    """Policy and documents follow from the log of `size`; anything else does not belong to a log."""
    with suppress(Malformed):  # one that is too large is found below
        if evidence.read("policy") is None:
            step.skip(N_("the policy file is not at hand"))
    for path in evidence.paths():
        if path.startswith(("tile/", *CHECKED_ELSEWHERE)):
            continue
        if path == "policy" and state.size < size:
            step.skip(N_("the policy file: entries that say what it holds could not be read"))
            continue
        try:
            holds = _holds(path, evidence.read(path) or b"", log, state)
        except Malformed as error:
            step.caught(error, path)
            continue
        except (TrustError, UnicodeDecodeError):
            holds = False
        if not holds:
            step.add("TREE_MISMATCH", N_("{file} is not what the log says"), path, file=path)


def _holds(path: str, data: bytes, log: NoteKey, state: TrustState) -> bool:
    kind, _, rest = path.partition("/")
    if kind == "documents":
        return digest(data) == f"sha256:{rest}"
    if path == "policy":
        text = data.decode("utf-8")
        return text == state.quorum_at(state.size).policy(log, text.partition("\n")[0].rpartition(" ")[2])
    return False
