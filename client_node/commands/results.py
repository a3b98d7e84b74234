"""`client-node score`, `forecast`, `explain` and `serve`: what the member gets, on its own machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from client_node.commands.console import HOME, Home, Json, _, progress, terminal
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_, visible
from shell.commandline import Commands
from shell.terminal import FOUND, OK, write_line

if TYPE_CHECKING:
    from client_node.ledger.ledger import Budget
    from client_node.link.mirror import Mirror
    from client_node.link.uplink import Uplink
    from client_node.serving.predict import Ready, Result
    from client_node.settings import Settings

serving = Commands()
Out = Annotated[Path | None, typer.Option("--out", help=_("file for all results: .csv, .xlsx or .parquet"))]
_SHOWN = 10


@serving.command(
    help=_(
        "Risk of each counterparty in this member's books, or of the rows of a file or of one row, with reasons and a "
        "receipt.\n\nExample: client-node score\n\nExample: client-node score prospects.xlsx --out scored.xlsx"
    )
)
def score(
    rows: Annotated[
        str, typer.Argument(help=_("a file, or one row as JSON; this member's own books if left out"))
    ] = "",
    out: Out = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Local; works with the coordinator switched off."""
    ready = _ready(home, "risk")
    if not rows:
        _warn(ready, ready.drift())
        return _tell(ready, ready.own(), out, as_json)
    frame, faults = _asked(rows, ready)
    _warn(ready, ready.drift(frame))
    code = _tell(ready, ready.score(frame), out, as_json)
    for finding in faults:
        terminal.note(N_("left out: {finding}"), finding=finding.text(_))
    return FOUND if faults else code


@serving.command(
    help=_("Forecast of each product series in this member's file, with a receipt.\n\nExample: client-node forecast")
)
def forecast(out: Out = None, home: Home = HOME, as_json: Json = False) -> int:
    """Local; works with the coordinator switched off."""
    ready = _ready(home, "demand")
    _warn(ready, ready.drift())
    return _tell(ready, ready.own(), out, as_json)


@serving.command(
    help=_(
        "Probability that this member itself cannot pay within six months, by month from its own books, with reasons "
        "and a receipt.\n\nExample: client-node warn"
    )
)
def warn(out: Out = None, home: Home = HOME, as_json: Json = False) -> int:
    """Local; works with the coordinator switched off. The newest month first."""
    ready = _ready(home, "warning")
    _warn(ready, ready.drift())
    return _tell(ready, ready.own(), out, as_json)


