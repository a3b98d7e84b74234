"""Commands that read a log for people: one entry, one member's time line, the budgets, what is new."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.commands.console import Json, _, terminal
from auditor.commands.open_evidence import open_source
from contracts.errors import Invalid, Unavailable
from contracts.wording import N_, Lines, filled
from shell.commandline import Commands
from shell.terminal import FOUND, OK, write_line

if TYPE_CHECKING:
    from auditor.evidence.sentences import Names
    from contracts.rules.state import TrustState

look = Commands()


@look.command(
    help=_("Show one entry: a sentence, its fields, who signed, its proof.\n\nExample: auditor entry ./mirror 17")
)
def entry(
    source: Annotated[str, typer.Argument(help=_("URL, mirror folder or pack"))],
    index: Annotated[int, typer.Argument(help=_("number of the entry"))],
    as_json: Json = False,
) -> int:
    """What is said, by whom, and that it is in the log."""
    from auditor.evidence.member_register import read_register
    from auditor.evidence.reader import read_note
    from auditor.evidence.sentences import namer, sentence
    from auditor.reading.history import replayed
    from auditor.steps.step3_tree import TiledTree
    from contracts.envelope import digest, open_entry, strict_json, to_base64
    from contracts.statements.signed import Statement

    evidence = open_source(source)
    note = read_note(evidence, "checkpoint")
    _check_index(index, note.checkpoint.size)
    found = replayed(evidence, note.checkpoint.size, range(index, index + 1))
    state, (data, statement) = found.state, found.entries[index]
    names = namer(read_register(state, evidence))
    opened = statement.envelope if isinstance(statement, Statement) else open_entry(data)
    shown = {
        "index": index,
        "digest": digest(data),
        "sentence": sentence(statement, names).text(terminal.translate),
        "statement": strict_json(opened.payload),
        "signed_by": {s.keyid: _whose(state, s.keyid, names) for s in opened.signatures},
        "path": [to_base64(h) for h in TiledTree(evidence, state.size).audit_path(index, state.size)],
        "checkpoint": note.text(),
    }
    if as_json:
        terminal.json(shown)
    else:
        _say_entry(shown, state.size)
    return OK


def _say_entry(shown: dict[str, Any], size: int) -> None:
    write_line(f"#{shown['index']}  {shown['sentence']}")
    terminal.json(shown["statement"])
    for keyid, whose in shown["signed_by"].items():
        terminal.say(N_("signed by {whose}, key {key}"), whose=whose, key=keyid)
    terminal.say(
        N_("entry digest {digest}; {n} hashes prove it under size {size}"),
        digest=shown["digest"],
        n=len(shown["path"]),
        size=size,
    )


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise Unavailable(
            N_("there is no entry {index}"),
            why=N_("the log has {size} entries, counted from 0"),
            do=N_("name one from 0 to {last}"),
            index=index,
            size=size,
            last=size - 1,
        )


def _whose(state: TrustState, keyid: str, names: Names) -> str:
    held = state.keys.get(keyid)
    if held is None:
        return terminal.translate(N_("a key that was never admitted"))
    return f"{held.role} {names(held.member)}" if held.member else held.role


@look.command(
    help=_(
        "A member's consents as bars, rounds as dots.\n\n"
        "Example: auditor timeline ./mirror urn:uuid:... --svg member.svg"
    )
)
def timeline(
    source: Annotated[str, typer.Argument(help=_("URL, mirror folder or pack"))],
    member: Annotated[str, typer.Argument(help=_("member id, the start of it, or the company name"))],
    svg: Annotated[Path | None, typer.Option(help=_("also write a picture to this file"))] = None,
    as_json: Json = False,
) -> int:
    """Was it allowed then?"""
    from dataclasses import asdict

    from auditor.evidence.member_register import read_register
    from auditor.evidence.reader import read_note
    from auditor.reading.history import replayed
    from auditor.reading.timeline import lines, timeline_of
    from auditor.reading.timeline import svg as draw

    evidence = open_source(source)
    state = replayed(evidence, read_note(evidence, "checkpoint").checkpoint.size).state
    register = read_register(state, evidence)
    asked = [
        r
        for r in register.values()
        if member in (r.name, r.code) or r.member.removeprefix("urn:uuid:").startswith(member.removeprefix("urn:uuid:"))
    ]
    if len(asked) != 1:
        raise Unavailable(
            N_("{member} names {n} members of this log"),
            do=N_("give the whole id; known are: {known}"),
            member=member,
            n=len(asked),
            known=", ".join(r.member for r in register.values()),
        )
    found = timeline_of(state, asked[0].member)
    title = f"{asked[0].label()}  {asked[0].member}"
    if svg:
        svg.write_text(draw(found, title), encoding="utf-8")
    if as_json:
        terminal.json(asdict(found))
    else:
        write_line(title, *lines(found, 60, terminal.translate), sep="\n")
    return FOUND if any(dot.used and not dot.allowed for dot in found.dots) else OK


@look.command(help=_("Every member's privacy budget, recomputed.\n\nExample: auditor budget ./mirror"))
def budget(source: Annotated[str, typer.Argument(help=_("URL, mirror folder or pack"))], as_json: Json = False) -> int:
    """Spend and cap side by side; nano-rho is the truth, epsilon is for reading."""
    from dataclasses import asdict

    from auditor.evidence.member_register import read_register
    from auditor.evidence.reader import read_note
    from auditor.evidence.sentences import namer
    from auditor.reading.history import replayed
    from auditor.steps.step7_budgets import accounts, curve
    from contracts.promise import MOST, promises

    evidence = open_source(source)
    state = replayed(evidence, read_note(evidence, "checkpoint").checkpoint.size).state
    names = namer(read_register(state, evidence))
    held = accounts(state)
    told = [p.sentences(_) for year in sorted({a.year for a in held}) for p in promises(state, year, curve)]
    if as_json:
        terminal.json({"accounts": [asdict(account) for account in held], "promises": told})
        return FOUND if any(account.is_over() for account in held) else OK
    for account in held:
        said = _("{member}  {dataset}/{unit} {year}: {rho_nano} nano-rho, no cap of its own, epsilon {epsilon:.3f}")
        if account.cap_nano is not None:
            said = _("{member}  {dataset}/{unit} {year}: {rho_nano} of {cap_nano} nano-rho, epsilon {epsilon:.3f}")
        mark = terminal.marks.bad if account.is_over() else terminal.marks.ok
        write_line(
            mark, filled(said, asdict(account) | {"member": names(account.member), "epsilon": account.epsilon()})
        )
    if told:
        write_line(_(MOST))
    for sentences in told:
        write_line("", *sentences, sep="\n  ")
    return FOUND if any(account.is_over() for account in held) else OK


@look.command(
    help=_("What a newer copy of the log adds to an older one.\n\nExample: auditor diff ./march.pack ./april.pack")
)
def diff(
    old: Annotated[str, typer.Argument(help=_("the older copy"))],
    new: Annotated[str, typer.Argument(help=_("the newer copy"))],
    as_json: Json = False,
) -> int:
    """Refuses to compare two different histories, and shows both signed notes."""
    from auditor.evidence.member_register import read_register
    from auditor.evidence.reader import read_note
    from auditor.evidence.sentences import namer, sentence
    from auditor.reading.history import replayed
    from auditor.steps.step3_tree import Rebuild

    before, after = open_source(old), open_source(new)
    one, two = read_note(before, "checkpoint"), read_note(after, "checkpoint")
    tree, grown = Rebuild({one.checkpoint.size}), range(one.checkpoint.size, two.checkpoint.size)
    found = replayed(after, two.checkpoint.size, grown, look=lambda bundle: list(tree.take(bundle)))
    if tree.roots.get(one.checkpoint.size) != one.checkpoint.root:
        raise Invalid(
            N_("the newer log does not extend the older one"),
            why=N_("both signed notes are the proof:\n{one}\n{two}"),
            do=N_("keep both copies and show them to the members"),
            code="EQUIVOCATION",
            one=Lines(one.text()),
            two=Lines(two.text()),
        )
    names = namer(read_register(found.state, after))
    added = [
        {"index": at, "sentence": sentence(read, names).text(terminal.translate), "broken": at in found.broken}
        for at, (_data, read) in found.entries.items()
    ]
    if as_json:
        terminal.json({"old": one.checkpoint.size, "new": two.checkpoint.size, "added": added})
    for said in () if as_json else added:
        write_line(terminal.marks.bad if said["broken"] else " ", f"#{said['index']}  {said['sentence']}")
    if not as_json:
        terminal.ok(N_("{n} entries added, the older ones unchanged"), n=len(added))
    return FOUND if any(said["broken"] for said in added) else OK
