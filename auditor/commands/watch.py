"""Commands of the independent monitor: watch a log and its witnesses, and judge a proof that somebody hands over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.commands.console import Identity, Json, _, terminal
from auditor.commands.open_evidence import open_source, read_pins
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import COULD_NOT, FOUND, OK
from shell.text_files import read_text

if TYPE_CHECKING:
    from auditor.evidence.reader import Evidence, ServedEvidence
    from auditor.monitor import Watch, Watched

watching = Commands()
Pinned = Annotated[Path, typer.Option("--pins", help=_("pins.json of a member"))]


@watching.command(
    help=_(
        "Compare what a coordinator shows with what it showed before and what witnesses have seen.\n\n"
        "Example: auditor watch https://hub.example --pins pins.json --witness http://node.example:8600 --every 60"
    )
)
def watch(
    url: Annotated[str, typer.Argument(help=_("the coordinator's address"))],
    pins: Pinned,
    witness: Annotated[list[str], typer.Option("--witness", help=_("address of a witness (repeat)"))] = [],  # noqa: B006
    folder: Annotated[Path, typer.Option("--state", help=_("folder of this monitor"))] = Path("watch"),
    every: Annotated[
        float, typer.Option(help=_("seconds between two looks; 0 looks once, for cron"), show_default=False)
    ] = 0,
    identity: Identity = None,
    as_json: Json = False,
) -> int:
    """Exit 1 at the first contradiction; its proof is in the folder. With an admitted key it also cosigns."""
    from auditor.monitor import Watch

    pinned = read_pins(pins)
    monitor = Watch(folder, pinned)
    coordinator = open_source(url, pinned, identity)
    witnesses = {address: open_source(address, pinned) for address in witness}
    while True:
        try:
            seen = monitor.look(coordinator, witnesses)
            _tell(seen, as_json)
            if seen.wrong:
                return FOUND
            if identity and not seen.unheard:
                _cosign(monitor, coordinator, identity)
            if not every:
                return COULD_NOT if seen.unheard else OK
        except Unavailable as error:
            if not every:
                raise
            terminal.note(N_("not heard: {name}: {what}"), name=url, what=error.lines(terminal.translate)[0])
        time.sleep(every)


def _tell(seen: Watched, as_json: bool) -> None:
    if as_json:
        wrong = [{"view": n, "code": e.code, "what": str(e), "proof": p and str(p)} for n, e, p in seen.wrong]
        unheard = [{"view": n, "code": e.code, "what": str(e)} for n, e in seen.unheard]
        terminal.json({"size": seen.size, "wrong": wrong, "not_heard": unheard})
        return
    for name, error in seen.unheard:
        terminal.note(N_("not heard: {name}: {what}"), name=name, what=error.lines(terminal.translate)[0])
    for name, error, proof in seen.wrong:
        what = error.lines(terminal.translate)[0]
        terminal.bad(N_("{code}: {name}: {what}"), code=error.code, name=name, what=what)
        if proof:
            terminal.say(
                N_("  proof in {path}; anyone judges it with: auditor verify-proof {path} --pins PINS"), path=proof
            )
    if not seen.wrong and not seen.unheard:
        terminal.ok(N_("one log of {size} entries, whoever was asked"), size=seen.size)


def _cosign(monitor: Watch, coordinator: Evidence | ServedEvidence, identity: Path) -> None:
    from auditor.evidence.identity import read_key
    from auditor.evidence.reader import ServedEvidence

    line = monitor.cosign(read_key(identity), int(time.time()))
    if line and isinstance(coordinator, ServedEvidence):
        coordinator.send("v1/cosignatures", {"size": line[0], "line": line[1]})
        terminal.ok(N_("cosigned size {size}"), size=line[0])


@watching.command(
    "verify-proof",
    help=_(
        "Judge a proof that a log contradicted itself, holding only its key.\n\n"
        "Example: auditor verify-proof watch/proofs/fork-1a2b3c4d5e6f7a8b.json --pins pins.json"
    ),
)
def verify_proof(
    proof: Annotated[Path, typer.Argument(help=_("proof that somebody hands over"))],
    pins: Pinned,
    as_json: Json = False,
) -> int:
    """Exit 0 if the proof holds."""
    from contracts.log.contradiction import judge

    text, log = read_text(proof, N_("{path} is not a proof of a contradiction")).encode(), read_pins(pins).log()
    try:
        held = judge(text, log)
    except Malformed as error:
        raise Malformed(N_("{path} is not a proof of a contradiction"), path=proof) from error
    small, large = held.smaller.checkpoint.size, held.larger.checkpoint.size
    if as_json:
        terminal.json({"kind": held.kind, "smaller": small, "larger": large})
    elif held.kind == "fork":
        terminal.ok(
            N_("proven: the log signed two histories that differ below size {size}; both signed notes are in the file"),
            size=small,
        )
    else:
        terminal.ok(
            N_("proven: the log signed {large} entries; whoever shows only {small} of them shows a truncated log"),
            large=large,
            small=small,
        )
    return OK
