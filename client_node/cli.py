"""`client-node`: the member's commands. Those that do not compute import neither torch nor Flower."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from client_node.commands.consent import consent
from client_node.commands.console import HOME, Home, Json, _, terminal
from client_node.commands.copies import app as copies
from client_node.commands.data import app as data_commands
from client_node.commands.data import write_map
from client_node.commands.join import app as joining
from client_node.commands.key import keys, sign_statement
from client_node.commands.receipts import proofs
from client_node.commands.results import serving
from contracts.errors import Unavailable
from contracts.wording import N_, visible
from shell.commandline import Commands
from shell.terminal import FOUND, OK, write_line

for _name, _value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("OMP_NUM_THREADS", "1"),
):
    os.environ.setdefault(_name, _value)

app = Commands(is_root=True, help=_("A member's node: data stay here, limits are kept here, results are served here."))
app.add_typer(consent, name="consent")
app.add_typer(data_commands, name="data")
app.add_typer(keys, name="key")
app.command(
    "sign",
    help=_("Cosign a statement that changes the chamber's quorum.\n\nExample: client-node sign quorum.json"),
)(sign_statement)
app.add_typer(proofs)
app.add_typer(joining)
app.add_typer(copies)
app.add_typer(serving)


@app.command(help=_("Make this node's keys and configuration.\n\nExample: client-node init --data /data/erp"))
def init(
    data: Annotated[Path, typer.Option(help=_("folder with this member's files"))],
    home: Home = HOME,
) -> int:
    """Keys that never leave this machine."""
    import client_node.data.suggestions  # noqa: F401  # what is not installed is missed before keys are made
    from client_node.home import create_home
    from contracts.envelope import key_id
    from contracts.log.fingerprints import grouped
    from engine.table import shipped
    from engine.task import names

    if not data.is_dir():
        raise Unavailable(
            N_("there is no folder {folder}"), do=N_("name the folder of your exports: --data FOLDER"), folder=data
        )
    settings = create_home(home, data, terminal.translate)
    terminal.ok(
        N_("keys made, readable by you only; fingerprint {print}"),
        print=grouped(key_id(settings.node_key.public_key())),
    )
    terminal.ok(N_("configuration {path}: limits of this member"), path=home / "config.toml")
    write_map(settings, [shipped(f"engine.{name}") for name in names()])
    terminal.say(N_("Next: client-node data check, then client-node join INVITE"))
    return OK


@app.command(
    help=_("Check keys, clock, connection, log, code, data and budget.\n\nExample: client-node check --privacy")
)
def check(
    release: Annotated[
        Path | None, typer.Option("--release", help=_("signed release file to compare the installed code with"))
    ] = None,
    privacy: Annotated[bool, typer.Option("--privacy", help=_("attack this node's own release path"))] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Every line says what is wrong and what to do."""
    from client_node.commands.checks import run_checks

    if privacy:
        return _check_privacy(home, as_json)
    results = run_checks(home, release)
    if as_json:
        terminal.json(
            [
                {"check": name, "ok": error is None, "detail": detail}
                | dict(zip(("error", "why", "do"), error.lines() if error else (None, None, None), strict=True))
                for name, detail, error in results
            ]
        )
    for name, detail, error in () if as_json else results:
        label = terminal.translate(name)
        if error is None:
            write_line(terminal.marks.ok, visible(f"{label}  {detail}"))
        else:
            write_line(
                terminal.marks.bad, label, *(f"\n    {line}" for line in error.lines(terminal.translate) if line)
            )
    return FOUND if any(error for *_rest, error in results) else OK


