"""`coordinator`: the chamber's commands."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import Malformed, Refused
from contracts.terminal import FOUND, OK
from contracts.wording import N_
from coordinator.agreement_cli import agreement
from coordinator.console import HOME, Home, Json, Lang, _, document_of, office_of, terminal
from coordinator.matters_cli import add_commands

for _name, _value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
):
    os.environ.setdefault(_name, _value)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=_("Run a chamber's data trust: admit members, publish agreements, order runs."),
)
app.add_typer(agreement, name="agreement")
add_commands(app)


@app.command(
    help=_(
        "Make keys, certificates, database and the first log entry.\n\n"
        "Example: coordinator init --name 示例商会 --domain hub.example --url https://hub.example"
    )
)
def init(
    name: Annotated[str, typer.Option(help=_("the chamber's name"))],
    domain: Annotated[str, typer.Option(help=_("host name"))],
    url: Annotated[str, typer.Option(help=_("address that members reach"))] = "",
    code: Annotated[str, typer.Option(help=_("company code"))] = "",
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """Everything that exists once."""
    import secrets

    from contracts.checkpoint import LOG_KEY, NoteKey
    from contracts.closed_list import payload
    from contracts.envelope import digest, public_text, seal
    from contracts.fields import new_id, time_text
    from contracts.statements import Genesis
    from coordinator.app import open_office
    from coordinator.certificates import ca_digest, make_certificates
    from coordinator.settings import create_home

    salted = digest(secrets.token_bytes(16) + code.encode())
    settings = create_home(home, name=name, code_digest=salted, domain=domain, url=url or f"https://{domain}")
    make_certificates(home / "tls", name=name, domain=domain)
    log = NoteKey(settings.origin, LOG_KEY, settings.log_key.public_key())
    genesis = Genesis(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        origin=settings.origin,
        log_vkey=log.vkey(),
        office=public_text(settings.office_key.public_key()),
        agreement=public_text(settings.agreement_key.public_key()),
        ca=ca_digest(home / "tls"),
        quorum="members n//2+1, auditors 1",
    )
    office = open_office(settings)
    office.log.append(seal(payload(genesis), [settings.log_key, settings.office_key, settings.agreement_key]))
    office.log.publish()
    terminal.ok(N_("keys, CA and log in {home}"), home=home)
    terminal.say(N_("Next: coordinator agreement draft, coordinator invite, coordinator serve"))
    return OK


@app.command(
    help=_(
        "Write an invite for one member.\n\nExample: coordinator invite 示例机械 --code 91440200MA4XXXXX0X --out 示例机械.invite"
    )
)
def invite(
    name: str,
    code: Annotated[str, typer.Option(help=_("统一社会信用代码 of the member"))],
    out: Annotated[Path, typer.Option(help=_("file to hand over"))],
    approve: Annotated[bool, typer.Option("--approve", help=_("approve in advance"))] = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """One file, handed to one member."""
    from contracts.envelope import digest
    from coordinator import members

    office = office_of(home)
    genesis = digest(_first_entry(office))
    made = members.invite(
        office.database, office.settings, name=name, code=code, approved=approve, genesis=genesis, now=datetime.now(UTC)
    )
    out.write_text(json.dumps(made, ensure_ascii=False, indent=1), encoding="utf-8")
    terminal.ok(N_("invite for {name} in {out}, good until {at}"), name=name, out=out, at=made["expires_at"])
    return OK


@app.command(help=_("Approve members that wait.\n\nExample: coordinator approve --all"))
def approve(
    member: Annotated[str, typer.Argument(help=_("member id"))] = "",
    everyone: Annotated[bool, typer.Option("--all", help=_("all that wait"))] = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """Sign the keys of new members."""
    from coordinator import members

    office = office_of(home)
    chosen = [row.member for row in members.waiting(office.database)] if everyone else [member]
    for one in chosen:
        members.admit(office.database, office.log, office.settings, one)
        terminal.ok(N_("{member} is admitted"), member=one)
    if not chosen:
        terminal.note(N_("nobody waits"))
    return OK


@app.command("admit-auditor", help=_("Admit an auditor's key.\n\nExample: coordinator admit-auditor admission.json"))
def admit_auditor(request: Path, home: Home = HOME, lang: Lang = "") -> int:
    """Let an auditor read documents."""
    from coordinator import members

    office = office_of(home)
    try:
        asked = json.loads(request.read_text(encoding="ascii"))
        index = members.admit_auditor(office.log, office.settings, asked)
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise Malformed(
            N_("{path} is not an auditor's request"), do=N_("it is written by: auditor init DIR"), path=request
        ) from error
    terminal.ok(N_("auditor admitted, entry {index}"), index=index)
    return OK


@app.command(help=_("Serve nodes, auditors and pages until Ctrl-C.\n\nExample: coordinator serve --port 443"))
def serve(
    host: str = "127.0.0.1",
    port: int = 8443,
    tls: Annotated[tuple[Path, Path], typer.Option(help=_("certificate and key for people's pages"))] = (
        Path(),
        Path(),
    ),
    static: Annotated[
        Path | None, typer.Option("--static", help=_("folder in which to keep the log as plain files"))
    ] = None,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """One process; everything it knows is in the database."""
    from coordinator.app import serve as run
    from coordinator.settings import read_home

    settings = read_home(home)
    certificate, key = tls if tls != (Path(), Path()) else (home / "tls" / "server.pem", home / "tls" / "server.key")
    terminal.say(N_("serving https://{host}:{port} (Ctrl-C ends)"), host=host, port=port)
    run(settings, host, port, certificate, key, static=static)
    return OK


@app.command(
    help=_("Write the log as plain files that any web server can serve.\n\nExample: coordinator export /srv/log")
)
def export(folder: Path, home: Home = HOME, lang: Lang = "") -> int:
    """A copy of the folder is a full mirror."""
    from coordinator.static import write_static

    office = office_of(home)
    office.log.publish()
    written, size = write_static(office.log, folder, office.settings.url)
    terminal.ok(N_("log of {size} entries in {folder}, {n} files written"), size=size, folder=folder, n=written)
    return OK


@app.command(help=_("Order a run under the active agreement.\n\nExample: coordinator order risk --epsilon 1 --wait"))
def order(
    task: str,
    family: Annotated[str, typer.Option(help=_("trees, gradients or moments; the task's own by default"))] = "",
    rounds: Annotated[int, typer.Option(help=_("rounds; the task's own number by default"))] = 0,
    epsilon: Annotated[str, typer.Option(help=_("privacy loss of the whole run"))] = "1",
    untold: Annotated[
        str, typer.Option(help=_("release or keep: what happens if the members are too few to judge the model"))
    ] = "release",
    min_members: int = 3,
    deadline: int = 120,
    yes: Annotated[bool, typer.Option("--yes", help=_("do not ask"))] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("say what it costs and gives, order nothing"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=_("stay until the model is released"))] = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """Shows the order in words, asks, logs it."""
    from coordinator import runs
    from engine.bundle import bundle_digest
    from engine.table import read_schema
    from engine.task import load
    from privacy.curves import rho_cap

    office, loaded = office_of(home), load(task)
    state = office.log.state()
    active = state.active_agreement()
    terms = state.agreements[active].terms.for_task(task) if active else None
    if terms is None:
        raise Refused(
            N_("no active agreement covers task {task}"),
            do=N_("coordinator agreement draft --task {task} --out FILE"),
            task=task,
        )
    schema = read_schema(document_of(office, terms.schema_digest))
    family, rho_nano = family or loaded.families[0], rho_cap(epsilon, "1e-6")
    if family not in loaded.families:
        raise Refused(
            N_("task {task} is not learned by {family}"),
            why=N_("it is learned by {families}"),
            do=N_("coordinator order {task} --family {first}"),
            task=task,
            family=family,
            families=", ".join(loaded.families),
            first=loaded.families[0],
        )
    releases = rounds or loaded.design(schema, family, rho_nano).releases
    terminal.say(
        N_(
            "Order: task {task} by {family}, {rounds} rounds, at least {least} members, epsilon {epsilon} a member (delta 1e-6), unit {unit}"
        ),
        task=task,
        family=family,
        rounds=releases,
        least=min_members,
        epsilon=epsilon,
        unit=schema.unit,
    )
    gate = _gate(office, loaded, schema, rho_nano=rho_nano, min_members=min_members, untold=untold)
    _worth(task, epsilon, schema.unit)
    if dry_run or (not yes and not typer.confirm(_(N_("Sign and log this order?")))):
        return OK
    run = runs.order(
        office.log,
        office.settings,
        loaded,
        schema,
        family=family,
        releases=releases,
        rho_nano=rho_nano,
        bundle=bundle_digest(),
        min_members=min_members,
        deadline_s=deadline,
        now=datetime.now(UTC),
        gate=gate,
    )
    terminal.ok(N_("ordered: {run}"), run=run)
    return _follow(office, run) if wait else OK


def _gate(office: Any, task: Any, schema: Any, *, rho_nano: int, min_members: int, untold: str) -> Any:
    """How the model will be judged, in words; None where units have no stable names and so no holdout."""
    from contracts.gate import MARGIN
    from contracts.statements import GateTerms
    from engine.evaluation import plan_for, units_needed

    if untold not in ("release", "keep"):
        raise Refused(N_("--untold is release or keep"), do=N_("coordinator order --help"))
    if not schema.of_kind("id"):
        terminal.note(N_("Gate: none, the table has no ids and so no holdout; members compare the model at home"))
        return None
    others = 2 if office.log.state().released(task.name) else 1
    plan = plan_for(task, schema, others=others, rho_nano=rho_nano, delta="1e-6")
    terminal.say(
        N_(
            "Gate: judged on held-out units, in their own budget of the same size; to tell harm of {margin} loss a unit"
            " {members} members need about {units} of them together; if they are too few: {untold}"
        ),
        margin=float(MARGIN),
        members=min_members,
        units=units_needed(plan, min_members),
        untold=untold,
    )
    return GateTerms(rho_nano=rho_nano, untold=untold)  # type: ignore[arg-type]


def _say_gate(gate: Any) -> None:
    for one in gate.compared:
        terminal.say(
            N_("  beside {model}: {difference} loss a unit (noise: {band} either way), {verdict}"),
            model=one.model[:23],
            difference=one.difference,
            band=one.band,
            verdict=one.verdict,
        )
    if gate.verdict == "too-few":
        terminal.note(
            N_("gate: the members are too few to tell; as the order said beforehand: {decision}"),
            decision=gate.decision,
        )
    else:
        terminal.say(N_("gate: {verdict}, {decision}"), verdict=gate.verdict, decision=gate.decision)


@app.command(
    help=_("Let the model that served before serve again.\n\nExample: coordinator rollback risk --reason harm")
)
def rollback(
    task: str,
    reason: Annotated[str, typer.Option(help=_("harm, incident or office"))] = "office",
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """One logged statement; nodes serve the other model as soon as they read it."""
    from coordinator.evaluation import Evaluation

    office = office_of(home)
    if reason not in ("harm", "incident", "office"):
        raise Refused(N_("--reason is harm, incident or office"), do=N_("coordinator rollback --help"))
    if office.log.state().released(task) is None:
        raise Refused(
            N_("no model for {task} serves now"), do=N_("coordinator status shows what was released"), task=task
        )
    back = Evaluation(office.database, office.log, office.settings).roll_back(task, reason)
    if back is None:
        terminal.ok(N_("no shared model of {task} serves any longer; members use their own"), task=task)
    else:
        terminal.ok(N_("the model of run {run} serves again"), run=back)
    return OK


def _worth(task: str, epsilon: str, unit: str) -> None:
    """What the budget buys, in words: what one member's record risks, and what a run like this gave on public data."""
    from engine.evidence import evidence

    terminal.say(
        N_(
            "Price: whoever sees all that a member sends guesses whether one {unit} is in its data right with odds at most "
            "e^{epsilon} times even, except with chance 1e-6; the budget of each member is used up by that much"
        ),
        unit=unit,
        epsilon=epsilon,
    )
    known = evidence(task)
    if not known:
        terminal.note(N_("no public figures for {task} ship with this version: what it gives is not known"), task=task)
    for one in known:
        after = one.spent.get(epsilon)
        terminal.say(
            N_(
                "  {data}, {members} members, {measure} (lower is better): alone {alone}, start {unspent}, this run {after}"
            ),
            **one.model_dump(exclude={"spent"}),
            after="?" if after is None else after,
        )
    if known and not any(one.pays(epsilon) for one in known):
        terminal.note(N_("on public data spending did not beat the unspent start: the default is not to order"))


