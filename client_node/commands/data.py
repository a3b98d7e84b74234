"""`client-node data`: which column is which field, what comes out, and every fault at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from client_node.commands.console import HOME, Home, Json, _, progress, terminal
from contracts.errors import Refused, TrustError
from contracts.wording import N_, Lines
from shell.commandline import Commands
from shell.terminal import COULD_NOT, FOUND, OK, write_line

app = Commands(help=_("Say which column is which field; look at it; check every row."))
_EARLY_DAYS = 31


@app.command(
    "map",
    help=_(
        "Write data.toml: a field and its column a line, suggested from the headings.\n\nExample: client-node data map"
    ),
)
def map_columns(
    force: Annotated[bool, typer.Option("--force", help=_("replace the file that is there"))] = False,
    home: Home = HOME,
) -> int:
    """The file is the member's to edit; nothing is guessed again once it is there."""
    from client_node.data.mapping import FILE

    path = home / FILE
    if path.exists() and not force:
        raise Refused(
            N_("{file} is there already"),
            why=N_("it may hold your own decisions"),
            do=N_("edit it, or --force"),
            file=path,
        )
    settings, schemas = _schemas(home)
    write_map(settings, schemas)
    terminal.say(N_("Look through {file}, then: client-node data preview and client-node data check"), file=path)
    return OK


def write_map(settings: Any, schemas: list[Any]) -> None:
    """Write data.toml and say what was recognised."""
    from client_node.data.mapping import FILE, is_given
    from client_node.data.suggestions import closing_day, suggest, to_toml

    mapped = [schema for schema in schemas if not is_given(settings.data, schema)]
    found = [suggest(settings.data, schema) for schema in mapped]
    if not mapped:
        return
    (settings.home / FILE).write_text(to_toml(found, mapped, terminal.translate), encoding="utf-8")
    for what, _why, do in {error.lines(terminal.translate): None for one in found for error in one.unread}:
        terminal.note(N_("left aside: {what}; {do}"), what=what, do=do)
    for one, source in ((one, s) for one, schema in zip(found, mapped, strict=True) for s in schema.sources):
        _say_source(settings.home / FILE, one, source)
    _say_ends(settings, found)
    terminal.note(
        N_(
            "closed_on {day}: the last day in these files; change it in {file} if the books are complete up to "
            "another day"
        )
        if any(one.ends for one in found)
        else N_(
            "closed_on {day}: no file names a day, this is today; write into {file} up to when the books are complete"
        ),
        day=closing_day(found),
        file=settings.home / FILE,
    )


def _say_source(file: Path, one: Any, source: Any) -> None:
    """Where a source was found, and what `file` has still to say of it."""
    if (origin := one.origins.get(source.name)) is None and source.missing == "absent":
        return
    missing = [c.name for c in source.columns if c.name in source.needed() - set(origin.fields if origin else ())]
    place = ", ".join(table.place for table in origin.tables) if origin else "?"
    if missing:
        terminal.note(
            N_("{source}: {place}; no heading fits {columns}: write it into {file}"),
            source=source.name,
            place=place,
            columns=", ".join(missing),
            file=file,
        )
    else:
        terminal.ok(
            N_("{source}: {place}, {n} fields"),
            source=source.name,
            place=place,
            n=len(origin.fields) if origin else 0,
        )
    if source.name in one.others:
        terminal.note(
            N_("{source}: {others} would fit as well and is not read; name it in {file} as more = [...], or instead"),
            source=source.name,
            others=one.others[source.name],
            file=file,
        )


def _say_ends(settings: Any, found: list[Any]) -> None:
    """Which exports stop long before the others: what they leave out would count as nothing sold, or not paid."""
    from client_node.data.mapping import FILE
    from client_node.data.suggestions import closing_day

    closed = closing_day(found)
    for source, last in ((name, last) for one in found for name, last in one.ends.items()):
        if (closed - last).days > _EARLY_DAYS:
            terminal.note(
                N_(
                    "{source} ends on {last}: what is missing up to {closed} counts as nothing; export it too, or set "
                    "closed_on back in {file}"
                ),
                source=source,
                last=last,
                closed=closed,
                file=settings.home / FILE,
            )