def _check_privacy(home: Path, as_json: bool) -> int:
    """Canaries on synthetic rows through the code that this member's rows go through."""
    from client_node.home import connected, follow
    from client_node.membership import consents
    from client_node.rounds import privacy_check

    settings, mirror, _budget, uplink = connected(home)
    made, index = privacy_check.check(settings), None
    try:
        follow(mirror, uplink)
        if privacy_check.is_news(mirror.state, made):
            index = consents.send(settings, mirror, uplink, made)
    except Unavailable:
        terminal.note(N_("the coordinator is away; the node tells the log when it runs next"))
    if as_json:
        terminal.json(made.model_dump(mode="json") | {"index": index})
        return FOUND if made.faults else OK
    for fault in made.faults:
        terminal.bad(privacy_check.SENTENCES[fault])
    if not made.faults:
        terminal.ok(N_("conformance: passed on this machine, today"))
    _say_measured(made)
    if index is not None:
        terminal.ok(N_("signed and in the log as entry {index}; the proof was verified and kept"), index=index)
    return FOUND if made.faults else OK


def _say_measured(made: Any) -> None:
    terminal.say(
        N_(
            "measured: epsilon is at least {low} where {claim} is claimed (delta {delta}); no noise at all would "
            "show {visible}"
        ),
        low=made.epsilon_at_least,
        claim=made.epsilon_claimed,
        delta=made.delta,
        visible=made.epsilon_visible,
    )
    terminal.say(N_("This is a lower bound with 95 % confidence, not the truth: what holds is the claim."))


@app.command(
    help=_("Take part: follow and cosign the log, contribute to rounds, until Ctrl-C.\n\nExample: client-node run")
)
def run(
    witness: Annotated[
        str,
        typer.Option(
            "--witness", help=_("HOST:PORT at which logs and monitors reach this node's witness"), show_default=False
        ),
    ] = "",
    home: Home = HOME,
) -> int:
    """One long-lived process a home."""
    import signal

    from client_node.home import connected
    from client_node.link.authorities import certificate_ends
    from client_node.settings import claim

    with claim(home):
        from client_node.rounds.node import Node

        settings, mirror, budget, uplink = connected(home)
        node = Node(settings, uplink, mirror, budget)
        signal.signal(signal.SIGTERM, lambda *_arguments: node.stop())
        end_witness = _serve_witness(mirror, witness) if witness else lambda: None
        terminal.ok(N_("running for {member}; Ctrl-C ends"), member=settings.member)
        _warn_of_certificate(certificate_ends(home))
        try:
            node.run()
        except KeyboardInterrupt:
            node.stop()
        finally:
            end_witness()
    return OK


def _serve_witness(mirror: Any, address: str) -> Any:
    from client_node.link.witness_server import listen, make_app, serve

    stop = serve(make_app(lambda: mirror.witness, mirror.log, lambda: mirror.tree), listen(address))
    terminal.ok(N_("witness at http://{address}: add-checkpoint, and its newest checkpoint"), address=address)
    return stop


@app.command(help=_("What was agreed, spent and released.\n\nExample: client-node status --json"))
def status(home: Home = HOME, as_json: Json = False) -> int:
    """From this node's own copy of the log and its own ledger."""
    from client_node.home import local
    from client_node.link.authorities import certificate_ends
    from client_node.membership import others, refusals
    from client_node.membership.waiting import waits_of
    from contracts.fields import time_text
    from contracts.promise import promises as promised
    from privacy.accounting import epsilon

    settings, mirror, budget = local(home)
    companions, waits = others.shown(settings, None, mirror.state), waits_of(mirror.state, settings.member)
    year = str(datetime.now(UTC).year)
    promises = promised(mirror.state, year, epsilon, settings.member)
    checked = mirror.state.privacy_checks.get(settings.member)
    ends = certificate_ends(settings.home)
    seen = {
        "member": settings.member,
        "certificate_ends": ends and time_text(ends),
        "privacy_check": checked and {"index": checked[0], **checked[1].model_dump(mode="json")},
        "log_size": mirror.state.size,
        "accounts": _accounts(mirror.state, settings.member, year),
        "promises": [promise.sentences(_) for promise in promises],
        "waits": [said.translated(_) for said in waits],
        "in_rounds_with": [asdict(one) for one in companions],
        "ledger_rho_nano": budget.head().rho_total_nano,
        "released": [
            {"task": r.order.task, "model": r.release.model, "rounds": r.release.rounds}
            for r in mirror.state.runs_in_order()
            if r.release
        ],
        "bytes_left": sum(row[2] for row in budget.gone()),
        "refused": [dict(zip(("at", "code", "reason", "what"), row, strict=True)) for row in budget.refused()],
        "refusals_not_on_the_log": [said.model_dump() for said in refusals.kept(settings)],
    }
    if as_json:
        terminal.json(seen)
    else:
        _say_status(seen, checked and checked[1])
        _warn_of_certificate(ends)
        _say_others(mirror.state, companions)
    return OK


