"""The eight steps of an audit, numbered as in docs/reference/audit.md. Nothing here asks the coordinator to be honest.

1 checkpoint and its signature · 2 cosignatures · 3 entries rebuild the root · 4 the log extends the pinned state ·
5 every envelope opens · 6 the rules · 7 budgets recomputed · 8 models, contributions and releases
"""

from __future__ import annotations

from collections.abc import Callable

from auditor.budgets import check_budgets
from auditor.evidence import Evidence, read_entries, read_note
from auditor.findings import Step, Verdict
from auditor.models import check_models
from contracts import tiles
from contracts.checkpoint import Note, NoteKey, cosigners, parse_note, policy, quorum, verify_log_signature
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed, TrustError
from contracts.merkle import Frontier, leaf_hash
from contracts.pins import Pins
from contracts.rules.fold import apply
from contracts.rules.state import EMPTY, TrustState
from contracts.wording import N_

Tick = Callable[[int], None]


def verify(evidence: Evidence, pins: Pins, tick: Tick = lambda done: None) -> Verdict:
    """Check everything that the evidence holds against a member's pins.

    Raises Unavailable if the log itself is absent; whatever is present and wrong is a finding.
    """
    note, signed = _checkpoint(evidence, pins)
    if note is None:
        return Verdict([signed], 0, "")
    entries, rebuilt, roots = _entries(evidence, note, tick)
    state, opened, rules = _fold(entries)
    steps = [
        signed,
        _quorum(note, state, pins),
        rebuilt,
        _consistent(note, entries, roots, pins),
        opened,
        rules,
        check_budgets(state),
        check_models(state, evidence),
    ]
    _other_files(evidence, note, pins.log(), entries, roots, state, rebuilt)
    return Verdict(steps, note.checkpoint.size, note.checkpoint.root.hex())


def _checkpoint(evidence: Evidence, pins: Pins) -> tuple[Note | None, Step]:
    step = Step(1, N_("checkpoint and its signature"))
    try:
        note = read_note(evidence, "checkpoint")
        verify_log_signature(note, pins.log())
    except (Malformed, Invalid) as error:
        step.caught(error, "checkpoint")
        return None, step
    step.detail = f"size {note.checkpoint.size}  root {note.checkpoint.root.hex()[:16]}"
    return note, step


def _quorum(note: Note, state: TrustState, pins: Pins) -> Step:
    step = Step(2, N_("cosignatures of members"))
    witnesses = state.witnesses()
    for name, vkey in pins.cosigners.items():
        if name in witnesses and witnesses[name].vkey() != vkey:
            step.add("KEY_ROTATION", N_("the witness key of {name} is not the pinned one"), name=name)
    try:
        found = cosigners(note, pins.log(), witnesses)
    except TrustError as error:
        step.caught(error, "checkpoint")
        return step
    needed = quorum(len(witnesses))
    step.detail = f"{len(found)}/{len(witnesses)} ({needed})"
    if len(found) < needed:
        step.add(
            "QUORUM",
            N_("the checkpoint has {n} cosignatures of members and needs {needed}"),
            "checkpoint",
            n=len(found),
            needed=needed,
        )
    step.skip(N_("no auditor cosigns this log: the auditors' half of the quorum does not exist"))
    return step


def _entries(evidence: Evidence, note: Note, tick: Tick) -> tuple[list[bytes], Step, list[bytes]]:
    """The entries, step 3, and the root after each entry (so that any older checkpoint can be compared)."""
    step = Step(3, N_("entries rebuild the root"))
    frontier, entries = Frontier(), []
    roots = [frontier.root()]
    try:
        for _, entry in read_entries(evidence, note.checkpoint.size, tick):
            entries.append(entry)
            frontier.append(leaf_hash(entry))
            roots.append(frontier.root())
    except Malformed as error:
        step.caught(error, str(error.values.get("path", "")))
        return entries, step, roots
    step.detail = str(len(entries))
    _hash_tiles(evidence, entries, frontier.root() == note.checkpoint.root, step)
    if frontier.root() != note.checkpoint.root and not step.findings:
        step.add("TREE_MISMATCH", N_("the entries do not lead to the signed root"), "tile/entries")
    return entries, step, roots