@serving.command(
    help=_(
        "Why one counterparty has its score, and the smallest change that would bring it below the line.\n\n"
        "Example: client-node explain C00017 --line 0.2"
    )
)
def explain(
    name: Annotated[str, typer.Argument(help=_("id of the counterparty, or month, as score or warn prints it"))],
    line: Annotated[
        float | None, typer.Option(help=_("probability to come below; by default that of the riskiest 8 in 100"))
    ] = None,
    task: Annotated[str, typer.Option(help=_("risk or warning"))] = "risk",
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Reasons are exact shares of the log-odds; a change moves only what a seller can lower."""
    if line is not None and not 0 < line < 1:
        raise Malformed(N_("{line} is no probability"), do=N_("say one between 0 and 1: --line 0.2"), line=line)
    ready = _ready(home, task)
    panel = ready.panel
    _warn(ready, ready.drift())
    row, limit = ready.row(name), ready.line() if line is None else line
    result = ready.score(ready.named(row))
    told = result.lines[0]
    change = panel.change(row, limit) if told.outcome["probability"] >= limit else None
    if as_json:
        said = {"line": limit, "values": row.to_dicts()[0], "change": asdict(change) if change else None}
        terminal.json(asdict(told) | said | {"receipt": str(result.receipt), "note": result.note})
        return OK
    terminal.say(
        N_("{name}: probability {p:.3f}, line {line:.3f}"), name=name, p=told.outcome["probability"], line=limit
    )
    for column, weight in told.reasons:
        terminal.say(
            N_("  {column} {value}: {weight:+.2f} log-odds"),
            column=column,
            value=_plain(row[column][0]),
            weight=weight,
        )
    if told.outcome["probability"] < limit:
        terminal.ok(N_("below the line already"))
    elif change is None:
        terminal.note(N_("nothing that a seller can change brings it below the line"))
    for column, before, after in change.moves if change else ():
        terminal.say(
            N_("  {column}: from {before} to {after}"), column=column, before=_plain(before), after=_plain(after)
        )
    if change:
        terminal.ok(N_("that would bring it to {p:.3f}; the model says so, the world need not"), p=change.probability)
    terminal.ok(N_("receipt: {path}"), path=result.receipt)
    return OK


@serving.command(
    help=_(
        "With the trust and alone, on this member's held-out rows; nothing leaves unless it is declared.\n\n"
        "Example: client-node compare risk\n\nExample: client-node compare risk --declare"
    )
)
def compare(
    task: Annotated[str, typer.Argument(help=_("risk or demand"))],
    declare: Annotated[bool, typer.Option("--declare", help=_("sign the word and put it on the log"))] = False,
    yes: Annotated[bool, typer.Option("--yes", help=_("declare without being asked"))] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """The figures stay on this machine; what may be declared is one of three words."""
    from client_node.membership import comparison

    ready = _ready(home, task)
    record, word = ready.voted.votes.record, comparison.verdict(ready.voted.votes.record)
    index = _declare(home, ready, word, yes) if declare else None
    if as_json:
        terminal.json(record.model_dump() | {"verdict": word, "index": index})
        return OK
    if not declare:
        _compared(ready.voted.votes)
        if word:
            terminal.say(comparison.WORDS[word])
    if index is not None:
        terminal.ok(N_("declared: entry {index} of the log; the proof was verified"), index=index)
    return OK


def _declare(home: Path, ready: Ready, word: Any, yes: bool) -> int:
    """Index of the word on the log."""
    from client_node.home import connected, follow
    from client_node.membership import comparison, consents

    settings, mirror, _budget, uplink = connected(home)
    follow(mirror, uplink)
    run = ready.run and mirror.state.runs[ready.run.run]
    made = comparison.declaration(settings, mirror, run, word)
    terminal.note(
        N_(
            "This word goes on the log for everybody, under this member's name, for good: {word}. It is exact, from "
            "this member's rows, outside epsilon; no figure and no count goes with it, and nobody can check it."
        ),
        word=_(comparison.WORDS[made.verdict]),
    )
    terminal.confirm(N_("Sign and send?"), yes)
    return consents.declare(settings, mirror, uplink, made)


@serving.command(
    help=_(
        "Pages and an HTTP interface on this machine only, with the token of this node, until Ctrl-C.\n\n"
        "Example: client-node serve --port 7443"
    )
)
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help=_("port on this machine"))] = 7443, home: Home = HOME
) -> int:
    """Loopback only; nothing on it needs the coordinator."""
    from client_node.home import local
    from client_node.serving.prepared import PreparedModels, own_token
    from client_node.web.server import listen, run

    _catch_up(*local(home))
    token = own_token(home)
    listener = listen(port)
    terminal.ok(N_("open http://127.0.0.1:{port}/?token={token} (Ctrl-C ends)"), port=port, token=token)
    terminal.say(N_("programs: Authorization: Bearer, described at /openapi.json"))
    run(PreparedModels(home), token, listener)
    return OK


def _ready(home: Path, task: str) -> Ready:
    from client_node.home import local
    from client_node.serving.predict import prepare

    settings, mirror, budget = local(home)
    uplink = _catch_up(settings, mirror, budget)
    with progress(_(N_("reading files, fitting own models"))) as told:
        return prepare(settings, mirror, budget, uplink, task, progress=told)


def _catch_up(settings: Settings, mirror: Mirror, budget: Budget) -> Uplink:
    """Follow the log and bring home what serving needs, if the coordinator can be reached; the connection."""
    from client_node.home import follow, uplink_of
    from client_node.link.mirror import fetch_needed

    uplink = uplink_of(settings, budget)
    try:
        follow(mirror, uplink)
        fetch_needed(settings, uplink, mirror.state)
    except Unavailable:
        terminal.note(N_("the coordinator is away; using what this node has"))
    return uplink


def _asked(rows: str, ready: Ready) -> tuple[Any, list[Any]]:
    """(frame, faults) of a file or of one JSON object."""
    import json

    from client_node.data.scored_rows import read_rows

    if not rows.lstrip().startswith("{"):
        checked = read_rows(Path(rows), ready.schema)
        return checked.frame.drop("row"), checked.findings
    try:
        return ready.frame([json.loads(rows)]), []
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and what is no text
        raise Malformed(
            N_("the row is not JSON"), why="{error}", do=N_("client-node score --help"), error=error
        ) from error


def _tell(ready: Ready, result: Result, out: Path | None, as_json: bool) -> int:
    if out is not None:
        from client_node.serving.result_files import write_result

        write_result(result, out)
    if as_json:
        from client_node.membership import comparison

        terminal.json(
            {
                "verdict": comparison.verdict(result.votes.record),
                "run": ready.run and ready.run.run,
                "votes": result.votes.model_dump(mode="json"),
                "receipt": str(result.receipt),
                "lines": [asdict(line) for line in result.lines],
                "families": [asdict(line) for line in result.families],
                "total": asdict(result.total) if result.total else None,
                "ahead": result.ahead,
                "note": result.note,
                "offers": result.offers,
            }
        )
        return OK
    _compared(result.votes)
    if result.ahead:
        terminal.say(
            N_("low, median and high {first}, ... are of: {periods}"), first=1, periods=", ".join(result.ahead)
        )
    if result.offers is not None:
        from client_node.serving.predict import OFFERS

        terminal.say(OFFERS[result.offers])
    whole = [result.total] if result.total else []
    for line in [*whole, *result.families, *ready.foremost(result.lines)[:_SHOWN]]:
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in line.outcome.items())
        called = _(N_("total")) if line.level == "member" else line.id
        write_line(visible(f"  {called}  {numbers}  " + ", ".join(_reason(line, *one) for one in line.reasons)))
    if out is not None:
        terminal.ok(N_("{n} results in {path}"), n=len(result.all_lines()), path=out)
    terminal.ok(N_("receipt: {path}"), path=result.receipt)
    return OK


def _reason(line: Any, name: str, weight: float) -> str:
    """Of a row in log-odds; of a series the share by which it moves the forecast."""
    return f"{_(name)} {weight:+.0%}" if line.level == "series" else f"{name} {weight:+.2f}"


def _plain(value: float | None) -> str:
    """Four digits that tell, never an exponent; "-" where there is none."""
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _warn(ready: Ready, columns: Any) -> None:
    """Of what stands beside every result, cannot be used or has moved; on the error stream, so that
    it stands beside JSON too."""
    import sys

    if ready.voted.note:
        write_line(terminal.marks.note, _(ready.voted.note), file=sys.stderr)
    if ready.left_out:
        text = _(N_("the public model of the agreement has no vote here: {why}"))
        write_line(terminal.marks.note, text.format(why=ready.left_out.lines(_)[0]), file=sys.stderr)
    for one in (column for column in columns if column.has_moved):
        text = _(
            N_("{column} is not what the models learned from: median {then} then, {now} now; trust the results less")
        )
        then, now = (_plain(value) for value in (one.then, one.now))
        write_line(terminal.marks.note, text.format(column=_(one.column), then=then, now=now), file=sys.stderr)


def _compared(votes: Any) -> None:
    """Three columns: mine alone, shared, what is used; no number where there is too little to tell."""
    record = votes.record
    weights = ", ".join(f"{_(name)} {share:.0%}" for name, share in votes.shares())
    if record.alone is None:
        terminal.note(N_("validation units: {units}; too little to tell"), units=record.units)
    else:
        shared = "-" if record.shared is None else f"{record.shared:.4f}"
        terminal.say(
            N_("loss on {units} validation units: mine alone {alone:.4f}   shared {shared}   used {used:.4f}"),
            units=record.units,
            alone=record.alone,
            shared=shared,
            used=record.used,
        )
    terminal.say(N_("votes: {weights}"), weights=weights)
    if record.alone is not None and any(vote.whose == "shared" and not vote.weight for vote in votes.votes):
        terminal.note(N_("for your data your own models were better; the shared one has no vote"))
    if any(vote.whose == "public" and not vote.weight for vote in votes.votes):
        terminal.note(N_("on your data the public model made it worse: the public one has no vote"))
