"""`auditor`: verify a log, mirror it, and make the key that an admitted auditor reads documents with."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import Malformed, TrustError, Unavailable
from contracts.terminal import COULD_NOT, FOUND, OK, Terminal
from contracts.wording import N_

terminal = Terminal("auditor")
_ = terminal.translate
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=_("Check a chamber's data trust without believing its coordinator."),
)

Lang = Annotated[str, typer.Option("--lang", help=_("zh or en"))]
Json = Annotated[bool, typer.Option("--json", help=_("machine-readable output"))]
PinsFile = Annotated[Path | None, typer.Option("--pins", help=_("pins.json of a member"))]
Identity = Annotated[Path | None, typer.Option("--identity", help=_("key file of an admitted auditor"))]


@app.command(help=_("Check a log at a URL or in a mirror folder.\n\nExample: auditor verify ./mirror --pins pins.json"))
def verify(
    source: str, pins: PinsFile = None, identity: Identity = None, as_json: Json = False, lang: Lang = ""
) -> int:
    """Run the eight steps and print the verdict."""
    from auditor.report import as_dict, print_progress, print_verdict
    from auditor.verify import verify as check

    if pins is None:
        return _without_pins(source)
    pinned = _read_pins(pins)
    verdict = check(_evidence(source, pinned.ca_pem, identity), pinned, print_progress(as_json))
    if as_json:
        terminal.json(as_dict(verdict))
    else:
        print_verdict(verdict, terminal)
    return FOUND if verdict.findings() else OK


@app.command(
    help=_(
        "Copy a log and its documents to a folder.\n\nExample: auditor mirror https://hub.example ./mirror --pins pins.json"
    )
)
def mirror(url: str, folder: Path, pins: PinsFile = None, identity: Identity = None, lang: Lang = "") -> int:
    """Fetch everything that a later check needs."""
    from auditor.mirror import mirror as copy

    ca_pem = _read_pins(pins).ca_pem if pins else ""
    written, withheld = copy(_evidence(url, ca_pem, identity), folder)
    terminal.ok(N_("{n} files in {folder}"), n=written, folder=folder)
    if withheld:
        terminal.note(
            N_("{n} documents were not given out; the office admits auditors with: coordinator admit-auditor FILE"),
            n=withheld,
        )
    return OK


@app.command(help=_("Make an auditor's key and the request that the office admits.\n\nExample: auditor init ./auditor"))
def init(folder: Path, lang: Lang = "") -> int:
    """Write `identity.key` (keep it) and `admission.json` (hand it to the office)."""
    from auditor.identity import make_identity

    request = make_identity(folder, datetime.now(UTC))
    terminal.ok(N_("key in {folder}; hand {request} to the office"), folder=folder, request=request)
    return OK


def _without_pins(source: str) -> int:
    from contracts.envelope import digest, open_entry
    from contracts.pins import fingerprint
    from contracts.statements import Genesis, parse

    first = _first_entry(source)
    genesis = parse(open_entry(first).payload)
    if not isinstance(genesis, Genesis):
        raise Malformed(N_("the log does not begin with a genesis statement"))
    terminal.bad(N_("nothing to judge by: no pins were given"))
    terminal.say(
        N_("  This log names itself {origin}, fingerprint {print}."),
        origin=genesis.origin,
        print=fingerprint(genesis.origin, genesis.log_vkey, digest(first)),
    )
    terminal.say(
        N_("  Compare it with two members (client-node pins), then: auditor verify {source} --pins pins.json"),
        source=source,
    )
    return COULD_NOT


def _first_entry(source: str) -> bytes:
    from auditor.evidence import read_bundles, read_note

    evidence = _evidence(source, "", None)
    _name, entries = next(read_bundles(evidence, read_note(evidence, "checkpoint").checkpoint.size))
    return bytes(entries[0])


def _read_pins(path: Path) -> Any:
    from pydantic import ValidationError

    from contracts.pins import Pins

    try:
        return Pins.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise Unavailable(
            N_("there is no file {path}"), do=N_("a member writes it with: client-node pins"), path=path
        ) from error
    except ValidationError as error:
        raise Malformed(
            N_("{path} is not a file of pins"), do=N_("a member writes it with: client-node pins"), path=path
        ) from error


def _evidence(source: str, ca_pem: str, identity: Path | None) -> Any:
    from auditor.evidence import Folder, Served

    if "://" not in source:
        return Folder(Path(source))
    import httpx

    from auditor.identity import SignedBy

    try:
        trusted = ssl.create_default_context(cadata=ca_pem or None)
    except ssl.SSLError as error:
        raise TrustError(N_("the CA certificate in the pins cannot be read"), code="MALFORMED") from error
    return Served(
        source, httpx.Client(verify=trusted, auth=SignedBy.of_file(identity) if identity else None, timeout=30)
    )


def main() -> None:
    """Console script."""
    terminal.run(app)
