"""`coordinator agreement`: draft, show, diff, publish, retire, export."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.errors import Refused
from contracts.wording import N_, filled, some_of
from coordinator.commands.console import HOME, Home, Json, Yes, _, office_of, terminal
from shell.commandline import Commands
from shell.terminal import OK, epsilon, write_line
from shell.text_files import read_table, read_text

if TYPE_CHECKING:
    from contracts.rules.state import TrustState
    from contracts.terms.agreement import Terms

agreement = Commands(help=_("Draft, publish, compare, end and export agreements."))
STATES = {
    "active": N_("active"),
    "suspended": N_("suspended"),
    "superseded": N_("superseded"),
    "revoked": N_("revoked"),
    "expired": N_("expired"),
    "closed": N_("closed"),
}
VERBS = {
    "suspend": N_("no rounds until it is resumed"),
    "resume": N_("rounds go on"),
    "revoke": N_("ended for good, by the office"),
    "expire": N_("ended, its time is over"),
    "close": N_("ended, nothing is left to do"),
}
REASONS = {
    "office": N_("the office decided"),
    "authority": N_("an authority demands it"),
    "incident": N_("an incident"),
}
Version = Annotated[int, typer.Argument(help=_("version; the newest by default"))]


@agreement.command(
    help=_(
        "Write a draft over the installed tasks, to be read and changed before it is published.\n\n"
        "Example: coordinator agreement draft --epsilon-run 1 --epsilon-year 4 --out agreement.json"
    )
)
def draft(
    out: Annotated[Path, typer.Option(help=_("file to write"))],
    task: Annotated[
        list[str], typer.Option("--task", help=_("task to cover (repeat); the usual ones by default"))
    ] = (),  # type: ignore[assignment]
    schema: Annotated[list[Path], typer.Option("--schema", help=_("table schema that replaces the shipped one"))] = (),  # type: ignore[assignment]
    epsilon_run: Annotated[str, typer.Option(parser=epsilon, help=_("most epsilon of one run"))] = "1",
    epsilon_year: Annotated[str, typer.Option(parser=epsilon, help=_("most epsilon of one year"))] = "4",
    public_model: Annotated[
        list[Path], typer.Option("--public-model", help=_("file that public-model wrote: a vote that costs no budget"))
    ] = (),  # type: ignore[assignment]
    days: Annotated[int, typer.Option(max=36_525, help=_("days that it holds"))] = 365,
    home: Home = HOME,
) -> int:
    """Every term is a field of the file; what follows from others is filled in when it is published."""
    from coordinator.trust import agreements
    from engine.bundle import bundle_digest
    from engine.table import read_schema
    from engine.task import load, usual

    office = office_of(home)
    own = {given.task: given for given in (read_schema(read_text(path).encode()) for path in schema)}
    _check_tables(own, task or usual())
    tasks = [(load(name), own.get(name) or load(name).schema()) for name in (task or usual())]
    made = agreements.draft(
        office.database,
        office.settings,
        tasks,
        epsilon_run=epsilon_run,
        epsilon_year=epsilon_year,
        bundle=bundle_digest(),
        public=agreements.public_by_task(public_model, [one.name for one, _table in tasks]),
        days=days,
        now=datetime.now(UTC),
    )
    agreements.complete(office.log.state(), made)
    out.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    terminal.ok(N_("draft in {path}"), path=out)
    terminal.say(N_("Next: coordinator agreement publish {path}"), path=out)
    return OK


def _check_tables(own: Iterable[str], covered: Sequence[str]) -> None:
    for name in own:
        if name not in covered:
            raise Refused(
                N_("the draft does not cover task {name}, for which a table was given"),
                why=N_("it covers: {known}"),
                do=N_("name the task too: --task {name}"),
                name=name,
                known=some_of(covered),
            )


@agreement.command(
    "public-model",
    help=_(
        "Make a public model of rows that belong to no member. Named in an agreement, it is one more vote at every "
        "member, kept where the member's own rows do not speak against it, and costs no budget.\n\n"
        'Example: coordinator agreement public-model statements.csv --source "published statements, 2020 to '
        '2024" --out public.json'
    ),
)
def public_model(
    rows: Annotated[Path, typer.Argument(help=_("CSV or Parquet with the columns of the task's table"))],
    source: Annotated[str, typer.Option(help=_("whose rows these are, as members will read it"))],
    out: Annotated[Path, typer.Option(help=_("file to write"))],
    task: Annotated[str, typer.Option(help=_("task that it is for"))] = "risk",
    schema: Annotated[Path | None, typer.Option(help=_("table schema that replaces the shipped one"))] = None,
) -> int:
    """Nothing is published: the file is named in a draft."""
    from coordinator.trust import agreements
    from engine.table import read_schema
    from engine.task import load

    loaded = load(task)
    table = read_schema(read_text(schema).encode()) if schema else loaded.schema()
    out.write_bytes(agreements.fit_public(loaded, table, rows, source))
    terminal.ok(N_("public model in {path}"), path=out)
    terminal.say(N_("Next: coordinator agreement draft --public-model {path} --out agreement.json"), path=out)
    return OK


@agreement.command(
    help=_("Show an agreement as members read it.\n\nExample: coordinator agreement show 2 --html agreement.html")
)
def show(
    version: Version = 0,
    html: Annotated[Path | None, typer.Option(help=_("write a page for the browser instead"))] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """The text follows from the fields."""
    from contracts.terms.reading import FINGERPRINT, page, readable
    from coordinator.trust import agreements

    log = office_of(home).log
    state = log.state()
    name, record = agreements.find(state, version)
    if as_json:
        terminal.json({"digest": name, "state": record.state, "terms": record.terms.model_dump(mode="json")})
    elif html:
        shown = page(record.terms, terminal.lang, _, origin=log.key.name, fingerprint=log.fingerprint())
        html.write_text(shown, encoding="utf-8")
        terminal.ok(N_("page in {path}"), path=html)
    else:
        write_line(readable(record.terms, terminal.lang))
        terminal.say(FINGERPRINT, origin=log.key.name, print=log.fingerprint())
        for held in sorted(state.agreements.values(), key=lambda r: r.index):
            terminal.say(N_("version {version}: {state}"), version=held.terms.version, state=_(STATES[held.state]))
    return OK


@agreement.command(
    help=_(
        "Say in words how two versions differ, or how a draft differs from the newest version.\n\n"
        "Example: coordinator agreement diff agreement.json"
    )
)
def diff(
    new: Annotated[str, typer.Argument(help=_("version or draft file"))],
    old: Annotated[int, typer.Argument(help=_("version to compare with; the one before by default"))] = 0,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """One line a term that differs."""
    from contracts.terms.reading import differences

    state = office_of(home).log.state()
    changed = [(filled(_(d.term), d.values), d.before, d.after) for d in differences(*_two(state, new, old))]
    if as_json:
        terminal.json([{"term": term, "old": before, "new": after} for term, before, after in changed])
        return OK
    for term, before, after in changed:
        terminal.say(N_("{term}: {before} → {after}"), term=term, before=before, after=after)
    if not changed:
        terminal.say(N_("no difference that matters to a member"))
    return OK


def _two(state: TrustState, new: str, old: int) -> tuple[Terms, Terms]:
    from coordinator.trust import agreements

    if new.isdecimal():
        later = agreements.find(state, int(new))[1].terms
        if not old and later.version == 1:
            raise Refused(
                N_("version 1 is the first: there is none before it"),
                do=N_("name a later one, or a draft file: coordinator agreement diff 2"),
                code="AGREEMENT_INACTIVE",
            )
        return agreements.find(state, old or later.version - 1)[1].terms, later
    later = agreements.complete(state, _read(Path(new)))
    return agreements.find(state, old)[1].terms, later


def _read(path: Path) -> dict[str, Any]:
    do = N_("make one with: coordinator agreement draft --out FILE")
    return read_table(path, N_("{path} is not a draft of an agreement"), do)


@agreement.command(
    help=_(
        "Sign a draft as the next version; the version before is superseded.\n\n"
        "Example: coordinator agreement publish agreement.json"
    )
)
def publish(
    path: Annotated[Path, typer.Argument(help=_("draft of an agreement"))], yes: Yes = False, home: Home = HOME
) -> int:
    """Shows the text, asks, signs. Members consent to each version anew."""
    from contracts.terms.reading import readable
    from coordinator.trust import agreements

    office = office_of(home)
    terms = agreements.complete(office.log.state(), _read(path))
    write_line(readable(terms, terminal.lang))
    terminal.confirm(N_("Sign and publish this agreement?"), yes)
    agreements.publish(office.database, office.log, office.settings, terms, datetime.now(UTC))
    terminal.ok(N_("agreement version {version} is in the log: {digest}"), version=terms.version, digest=terms.digest())
    return OK


@agreement.command(
    help=_(
        "Suspend, resume, revoke, expire or close an agreement.\n\nExample: coordinator agreement retire suspend "
        "--reason incident"
    )
)
def retire(
    verb: Annotated[str, typer.Argument(help=_("suspend, resume, revoke, expire or close"))],
    version: Version = 0,
    reason: Annotated[str, typer.Option(help=_("office, authority or incident"), show_default=False)] = "",
    yes: Yes = False,
    home: Home = HOME,
) -> int:
    """Rounds that are open when an agreement ends are aborted; what was recorded stays valid."""
    from coordinator.trust import agreements

    terminal.choose("VERB", verb, VERBS)
    if reason:
        terminal.choose("--reason", reason, REASONS)
    office = office_of(home)
    name, record = agreements.find(office.log.state(), version)
    held = {"version": record.terms.version, "state": _(STATES[record.state])}
    terminal.confirm(N_("Version {version} is {state}. Sign this change?"), yes, **held)
    state = agreements.move(office.log, office.settings, name, verb, reason=reason, now=datetime.now(UTC))
    terminal.ok(N_("version {version}: {state}"), version=record.terms.version, state=_(STATES[state]))
    return OK


@agreement.command(
    help=_(
        "Write an agreement as ODRL for data spaces: the offer, or with --member what that member agreed to.\n\n"
        "Example: coordinator agreement export --dsp --out offer.json"
    )
)
def export(
    out: Annotated[Path, typer.Option(help=_("file to write"))],
    dsp: Annotated[bool, typer.Option("--dsp", help=_("Dataspace Protocol 2025-1 (the only format)"))] = True,
    member: Annotated[str, typer.Option(help=_("member id"), show_default=False)] = "",
    version: Version = 0,
    home: Home = HOME,
) -> int:
    """Export only: no program of ours ever reads it back."""
    from contracts import dsp as words
    from coordinator.trust import agreements
    from coordinator.trust.members import names

    office = office_of(home)
    state = office.log.state()
    name, record = agreements.find(state, version)
    made: Any = words.offer(record.terms)
    if member:
        event = state.consent(member, name)
        if event is None or event.is_end():
            raise agreements.without_consent(state, member, name, names(office.database))
        made = words.agreements(record.terms, event.consent, chamber=office.settings.origin)
    out.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    terminal.ok(N_("exported to {path}"), path=out)
    return OK