def _hash_tiles(evidence: Evidence, entries: list[bytes], rooted: bool, step: Step) -> None:
    """Each hash tile must follow from the entries. Where the entries miss the signed root, the bundle beside
    the tile of its leaves is what was altered."""
    leaves = [leaf_hash(entry) for entry in entries]
    for name in tiles.names(len(entries)):
        if name.level is None or (name.level and not rooted):
            continue
        served = evidence.read(name.path())
        if served is None:
            step.skip(N_("{path} is missing"), path=name.path())
        elif served != tiles.tile_hashes(leaves, name):
            file = name.path() if rooted else tiles.TileName(None, name.n, name.width).path()
            step.add("TREE_MISMATCH", N_("{file} does not agree with the signed root"), file, file=file)


def _consistent(note: Note, entries: list[bytes], roots: list[bytes], pins: Pins) -> Step:
    step = Step(4, N_("the log extends the pinned state"))
    step.detail = f"{pins.size} → {note.checkpoint.size}"
    if note.checkpoint.size < pins.size:
        step.add(
            "TRUNCATED",
            N_("the log has {size} entries, the pinned state had {pinned}"),
            "checkpoint",
            size=note.checkpoint.size,
            pinned=pins.size,
        )
    elif pins.size < len(roots) and roots[pins.size] != pins.root_bytes():
        step.add(
            "EQUIVOCATION",
            N_("at size {size} the log shows root {shown}, the member saw {seen}: two histories"),
            "checkpoint",
            size=pins.size,
            shown=roots[pins.size].hex(),
            seen=pins.root_bytes().hex(),
        )
    if entries and digest(entries[0]) != pins.genesis:
        step.add("GENESIS", N_("the first entry is not the pinned one"), "tile/entries/000")
    return step


def _fold(entries: list[bytes]) -> tuple[TrustState, Step, Step]:
    opened, rules = Step(5, N_("statements open under admitted keys")), Step(6, N_("replay of the rules"))
    state = EMPTY
    for index, entry in enumerate(entries):
        state, findings = apply(state, entry, index)
        for finding in findings:
            (opened if finding.rule in ("I1", "I2") else rules).findings.append(finding)
    opened.detail = rules.detail = str(len(entries))
    return state, opened, rules


def _other_files(
    evidence: Evidence,
    note: Note,
    log: NoteKey,
    entries: list[bytes],
    roots: list[bytes],
    state: TrustState,
    step: Step,
) -> None:
    """Every other file present: older checkpoints, partial tiles, policy, documents. An unknown one is a finding."""
    known = {"checkpoint", *(name.path() for name in tiles.names(note.checkpoint.size))}
    for path in sorted(set(evidence.paths()) - known):
        try:
            _check_file(path, evidence.read(path) or b"", entries, roots, log, state)
        except (TrustError, UnicodeDecodeError) as error:
            code = error.code if isinstance(error, Invalid) else "TREE_MISMATCH"
            step.add(code, N_("{file} is not what the log says"), path, file=path)


def _check_file(
    path: str, data: bytes, entries: list[bytes], roots: list[bytes], log: NoteKey, state: TrustState
) -> None:
    """Raise Malformed or Invalid unless the file follows from the entries."""
    kind, _, rest = path.partition("/")
    if kind == "documents":
        holds = digest(data) == f"sha256:{rest}"
    elif path == "policy":
        text = data.decode("utf-8")
        holds = text == policy(log, state.witnesses().values(), text.partition("\n")[0].rpartition(" ")[2])
    elif kind == "checkpoints":
        note = parse_note(data.decode("utf-8"))
        cosigners(note, log, state.witnesses())
        size = note.checkpoint.size
        holds = rest == str(size) and size < len(roots) and roots[size] == note.checkpoint.root
    else:
        name = tiles.parse_path(path)
        first = name.n * tiles.WIDTH
        held = entries[first : first + name.width]
        expected = (
            tiles.bundle(held) if name.level is None else tiles.tile_hashes([leaf_hash(e) for e in entries], name)
        )
        holds = data == expected
    if not holds:
        raise Malformed(N_("{path} does not belong to this log"), path=path)