def _warn_of_certificate(ends: datetime | None) -> None:
    """From 60 days before the end on of the certificate that the chamber showed last."""
    from shell.certificates import warning

    told = warning(ends, datetime.now(UTC)) if ends else None
    if told:
        terminal.bad(told[0], **told[1])
        terminal.say(N_("  -> ask the chamber to run: coordinator certificate renew"))


def _accounts(state: Any, member: str, year: str) -> list[dict[str, Any]]:
    """What the log has charged to this member in a year."""
    from privacy.accounting import epsilon

    return [
        {
            "dataset": dataset,
            "unit": unit,
            "partition": partition,
            "rho_nano": rho_nano,
            "epsilon": round(epsilon(rho_nano, "1e-6"), 4),
        }
        for (who, dataset, unit, partition, when), rho_nano in state.charges.items()
        if (who, when) == (member, year)
    ]


def _say_others(state: Any, companions: list[Any]) -> None:
    """Who else was in this member's rounds; who vouches for them where the agreement shows nobody."""
    from contracts.promise import VOUCHED

    for one in companions:
        terminal.say(N_("in rounds with: {who}"), who=one.label())
    active = state.active_agreement()
    if active and state.agreements[active].terms.members_shown is None:
        terminal.say(VOUCHED)


def _say_status(seen: dict[str, Any], checked: Any) -> None:
    terminal.say(N_("member {member}, log copy of {log_size} entries, {bytes_left} bytes left this machine"), **seen)
    for sentence in (sentence for promise in seen["promises"] for sentence in promise):
        write_line(" ", sentence)
    if checked and checked.faults:
        terminal.bad(N_("this node's newest privacy check failed, entry {index}"), index=seen["privacy_check"]["index"])
    elif checked:
        _say_measured(checked)
    for sentence in seen["waits"]:
        terminal.note("{sentence}", sentence=sentence)
    for one in seen["refused"][-5:]:
        terminal.say(N_("refused {at}: {what} ({code} {reason})"), **one)
    for one in seen["refusals_not_on_the_log"]:
        terminal.bad(
            N_(
                "since {since} the coordinator has not put this refusal on the log: {reason}, run {order}; tell "
                "an auditor"
            ),
            **one,
        )
    for one in seen["released"]:
        terminal.say(N_("released: {task} after {rounds} rounds, {model}"), **one)


@app.command(help=_("Everything that ever left this machine.\n\nExample: client-node leaves"))
def leaves(home: Home = HOME, as_json: Json = False) -> int:
    """From the journal of the one gate."""
    from client_node.home import local

    _settings, _mirror, budget = local(home)
    gone = budget.gone()
    if as_json:
        terminal.json([{"at": at, "kind": kind, "bytes": size, "digest": name} for at, kind, size, name in gone])
    else:
        for at, kind, size, name in gone:
            write_line(f"{at}  {kind:<13} {size:>8}  {name[:23]}")
        terminal.say(N_("{n} messages, {total} bytes"), n=len(gone), total=sum(size for _, _, size, _ in gone))
    return OK


@app.command(help=_("Write this member's pins for an auditor.\n\nExample: client-node pins --out pins.json"))
def pins(out: Annotated[Path, typer.Option(help=_("file to write"))] = Path("pins.json"), home: Home = HOME) -> int:
    """A member's view, never the coordinator's."""
    from client_node.home import local

    _settings, mirror, _budget = local(home)
    made = mirror.pins()
    out.write_text(made.model_dump_json(indent=1), encoding="utf-8")
    terminal.ok(N_("pins in {path}; fingerprint {print}"), path=out, print=made.fingerprint())
    return OK


def main() -> None:
    """Console script."""
    terminal.run(app)


if __name__ == "__main__":
    main()
