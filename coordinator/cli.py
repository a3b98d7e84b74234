"""`coordinator`: the chamber's commands."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import Malformed, TrustError
from contracts.wording import N_
from coordinator.commands import cosigned, duties, recover
from coordinator.commands.agreement import agreement
from coordinator.commands.certificate import certificate
from coordinator.commands.console import HOME, Home, Json, _, office_of, terminal, warn_of_certificate
from coordinator.commands.models import learning
from shell.commandline import Commands
from shell.terminal import FOUND, OK, write_line

for _name, _value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
):
    os.environ.setdefault(_name, _value)

app = Commands(is_root=True, help=_("Run a chamber's data trust: admit members, publish agreements, order runs."))
app.add_typer(agreement, name="agreement")
app.add_typer(certificate, name="certificate")
duties.add_commands(app)
cosigned.add_commands(app)
recover.add_commands(app)
app.add_typer(learning)


@app.command(
    help=_(
        "Make keys, certificates, database and the first log entry.\n\n"
        "Example: coordinator init --name 示例商会 --domain hub.example --url https://hub.example"
    )
)
def init(
    name: Annotated[str, typer.Option(help=_("the chamber's name"))],
    domain: Annotated[str, typer.Option(help=_("host name"))],
    url: Annotated[str, typer.Option(help=_("address that members reach"), show_default=False)] = "",
    code: Annotated[str, typer.Option(help=_("company code"), show_default=False)] = "",
    home: Home = HOME,
) -> int:
    """Everything that exists once."""
    from coordinator.trust.founding import found

    found(home, name=name, domain=domain, url=url, code=code)
    terminal.ok(N_("keys, CA and log in {home}"), home=home)
    _say_fingerprint(office_of(home))
    terminal.say(N_("Next: coordinator agreement draft, coordinator invite, coordinator serve"))
    return OK


@app.command(
    help=_(
        "Write an invite for one member.\n\nExample: coordinator invite 示例机械 --code 91440200MA40000018 --out "
        "示例机械.invite"
    )
)
def invite(
    name: Annotated[str, typer.Argument(help=_("the company's name"))],
    code: Annotated[str, typer.Option(help=_("统一社会信用代码 of the member"))],
    out: Annotated[Path, typer.Option(help=_("file to hand over"))],
    approve: Annotated[bool, typer.Option("--approve", help=_("approve in advance"))] = False,
    home: Home = HOME,
) -> int:
    """One file, handed to one member."""
    from contracts.envelope import digest
    from coordinator.trust import members

    office = office_of(home)
    genesis = digest(_first_entry(office))
    made = members.invite(
        office.database, office.settings, name=name, code=code, approved=approve, genesis=genesis, now=datetime.now(UTC)
    )
    out.write_text(json.dumps(made, ensure_ascii=False, indent=1), encoding="utf-8")
    terminal.ok(N_("invite for {name} in {out}, good until {at}"), name=name, out=out, at=made["expires_at"])
    _say_fingerprint(office)
    return OK


def _say_fingerprint(office: Any) -> None:
    from coordinator.trust.members import chamber_fingerprint

    shown = chamber_fingerprint(office.log, office.settings)
    terminal.say(N_("Fingerprint of this chamber, which client-node join shows before it sends: {print}"), print=shown)


@app.command(help=_("Approve members that wait.\n\nExample: coordinator approve --all"))
def approve(
    member: Annotated[str, typer.Argument(help=_("member id"))] = "",
    everyone: Annotated[bool, typer.Option("--all", help=_("all that wait"))] = False,
    home: Home = HOME,
) -> int:
    """Sign the keys of new members."""
    from coordinator.trust import members

    office = office_of(home)
    chosen = [row.member for row in members.waiting(office.database)] if everyone else [member]
    refused = 0
    for one in chosen:
        try:
            shown = members.admit(office.database, office.log, office.settings, one)
            terminal.ok(N_("{member} is admitted; its node's key has the fingerprint {print}"), member=one, print=shown)
        except TrustError as error:  # the others need not wait for it
            if not everyone:
                raise
            terminal.bad(N_("{member} is not admitted: {what}"), member=one, what=error.lines(terminal.translate)[0])
            refused += 1
    if not chosen:
        terminal.note(N_("nobody waits"))
    return FOUND if refused else OK


@app.command("admit-auditor", help=_("Admit an auditor's key.\n\nExample: coordinator admit-auditor admission.json"))
def admit_auditor(
    request: Annotated[Path, typer.Argument(help=_("admission.json of auditor init"))], home: Home = HOME
) -> int:
    """Let an auditor read documents."""
    from coordinator.trust import members
    from shell.text_files import read_table

    office = office_of(home)
    words = N_("{path} is not an auditor's request"), N_("it is written by: auditor init DIR")
    asked = read_table(request, *words)
    try:
        index, shown = members.admit_auditor(office.log, office.settings, asked)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(words[0], do=words[1], path=request) from error
    terminal.ok(N_("auditor admitted, entry {index}; its key has the fingerprint {print}"), index=index, print=shown)
    terminal.note(
        N_(
            "from now on no round begins without the cosignature of an auditor, who runs: "
            "auditor watch {url} --pins PINS --identity KEY --every 60"
        ),
        url=office.settings.url,
    )
    return OK


@app.command(help=_("Serve nodes, auditors and pages until Ctrl-C.\n\nExample: coordinator serve --port 443"))
def serve(
    host: Annotated[str, typer.Option(help=_("address to listen at"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=_("port to listen at"))] = 8443,
    tls: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help=_("certificate and key that browsers trust, for a port of their own")),
    ] = None,
    tls_port: Annotated[int, typer.Option(min=0, max=65535, help=_("the port for browsers, with --tls"))] = 443,
    static: Annotated[
        Path | None, typer.Option("--static", help=_("folder in which to keep the log as plain files"))
    ] = None,
    proxy: Annotated[
        str, typer.Option(help=_("address of a proxy in front, whose X-Forwarded-For is believed"), show_default=False)
    ] = "",
    home: Home = HOME,
) -> int:
    """Everything it knows is in the database, so that several processes may serve one."""
    from coordinator.settings import read_home
    from coordinator.web.server import serve as run
    from coordinator.web.shown import PeoplesDoor

    settings = read_home(home)
    people = PeoplesDoor(tls_port, *tls) if tls else None
    warn_of_certificate(settings)
    terminal.say(N_("serving https://{host}:{port} (Ctrl-C ends)"), host=host, port=port)
    run(settings, host, port, people=people, static=static, proxy=proxy)
    return OK


@app.command(
    help=_("Write the log as plain files that any web server can serve.\n\nExample: coordinator export /srv/log")
)
def export(folder: Annotated[Path, typer.Argument(help=_("where to write the log"))], home: Home = HOME) -> int:
    """A copy of the folder is a full mirror."""
    from coordinator.store.static_log import write_static

    office = office_of(home)
    office.log.publish()
    written, size = write_static(office.log, folder, office.settings.url)
    terminal.ok(N_("log of {size} entries in {folder}, {n} files written"), size=size, folder=folder, n=written)
    return OK


@app.command(
    "sign-code",
    help=_(
        "Sign the release file of the code that members shall run.\n\n"
        "Example: coordinator sign-code dist/mengbang-0.1.0.release"
    ),
)
def sign_code(file: Annotated[Path, typer.Argument(help=_("list of files of a release"))], home: Home = HOME) -> int:
    """Nodes compare what is installed with it: client-node check --release FILE."""
    from contracts.release_file import office_name, read_release_file, sign_release_file
    from shell.text_files import read_text

    settings = office_of(home).settings
    release = read_release_file(read_text(file))
    name = office_name(settings.origin)
    file.write_text(sign_release_file(release, settings.office_key, name).text(), encoding="utf-8", newline="\n")
    terminal.ok(N_("release {version} signed by {name}"), version=release.version, name=name)
    return OK


@app.command(help=_("Who is here, what runs, how long the log is.\n\nExample: coordinator status --json"))
def status(
    as_json: Json = False,
    link: Annotated[bool, typer.Option("--link", help=_("the page's address with the office's code"))] = False,
    home: Home = HOME,
) -> int:
    """The status page in the terminal, or the address that shows it to the office from elsewhere."""
    if link:
        write_line(_address_of(home))
        return OK
    from coordinator.learning.model_cards import WORDS
    from coordinator.settings import read_home
    from coordinator.web.overview import overview

    seen: dict[str, Any] = overview(office_of(home), _)
    if as_json:
        terminal.json(seen)
        return OK
    warn_of_certificate(read_home(home))
    terminal.say(N_("log: {size} entries, cosigned up to {cosigned}; waiting for approval: {waiting}"), **seen)
    terminal.say(N_("fingerprint of the chamber: {chamber}; of its log: {log}"), **seen["fingerprints"])
    if seen["fingerprints"]["earlier"]:
        terminal.say(N_("fingerprint of invites made before the newest CA: {earlier}"), **seen["fingerprints"])
    for one in seen["awaited"]:
        terminal.note(N_("waits for approval: {name}  {member}  fingerprint of its key: {fingerprint}"), **one)
    for one in seen["ahead"]:
        terminal.bad(
            N_(
                "{name} holds {held} entries, more than this log: was an older database restored? coordinator "
                "recover --from MIRROR"
            ),
            **one,
        )
    for member in seen["members"]:
        consent = member["consent"]
        said = member | {"consent": _(consent)}
        (terminal.ok if member["online"] else terminal.note)(N_("{name}  {member}  consent: {consent}"), **said)
    for run in seen["runs"]:
        gate = WORDS[run["gate"]["verdict"]] if run["gate"] else N_("none yet")
        said = run | {"gate": _(gate), "standing": _(N_("released") if run["released"] else N_("not released"))}
        terminal.say(N_("run {task}: round {rounds}/{of}, aborted {aborted}, gate: {gate}, {standing}"), **said)
        for one in run["malformed"]:
            terminal.note(N_("round {round}: a reply of {name} was malformed and left out (step {step})"), **one)
    for one in seen["waits"]:
        terminal.note("{sentence}", **one)
    for one in seen["schedules"]:
        said = {**one, "outcome": one["outcome"] or "-"}
        terminal.say(N_("scheduled {task}: next {next}, epsilon {epsilon}; last time: {outcome}"), **said)
    for sentences in seen["promises"]:
        write_line(seen["most"], *sentences, sep="\n  ")
    return OK


def _address_of(home: Path) -> str:
    """Whoever has it sees names and presence."""
    from coordinator.settings import read_home
    from coordinator.web.insiders import code_of

    settings = read_home(home)
    return f"{settings.url}/?code={code_of(settings)}"


def _first_entry(office: Any) -> bytes:
    from contracts.log.tiles import TileName, parse_bundle

    return parse_bundle(office.log.tile(TileName(None, 0, 1).path()), 1)[0]


def main() -> None:
    """Console script."""
    terminal.run(app)


if __name__ == "__main__":
    main()
