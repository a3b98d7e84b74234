"""The independent monitor: what the coordinator shows, against what it showed before and what each witness has seen.

Its folder holds the leaf hashes and the largest checkpoint that were found right, and a proof for each contradiction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.evidence.reader import Evidence, kept_size, read_note, read_tile
from contracts.envelope import digest, key_id
from contracts.errors import Invalid, Malformed, TrustError, Unavailable
from contracts.log import tiles
from contracts.log.checkpoint import Note, NoteKey, auditor_name, cosign_note, parse_note, verify_log_signature
from contracts.log.contradiction import Contradiction, fork, truncation
from contracts.log.merkle import HASH, Tree, leaf_hash
from contracts.log.pins import Pins
from contracts.wording import N_
from shell.text_files import read_text


@dataclass(slots=True)
class Watched:
    """One look: the size that was found right, what was found wrong, and who could not be asked."""

    size: int = 0
    wrong: list[tuple[str, TrustError, Path | None]] = field(default_factory=list)
    unheard: list[tuple[str, TrustError]] = field(default_factory=list)


class Watch:
    """State in a folder; `look` may be called by a loop or once by cron."""

    def __init__(self, folder: Path, pins: Pins):
        self._folder, self._log = folder, pins.log()
        folder.mkdir(parents=True, exist_ok=True)
        self._tree, self._note = Tree(), None
        if (folder / "checkpoint").exists():
            self._note = parse_note(
                read_text(folder / "checkpoint", do=N_("choose another folder with --state, and keep this one"))
            )
            kept = (folder / "leaves").read_bytes()[: self._note.checkpoint.size * HASH]
            self._tree.extend(kept[at : at + HASH] for at in range(0, len(kept), HASH))

    def look(self, coordinator: Evidence, witnesses: Mapping[str, Evidence]) -> Watched:
        """Ask everyone once."""
        seen, views = Watched(), []
        for name, evidence, path in (
            ("coordinator", coordinator, "checkpoint"),
            *(("coordinator", coordinator, path) for path in _newest(coordinator)),
            *((name, held, f"{log_name(self._log)}/checkpoint") for name, held in witnesses.items()),
        ):
            try:
                note = read_note(evidence, path)
                verify_log_signature(note, self._log)
                views.append((name, note))
            except TrustError as error:
                seen.unheard.append((name, error))
        if self._note is not None:
            views.append(("watch", self._note))
        views.sort(key=lambda view: (view[0] != "coordinator", -view[1].checkpoint.size))
        for name, note in views:
            self._compare(coordinator, name, note, views, seen)
        seen.size = self._tree.size
        return seen

    def cosign(self, key: Ed25519PrivateKey, now: int) -> tuple[int, str] | None:
        """(size, signature line) of an auditor's key over the checkpoint that was found right last and is on disk."""
        if self._note is None:
            return None
        name = auditor_name(self._log.name, key_id(key.public_key()))
        return self._note.checkpoint.size, cosign_note(self._note, key, name=name, time=now)

    def _compare(
        self, coordinator: Evidence, name: str, note: Note, views: list[tuple[str, Note]], seen: Watched
    ) -> None:
        """Each view must lie on the tree that the coordinator's own tiles make."""
        size = note.checkpoint.size
        try:
            if size > self._tree.size:
                self._grow(coordinator, note)
            elif self._tree.root(size) != note.checkpoint.root:
                raise self._forked(note)
        except Unavailable as error:
            shown = max(
                (held for who, held in views if who == "coordinator"), key=lambda n: n.checkpoint.size, default=None
            )
            if shown is None or shown.checkpoint.size >= size:
                seen.unheard.append((name, error))
                return
            self._note_wrong(seen, name, self._shortened(size, shown), truncation(shown, note))
        except Invalid as error:
            self._note_wrong(seen, name, error, self._proof(coordinator, note, views))

    def _grow(self, coordinator: Evidence, note: Note) -> None:
        """Take the entries up to a checkpoint; Invalid if they lead elsewhere, Unavailable if they are not shown."""
        size, start = note.checkpoint.size, self._tree.size
        added = _leaves(coordinator, start, size)
        frontier = self._tree.frontier()
        for leaf in added:
            frontier.append(leaf)
        if frontier.root() != note.checkpoint.root:
            raise self._forked(note)
        self._tree.extend(added)
        self._note = note
        with (self._folder / "leaves").open("ab") as file:
            file.truncate(start * HASH)
            file.write(b"".join(added))
        part = self._folder / "checkpoint.part"
        part.write_text(note.text(), encoding="utf-8")
        part.replace(self._folder / "checkpoint")

    def _proof(self, coordinator: Evidence, note: Note, views: list[tuple[str, Note]]) -> Contradiction | None:
        """What convinces a stranger: two signed notes, and one tree that rebuilds the larger."""
        others = [held for _, held in views if held is not note]
        size = max((held.checkpoint.size for held in (note, *others)), default=0)
        trees = [self._tree]
        try:
            fresh = Tree(_leaves(coordinator, 0, min(size, note.checkpoint.size)))
            trees += [fresh, Tree(_leaves(coordinator, 0, size))]
        except TrustError:
            pass  # what is not shown proves nothing; what is at hand may suffice
        for tree in trees:
            for other in others:
                if max(note.checkpoint.size, other.checkpoint.size) <= tree.size:
                    try:
                        return fork(note, other, tree)
                    except ValueError:
                        continue
        return None

    def _forked(self, note: Note) -> Invalid:
        return Invalid(
            N_("the checkpoint of size {size} is not on the tree that the coordinator shows"),
            code="EQUIVOCATION",
            size=note.checkpoint.size,
        )

    def _shortened(self, size: int, shown: Note) -> Invalid:
        return Invalid(
            N_(
                "the log signed {size} entries and now shows {shown}: an older database was restored and is not "
                "recovered, or entries are hidden"
            ),
            code="TRUNCATED",
            size=size,
            shown=shown.checkpoint.size,
        )

    def _note_wrong(self, seen: Watched, name: str, error: TrustError, proof: Contradiction | None) -> None:
        path = None
        if proof is not None:
            text = proof.model_dump_json(indent=1)
            path = self._folder / "proofs" / f"{proof.kind}-{digest(text.encode())[7:23]}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        seen.wrong.append((name, error, path))


def _newest(coordinator: Evidence) -> list[str]:
    """The newest published checkpoint, which may lack its cosignatures yet."""
    sizes = [size for size in map(kept_size, coordinator.paths()) if size is not None]
    return [f"checkpoints/{max(sizes)}"] if sizes else []


def _leaves(evidence: Evidence, start: int, end: int) -> list[bytes]:
    """Leaf hashes start..end-1 from the served entries; Unavailable where they end before."""
    leaves: list[bytes] = []
    for name in tiles.bundle_names(end):
        if (name.n + 1) * tiles.WIDTH <= start:
            continue
        try:
            data = read_tile(evidence, name)
            if data is None:
                raise Unavailable(N_("{path} is not shown"), path=name.path())
            entries = tiles.parse_bundle(data, name.width)
        except Malformed as error:
            raise Invalid(N_("{path} is not an entry bundle"), path=name.path(), code="TREE_MISMATCH") from error
        leaves += map(leaf_hash, entries[max(0, start - name.n * tiles.WIDTH) :])
    return leaves


def log_name(log: NoteKey) -> str:
    """How a witness's monitoring path names a log."""
    return hashlib.sha256(log.name.encode()).hexdigest()
