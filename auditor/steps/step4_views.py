"""Other views of the log: what members pinned, checkpoints that were kept, what statements say they had seen.

All of them must lie on the one tree that the entries give (step 4). A view that does not is shown with both signed
notes: whoever holds the pins can check them without believing this auditor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auditor.evidence.reader import Evidence
from auditor.findings import AuditStep
from auditor.steps.step3_tree import TiledTree
from contracts.errors import Invalid, TrustError, Unavailable
from contracts.log.checkpoint import Note, NoteKey, parse_note, verify_log_signature
from contracts.log.pins import Pins
from contracts.rules.findings import Finding
from contracts.statements.statements import Seen
from contracts.wording import N_, Lines


@dataclass(frozen=True, slots=True)
class View:
    """A (size, root) that somebody saw; `note` is there if the log signed it, `file` if it is part of the evidence."""

    size: int
    root: bytes
    file: str
    note: Note | None = None


def pinned_view(pins: Pins) -> View:
    """What the member who gave the pins had seen."""
    return View(pins.size, pins.root_bytes(), "")


def kept_checkpoints(evidence: Evidence, log: NoteKey, step: AuditStep) -> list[View]:
    """The checkpoints kept beside the log; one that cannot be read or is not signed is a finding of `step`."""
    kept = []
    for path in (path for path in evidence.paths() if path.startswith("checkpoints/")):
        try:
            note = parse_note((evidence.read(path) or b"").decode("utf-8"))
            verify_log_signature(note, log)
        except (TrustError, UnicodeDecodeError) as error:
            step.add(_code(error), N_("{file} is not a checkpoint of this log"), path, file=path)
            continue
        except OSError:
            raise
        except Exception as error:
            step.stumbled(error, path)
            continue
        if path != f"checkpoints/{note.checkpoint.size}":
            step.add("TREE_MISMATCH", N_("{file} holds the checkpoint of another size"), path, file=path)
        kept.append(View(note.checkpoint.size, note.checkpoint.root, path, note))
    return kept


def _code(error: Exception) -> str:
    return error.code if isinstance(error, Invalid) else "TREE_MISMATCH"


def compare(step: AuditStep, newest: Note, roots: Mapping[int, bytes], views: list[View]) -> None:
    """I26, I27: every view lies on the tree of `newest`, whose root at the size of each view is in `roots`."""
    signed: dict[int, Note] = {newest.checkpoint.size: newest}
    for view in views:
        other = signed.setdefault(view.size, view.note) if view.note else None
        if view.note and other and other.checkpoint.root != view.root:
            step.add(
                "SELF_EQUIVOCATION",
                N_("the log signed two roots for size {size}; both signed notes are the proof:\n{one}\n{two}"),
                view.file,
                size=view.size,
                one=Lines(other.text()),
                two=Lines(view.note.text()),
            )
        elif view.size > newest.checkpoint.size and view.size not in roots:
            step.add(
                "TRUNCATED",
                N_(
                    "the log has {size} entries, {file} has seen {seen}: either an older database was restored, and "
                    "coordinator recover can bring the entries back, or they are hidden"
                ),
                view.file or "checkpoint",
                size=newest.checkpoint.size,
                file=view.file or "pins",
                seen=view.size,
            )
        elif view.size in roots and roots[view.size] != view.root:
            _two_histories(step, newest, roots[view.size], view)


def _two_histories(step: AuditStep, newest: Note, shown: bytes, view: View) -> None:
    step.add(
        "EQUIVOCATION",
        N_("at size {size} the log shows root {shown}, {file} has seen {seen}: two histories\n{one}\n{two}"),
        view.file or "checkpoint",
        size=view.size,
        shown=shown.hex(),
        file=view.file or "pins",
        seen=view.root.hex(),
        one=Lines(newest.text()),
        two=Lines(view.note.text() if view.note else ""),
    )


def compare_seen(step: AuditStep, said: Iterable[tuple[int, Seen]], tree: TiledTree) -> None:
    """I26: what the statements at these indices say their authors had seen lies on this tree too."""
    for index, seen in said:
        held = has_seen(tree, seen, index)
        if held is None:
            step.skip_one_more(N_("{n} statements: what they had seen was not compared, hash tiles are missing"))
        elif not held:
            what = N_("entry {index} was signed on a log of size {size} with another root")
            step.findings.append(Finding("EQUIVOCATION", index, "I26", what, {"index": index, "size": seen.size}))


def has_seen(tree: TiledTree, seen: Seen, index: int) -> bool | None:
    """Could the author of entry `index` have seen this? Nothing yet, or one of the log's states before it. None if hash
    tiles that could tell are missing."""
    if seen.size == 0 or seen.size > index:
        return seen.size == 0
    try:
        return tree.root_at(seen.size).hex() == seen.root.removeprefix("sha256:")
    except Unavailable:
        return None
