"""The member's receipts: what it consented to, contributed, was promised and served, each a file that proves itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from client_node.link.mirror import Mirror, document
from client_node.link.uplink import Uplink
from client_node.settings import Settings
from contracts.envelope import from_base64, seal, strict_json, to_base64
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.log.checkpoint import Note, parse_note
from contracts.log.contribution_list import read_list
from contracts.log.receipts import Logged, Place, ResultInclusion, ServedResult, places, salted_lines
from contracts.rules.fold import read
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Receipt
from contracts.statements.signed import read_statement
from contracts.statements.statements import Comparison, Consent, Predicate, Refusal, Release, Round, RoundOpen
from contracts.wording import N_, some_of
from shell.log_lines import log_event
from shell.text_files import read_text


def folder_of(settings: Settings) -> Path:
    """Where this node keeps them."""
    folder = settings.home / "receipts"
    folder.mkdir(exist_ok=True)
    return folder


def relied_on(settings: Settings, mirror: Mirror, uplink: Uplink | None) -> Note:
    """The newest checkpoint that a quorum has cosigned and that lies on this node's own copy; kept for days without
    the coordinator."""
    kept = folder_of(settings) / "checkpoint"
    if uplink is not None:
        with suppress(Unavailable):
            if note := mirror.witnessed(uplink):
                kept.write_text(note.text(), encoding="utf-8")
                return note
    try:
        return parse_note(kept.read_bytes().decode("utf-8", "replace"))
    except FileNotFoundError as error:
        raise Unavailable(
            N_("no cosigned checkpoint has been seen yet"),
            do=N_("try again when the coordinator can be reached"),
        ) from error


def write_all(settings: Settings, mirror: Mirror, uplink: Uplink) -> list[Path]:
    """Write every receipt that is missing; the new files. Raises, when the others are
    written, what is wrong with one."""
    written, faults = _write(settings, mirror, uplink, relied_on(settings, mirror, uplink), since=0)
    if faults:
        raise faults[0]
    return written


def keep_up(settings: Settings, mirror: Mirror, uplink: Uplink, since: int) -> int:
    """Write the receipts of entries `since` and later that a quorum has cosigned; from where to go on next time.

    A receipt whose document cannot be had now, or is not what it should be, is left to `client-node receipts`,
    so that it holds nothing up.
    """
    try:
        note = relied_on(settings, mirror, uplink)
    except Unavailable:
        return since
    if note.checkpoint.size > since:
        _write(settings, mirror, uplink, note, since=since)
    return max(since, note.checkpoint.size)


def _write(
    settings: Settings, mirror: Mirror, uplink: Uplink, note: Note, *, since: int
) -> tuple[list[Path], list[TrustError]]:
    """(files written, what is wrong with those that were not)."""
    held = mirror.entries()[: note.checkpoint.size]
    missing = {
        index: (path, said)
        for name, index, said in _own(settings, held, since)
        if not (path := folder_of(settings) / f"{name}-{index}.tlog-proof").exists()
    }
    beside = {index: [at for at in _beside(mirror, said) if at < index] for index, (_path, said) in missing.items()}
    shown = {place.index: place for place in places(held, {*missing, *(at for some in beside.values() for at in some)})}
    written: list[Path] = []
    faults: list[TrustError] = []
    for index, (path, said) in missing.items():
        try:
            line = _line(settings, uplink, said) if isinstance(said, Round) else None
        except TrustError as error:
            log_event.warning("receipt left for later", receipt=path.name, what=str(error))
            if not isinstance(error, Unavailable):
                faults.append(error)
            continue
        receipt = Logged(shown[index], note, line, tuple(shown[at] for at in beside[index]))
        path.write_text(receipt.text(), encoding="utf-8")
        written.append(path)
    return written, faults


def _beside(mirror: Mirror, said: Predicate) -> list[int]:
    """Indices of the entries that say what a consent allows or a round cost."""
    run = mirror.state.runs.get(said.order) if isinstance(said, Round) else None
    agreement = run.order.agreement if run else said.agreement if isinstance(said, Consent) else ""
    agreed = mirror.state.agreements.get(agreement)
    found = [agreed.index] if agreed else []
    return [*found, run.index, said.open] if run and isinstance(said, Round) else found


def _own(settings: Settings, entries: list[bytes], since: int) -> Iterator[tuple[str, int, Predicate]]:
    """(kind, index, statement) of every entry from `since` on that this member gets a receipt for."""
    for index, entry in enumerate(entries[since:], since):
        statement = read(entry)
        if isinstance(statement, TrustError):
            continue  # a broken entry: the fold has found it, and it is no reason to be without the others
        said = statement.said
        is_own = isinstance(said, Consent | Refusal | Comparison) and said.member == settings.member
        if is_own or isinstance(said, Release) or (isinstance(said, Round) and settings.member in said.contributors):
            yield said.kind, index, said


def _line(settings: Settings, uplink: Uplink, closed: Round) -> Place:
    """The place of this member's own line in the list of a round; Invalid if the list names another line."""
    if closed.list_document is None:
        raise Invalid(N_("round {round} names no list of what it combined"), code="AGGREGATE", round=closed.round)
    listed = read_list(document(settings, uplink, closed.list_document), len(closed.contributors))
    for at, line in enumerate(listed.lines()):
        if line.said.member == settings.member:
            if not line.statement.envelope.holds_for(settings.node_key.public_key()):
                break
            return places(listed.entries, [at])[0]
    raise Invalid(
        N_("round {round} lists a contribution that this node did not sign"),
        do=N_("keep this node's files and tell an auditor"),
        code="UPDATE_SIGNATURE",
        round=closed.round,
    )