def _follow(office: Any, run: str) -> int:
    """Print rounds as they close, until the model is released."""
    shown = 0
    while True:
        record = office.log.state().runs[run]
        ended = [(r.closed, len(r.opened.members)) for r in record.rounds if r.closed]
        for one, asked in ended[shown:]:
            terminal.say(
                N_("  round {n}/{of}: {got} of {asked} members, {outcome}"),
                n=one.round,
                of=record.order.plan.releases,
                got=len(one.contributors),
                asked=asked,
                outcome=one.outcome,
            )
        shown = len(ended)
        if record.gate and (record.release or record.gate.decision == "keep"):
            _say_gate(record.gate)
        if record.gate and record.gate.decision == "keep":
            terminal.bad(N_("the model is not released; what served before serves on"))
            return FOUND
        if record.release:
            terminal.ok(N_("model released: {model}"), model=record.release.model)
            return OK
        if record.is_complete() and not any(one.outcome == "recorded" for one, _asked in ended):
            raise Refused(
                N_("no round of this run was recorded"),
                do=N_("coordinator status shows who is missing"),
                code="NO_ROUND",
            )
        time.sleep(0.2)


@app.command(help=_("Who is here, what runs, how long the log is.\n\nExample: coordinator status --json"))
def status(as_json: Json = False, home: Home = HOME, lang: Lang = "") -> int:
    """The status page in the terminal."""
    from coordinator.pages import overview

    seen: dict[str, Any] = overview(office_of(home))
    if as_json:
        terminal.json(seen)
        return OK
    terminal.say(N_("log: {size} entries, cosigned up to {cosigned}; waiting for approval: {waiting}"), **seen)
    for member in seen["members"]:
        (terminal.ok if member["online"] else terminal.note)(N_("{name}  {member}  consent: {consent}"), **member)
    for run in seen["runs"]:
        terminal.say(N_("run {task}: round {rounds}/{of}, aborted {aborted}, released: {released}"), **run)
    return OK


def _first_entry(office: Any) -> bytes:
    from contracts.tiles import TileName, parse_bundle

    return parse_bundle(office.log.tile(TileName(None, 0, 1).path()), 1)[0]


def main() -> None:
    """Console script."""
    terminal.run(app)
