"""Proof that a log signed two histories, or shows less than it signed. Whoever holds its key is convinced by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from contracts.envelope import from_base64, to_base64
from contracts.errors import Invalid, Malformed
from contracts.fields import Strict
from contracts.log.checkpoint import Note, NoteKey, parse_note, verify_log_signature
from contracts.log.merkle import Tree, verify_consistency
from contracts.wording import N_

Kind = Literal["fork", "truncated"]


class Contradiction(Strict):
    """Two notes of one log, smaller first. `root` and `proof` show what the larger one holds at the smaller size.

    `truncated`: the smaller note was shown after the larger one had been signed.
    """

    format: Literal["mengbang-contradiction/1"] = "mengbang-contradiction/1"
    kind: Kind
    smaller: str
    larger: str
    root: str
    proof: tuple[str, ...]


def fork(one: Note, other: Note, tree: Tree) -> Contradiction:
    """The proof that two notes contradict each other; `tree` rebuilds the larger. ValueError if they do not."""
    smaller, larger = sorted((one, other), key=lambda note: note.checkpoint.size)
    at, size = smaller.checkpoint, larger.checkpoint.size
    if (at.size < size and tree.root(size) != larger.checkpoint.root) or tree.root(at.size) == at.root:
        raise ValueError("these notes do not contradict each other on this tree")
    same = at.size == size
    return Contradiction(
        kind="fork",
        smaller=smaller.text(),
        larger=larger.text(),
        root="" if same else to_base64(tree.root(at.size)),
        proof=() if same else tuple(to_base64(h) for h in tree.consistency_proof(at.size, size)),
    )


def truncation(shown: Note, signed: Note) -> Contradiction:
    """What was shown, beside the larger checkpoint that the log had signed before."""
    return Contradiction(kind="truncated", smaller=shown.text(), larger=signed.text(), root="", proof=())


@dataclass(frozen=True, slots=True)
class Proven:
    """Two notes that one log signed and that contradict each other, smaller first."""

    kind: Kind
    smaller: Note
    larger: Note


def judge(text: bytes, log: NoteKey) -> Proven:
    """The contradiction that `text` proves against `log`; Malformed if unreadable, Invalid if it proves nothing."""
    try:
        claimed = Contradiction.model_validate_json(text)
    except ValidationError as error:
        raise Malformed(N_("this is not a proof of a contradiction")) from error
    smaller, larger = parse_note(claimed.smaller), parse_note(claimed.larger)
    verify_log_signature(smaller, log)
    verify_log_signature(larger, log)
    old, new = smaller.checkpoint, larger.checkpoint
    if claimed.kind == "truncated":
        proven = old.size < new.size
    elif old.size == new.size:
        proven = old.root != new.root
    else:
        root = from_base64(claimed.root)
        verify_consistency(old.size, root, new.size, new.root, [from_base64(h) for h in claimed.proof])
        proven = 0 < old.size < new.size and root != old.root
    if not proven:
        raise Invalid(N_("these two checkpoints do not contradict each other"))
    return Proven(claimed.kind, smaller, larger)