@app.command(help=_("Show the first rows that each task would learn from.\n\nExample: client-node data preview"))
def preview(
    rows: Annotated[int, typer.Option(min=0, help=_("rows to show of each task"))] = 5,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """On this terminal only, under the member's own names."""
    from client_node.data.member_table import read_table

    settings, schemas = _schemas(home)
    shown, code = {}, OK
    for schema in schemas:
        try:
            with progress(_(N_("reading and checking"))) as tick:
                table = read_table(settings.data, schema, key=_key(home), home=home, tick=tick)
        except TrustError as error:
            code = COULD_NOT
            _cannot(schema.task, error, as_json)
            continue
        named = table.named(table.training.head(rows))
        shown[schema.task] = named.to_dicts()
        if not as_json:
            terminal.say(
                N_("{task}: {n} rows can be used, {m} rows would be served"),
                task=schema.task,
                n=len(table.training),
                m=len(table.present),
            )
            _show(named)
            if table.findings or table.doubts:
                n = len(table.findings) + len(table.doubts)
                terminal.note(N_("{n} faults: client-node data check"), n=n)
    if as_json:
        terminal.json(shown)
    return code


def _show(frame: Any) -> None:
    """Every column, however narrow the terminal."""
    import polars as pl

    with pl.Config(
        tbl_cols=-1,
        tbl_rows=-1,
        tbl_width_chars=400,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        fmt_float="full",
        float_precision=2,
        tbl_formatting="NOTHING",
    ):
        write_line(frame)


def _cannot(task: str, error: TrustError, as_json: bool) -> None:
    if not as_json:
        told = "\n    ".join(filter(None, error.lines(terminal.translate)))
        terminal.bad(N_("{task}: {error}"), task=task, error=Lines(told))


@app.command(
    help=_(
        "Every fault of every file: place, row, column, rule and what to do.\n\nExample: client-node data check --json"
    )
)
def check(home: Home = HOME, as_json: Json = False) -> int:
    """Faulty rows and doubtful customers are left out of everything; nothing about them leaves this machine."""
    from client_node.commands.data_report import outcome_of, print_doubts, print_findings, shown, sum_up
    from client_node.data.doubts import DOUBTS
    from client_node.data.validation import RULES

    settings, schemas = _schemas(home)
    told: list[dict[str, Any]] = []
    code = OK
    for schema in schemas:
        findings: list[dict[str, Any]] = []
        doubts: list[dict[str, Any]] = []
        try:
            table = _read(settings, schema)
            findings = [
                asdict(f) | {"what": terminal.translate(RULES[f.rule][0]), "do": terminal.translate(RULES[f.rule][1])}
                for f in table.findings
            ]
            doubts = [
                asdict(d) | {"what": terminal.translate(DOUBTS[d.rule][0]), "do": terminal.translate(DOUBTS[d.rule][1])}
                for d in table.doubts
            ]
            if not as_json:
                print_findings(findings)
                print_doubts(doubts)
            table.with_rows()
        except TrustError as error:
            code = COULD_NOT
            told.append({"task": schema.task, "rows": 0, "findings": findings, "doubts": doubts, "error": str(error)})
            _cannot(schema.task, error, as_json)
            continue
        said = outcome_of(table, schema) or {}
        told.append(
            {"task": schema.task, "rows": len(table.training), "findings": findings, "doubts": doubts} | shown(said)
        )
        code = max(code, FOUND if findings or doubts or said.get("warnings") else OK)
        if not as_json:
            sum_up(schema, table)
    if as_json:
        terminal.json(told)
    return code


def before_joining(home: Path) -> None:
    """What this member would join with: sound rows alone. Said before anybody is asked for anything."""
    from client_node.commands.data_report import sum_up

    settings, schemas = _schemas(home)
    for schema in schemas:
        try:
            sum_up(schema, _read(settings, schema).with_rows())
        except TrustError as error:
            _cannot(schema.task, error, False)


def _read(settings: Any, schema: Any) -> Any:
    from client_node.data.member_table import read_table

    with progress(_(N_("reading and checking"))) as tick:
        return read_table(settings.data, schema, key=_key(settings.home), home=settings.home, tick=tick)


def _schemas(home: Path) -> tuple[Any, list[Any]]:
    """The schemas of the active agreement, or of the usual tasks before there is one."""
    from client_node.ledger.ledger import Budget
    from client_node.link.egress import Egress
    from client_node.link.mirror import Mirror, document
    from client_node.link.uplink import Uplink
    from client_node.settings import read_home
    from engine.table import read_schema, shipped
    from engine.task import usual

    settings = read_home(home)
    if (home / "invite.json").exists():
        mirror = Mirror(settings, settings.invite)
        active = mirror.state.active_agreement()
        if active:
            uplink = Uplink(settings, Egress(Budget(home / "ledger.db")), settings.invite)
            agreed = mirror.state.agreements[active].terms.tasks
            return settings, [read_schema(document(settings, uplink, t.schema_digest)) for t in agreed]
    return settings, [shipped(f"engine.{name}") for name in usual()]


def _key(home: Path) -> bytes:
    from client_node.ledger.ledger import Budget

    return Budget(home / "ledger.db").unit_key()