def keep_served(settings: Settings, said: Receipt, lines: list[str], salt: bytes) -> Path:
    """The private file of one served result: signed statement, all lines, the salt. Nothing of it leaves by itself."""
    held = {
        "format": "mengbang-result/1",
        "statement": to_base64(seal(payload(said), [settings.node_key])),
        "lines": lines,
        "salt": to_base64(salt),
    }
    path = folder_of(settings) / f"R{said.record_id[-12:]}.result.json"  # no spreadsheet takes it for a number
    path.touch(mode=0o600)
    text = json.dumps(
        held, ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )  # RFC 8785: text under ASCII keys
    path.write_text(text, encoding="utf-8")
    return path


def show(
    settings: Settings, mirror: Mirror, result: Path, line_id: str, uplink: Uplink | None, *, level: str = ""
) -> str:
    """The receipt that proves one line of a kept result to whoever is shown it, and tells nothing about the others.
    Lines of one name differ in their level."""
    words = N_("{path} is not a kept result"), N_("score and forecast write them, and say where")
    text = read_text(result, *words)
    try:
        held = strict_json(text.encode())
        statement, lines, salt = from_base64(held["statement"]), list(held["lines"]), from_base64(held["salt"])
        said = read_statement(statement).said
        told: list[dict[str, Any]] = [strict_json(line.encode("utf-8")) for line in lines]
        named = [n for n, line in enumerate(told) if line["id"] == line_id]
    except (Malformed, Invalid, KeyError, TypeError, AttributeError) as error:
        raise Malformed(words[0], do=words[1], path=result) from error
    at = [n for n in named if level in ("", told[n].get("level"))]
    if not at or not isinstance(said, Receipt):
        raise Refused(
            N_("the result has no line {id}"),
            why=N_("there are: {known}"),
            do=N_("name one of these, and its level if it has several: --level"),
            code="NO_LINE",
            id=line_id,
            known=some_of(dict.fromkeys(line["id"] for line in told)),
        )
    if len(at) > 1:
        raise Refused(
            N_("the result has several lines {id}"),
            why=N_("their levels are: {levels}"),
            do=N_("say which one: --level"),
            code="NO_LINE",
            id=line_id,
            levels=", ".join(told[n].get("level", "-") for n in at),
        )
    note = relied_on(settings, mirror, uplink)
    entries = mirror.entries()[: note.checkpoint.size]
    chain = places(entries, _chain(said, mirror, entries))
    [shown] = places(salted_lines(lines, salt), at)
    return ServedResult(statement, note, tuple(chain), ResultInclusion(shown)).text()


def _chain(answer: Receipt, mirror: Mirror, entries: list[bytes]) -> list[int]:
    """Indices of everything that a served number stands on."""
    key = mirror.state.live_key(answer.member, "node")
    found = {mirror.state.agreements[answer.agreement].index} | ({key[1].index} if key else set())
    if answer.order is None:
        return sorted(found)
    run = mirror.state.runs[answer.order]
    found.add(run.index)
    for index in range(run.index, len(entries)):
        entry = read(entries[index])
        said = None if isinstance(entry, TrustError) else entry.said
        if isinstance(said, Release | Round | RoundOpen) and said.order == run.run:
            found.add(index)
            found |= {at for _member, at in said.members} if isinstance(said, RoundOpen) else set()
    return sorted(found)
