"""`client-node data`: which column is which field, what comes out, and every fault at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from client_node.console import HOME, Home, Json, Lang, _, progress, terminal
from contracts.errors import Refused, TrustError
from contracts.terminal import COULD_NOT, FOUND, OK
from contracts.wording import N_

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help=_("Say which column is which field; look at it; check every row.")
)


@app.command(
    "map",
    help=_(
        "Write data.toml: a field and its column a line, suggested from the headings.\n\nExample: client-node data map"
    ),
)
def map_columns(
    force: Annotated[bool, typer.Option("--force", help=_("replace the file that is there"))] = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """The file is the member's to edit; nothing is guessed again once it is there."""
    from client_node.mapping import FILE

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
    terminal.say(N_("Look through {file}, then: client-node data preview"), file=path)
    return OK


def write_map(settings: Any, schemas: list[Any]) -> None:
    """Write data.toml and say what was recognised."""
    from client_node.mapping import FILE, is_given, suggest, to_toml

    mapped = [schema for schema in schemas if not is_given(settings.data, schema)]
    found = [suggest(settings.data, schema) for schema in mapped]
    if mapped:
        (settings.home / FILE).write_text(to_toml(found, mapped), encoding="utf-8")
    for source, origin in (
        (s, one.origins.get(s.name)) for one, schema in zip(found, mapped, strict=True) for s in schema.sources
    ):
        missing = [c.name for c in source.columns if origin is None or c.name not in origin.fields]
        place = origin.table.place if origin else "?"
        if missing:
            terminal.note(
                N_("{source}: {place}; no heading fits {columns}"),
                source=source.name,
                place=place,
                columns=", ".join(missing),
            )
        else:
            terminal.ok(N_("{source}: {place}, {n} fields"), source=source.name, place=place, n=len(source.columns))


@app.command(help=_("Show the first rows that each task would learn from.\n\nExample: client-node data preview"))
def preview(rows: int = 5, home: Home = HOME, as_json: Json = False, lang: Lang = "") -> int:
    """On this terminal only."""
    from client_node.sources import read_table

    settings, schemas = _schemas(home)
    shown = {}
    for schema in schemas:
        with progress(_(N_("reading and checking"))) as tick:
            table = read_table(settings.data, schema, key=_key(home), home=home, tick=tick)
        shown[schema.task] = table.present.head(rows).to_dicts()
        if not as_json:
            terminal.say(
                N_("{task}: {n} rows teach, {m} rows would be served"),
                task=schema.task,
                n=len(table.training),
                m=len(table.present),
            )
            print(table.present.head(rows))
    if as_json:
        terminal.json(shown)
    return OK


@app.command(
    help=_(
        "Every fault of every file: place, row, column, rule and what to do.\n\nExample: client-node data check --json"
    )
)
def check(home: Home = HOME, as_json: Json = False, lang: Lang = "") -> int:
    """Faulty rows are left out of everything; nothing about them leaves this machine."""
    from client_node.sources import read_table
    from client_node.validation import RULES

    settings, schemas = _schemas(home)
    told: list[dict[str, Any]] = []
    code = OK
    for schema in schemas:
        try:
            with progress(_(N_("reading and checking"))) as tick:
                table = read_table(settings.data, schema, key=_key(home), home=home, tick=tick).with_rows()
        except TrustError as error:
            code = COULD_NOT
            told.append({"task": schema.task, "rows": 0, "findings": [], "error": str(error)})
            if not as_json:
                terminal.bad(N_("{task}: {error}"), task=schema.task, error=" ".join(error.lines(terminal.translate)))
            continue
        findings = [
            asdict(f) | {"what": terminal.translate(RULES[f.rule][0]), "do": terminal.translate(RULES[f.rule][1])}
            for f in table.findings
        ]
        told.append({"task": schema.task, "rows": len(table.training), "findings": findings})
        code = max(code, FOUND if findings else OK)
        if not as_json:
            _print(schema.task, len(table.training), findings)
    if as_json:
        terminal.json(told)
    return code


def _print(task: str, rows: int, findings: list[dict[str, Any]]) -> None:
    for f in findings:
        print(f"  {f['place']}  {f['row']}  {f['column']}  [{f['rule']}, {f['value']}]  {f['what']} -> {f['do']}")
    if findings:
        terminal.bad(
            N_("{task}: {n} faults; these rows are left out, {rows} rows teach"), task=task, n=len(findings), rows=rows
        )
    else:
        terminal.ok(N_("{task}: no faults, {rows} rows teach"), task=task, rows=rows)


def _schemas(home: Path) -> tuple[Any, list[Any]]:
    """The schemas of the active agreement, or of the installed tasks before there is one."""
    from client_node.budget import Budget
    from client_node.egress import Egress
    from client_node.mirror import Mirror, document
    from client_node.settings import read_home
    from client_node.uplink import Uplink
    from engine.table import read_schema, shipped
    from engine.task import names

    settings = read_home(home)
    if (home / "invite.json").exists():
        mirror = Mirror(settings, settings.invite)
        active = mirror.state.active_agreement()
        if active:
            uplink = Uplink(settings, Egress(Budget(home / "ledger.db")), settings.invite)
            agreed = mirror.state.agreements[active].terms.tasks
            return settings, [read_schema(document(settings, uplink, t.schema_digest)) for t in agreed]
    return settings, [shipped(f"engine.{name}") for name in names()]


def _key(home: Path) -> bytes:
    from client_node.budget import Budget

    return Budget(home / "ledger.db").unit_key()
