"""`auditor`: verify a log, copy and pack it, compare pins, and make the key that an admitted auditor reads with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from auditor.commands.console import Identity, Json, PinsFile, _, terminal
from auditor.commands.inspect import look
from auditor.commands.open_evidence import open_source, read_pins
from auditor.commands.report import load_reports, write_report
from auditor.commands.sign import signing
from auditor.commands.watch import watching
from contracts.errors import Malformed, Refused, Unavailable
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import COULD_NOT, FOUND, OK, write_line
from shell.text_files import read_bytes, read_text

app = Commands(is_root=True, help=_("Check a chamber's data trust without believing its coordinator."))
pins_app = Commands(help=_("Compare what members have pinned."))


@app.command(
    help=_(
        "Check a log at a URL, in a mirror folder or in a pack.\n\nExample: auditor verify ./mirror --pins pins.json"
    )
)
def verify(
    source: Annotated[str, typer.Argument(help=_("URL, mirror folder or pack"))],
    pins: PinsFile = None,
    identity: Identity = None,
    structure: Annotated[
        bool, typer.Option("--structure", help=_("only whether it is one whole log, not what it says: much faster"))
    ] = False,
    report: Annotated[Path | None, typer.Option(help=_("also write a PDF, signed with the key of --identity"))] = None,
    as_json: Json = False,
) -> int:
    """Run the eight steps and print the verdict."""
    from auditor.reading.verdict import as_dict, print_progress, print_verdict
    from auditor.verify import verify as whole
    from auditor.verify import verify_structure
    from shell.language import translator

    if pins is None:
        return _without_pins(source)
    if report and structure:
        raise typer.BadParameter(_("a report is about a whole audit: leave out --structure"))
    if report:
        load_reports()  # said before the work, not after it
    pinned = read_pins(pins)
    evidence = open_source(source, pinned, identity)
    verdict = (verify_structure if structure else whole)(evidence, pinned, print_progress(as_json or terminal.is_quiet))
    findings = as_dict(verdict, pinned, evidence, translator("auditor", "zh")) if as_json or report else {}
    if as_json:
        terminal.json(findings)
    else:
        print_verdict(verdict, terminal)
    if report:
        write_report(findings, report, identity, quiet=as_json)
    return FOUND if verdict.findings() else OK


@app.command(
    "check-report",
    help=_("Whether a PDF report is whole, and whose key signed it.\n\nExample: auditor check-report audit.pdf"),
)
def check_report(file: Annotated[Path, typer.Argument(help=_("signed PDF report"))], as_json: Json = False) -> int:
    """Needs the file alone; with --json it gives the attached findings."""
    reports = load_reports()
    signed = reports.read_report(read_bytes(file))
    findings = reports.read_findings(signed)
    if as_json:
        terminal.json(findings)
        return OK
    terminal.ok(N_("whole, signed by key {key}; the log says whose key that is"), key=signed.keyid)
    terminal.say(N_("  evidence {pack}"), pack=findings["pack"])
    terminal.say(N_("  log of {size} entries, root {root}"), size=findings["size"], root=findings["root"])
    return OK


@app.command(
    help=_(
        "Copy a log and its documents to a folder.\n\nExample: auditor mirror https://hub.example ./mirror "
        "--pins pins.json"
    )
)
def mirror(
    url: Annotated[str, typer.Argument(help=_("the coordinator's address"))],
    folder: Annotated[Path, typer.Argument(help=_("folder of the copy"))],
    pins: PinsFile = None,
    identity: Identity = None,
) -> int:
    """Fetch everything that a later check needs."""
    from auditor.evidence.mirror import mirror as copy
    from auditor.reading.verdict import print_progress

    evidence = open_source(url, read_pins(pins) if pins else None, identity)
    size, documents, absent = copy(evidence, folder, print_progress(terminal.is_quiet))
    terminal.ok(N_("{n} entries and {held} documents in {folder}"), n=size, held=documents - absent, folder=folder)
    if absent:
        terminal.note(
            N_("{n} documents were not given out; the office admits auditors with: coordinator admit-auditor FILE"),
            n=absent,
        )
    return OK


@app.command(
    help=_(
        "Put a mirror folder and members' receipts into one file. Pins never go into it.\n\n"
        "Example: auditor pack ./mirror evidence.pack --receipts ./receipts"
    )
)
def pack(
    folder: Annotated[Path, typer.Argument(help=_("mirror folder"))],
    out: Annotated[Path, typer.Argument(help=_("file to write"))],
    receipts: Annotated[list[Path], typer.Option("--receipts", help=_("folder of receipts (repeat)"))] = (),  # type: ignore[assignment]
) -> int:
    """One file that can be checked years later without the coordinator."""
    from auditor.evidence.pack import pack_digest, write_pack
    from auditor.evidence.reader import Folder
    from auditor.reading.verdict import print_progress

    found = [file for given in receipts for file in sorted(given.glob("*.tlog-proof"))]
    n, left_out = write_pack(Folder(folder), found, out, print_progress(terminal.is_quiet))
    terminal.ok(N_("{n} files in {out}, {digest}"), n=n, out=out, digest=pack_digest(out))
    for path in left_out:
        terminal.note(N_("left out, not part of a log: {path}"), path=path)
    return OK


@app.command(
    "verify-receipt",
    help=_(
        "Check one receipt alone: what it proves, and by whom it is cosigned.\n\n"
        "Example: auditor verify-receipt consent-7.tlog-proof --pins pins.json"
    ),
)
def verify_receipt(
    file: Annotated[Path, typer.Argument(help=_("receipt"))], pins: PinsFile = None, as_json: Json = False
) -> int:
    """Needs the file and the pins, nothing else."""
    from auditor.steps.step4_receipts import judge

    if pins is None:
        raise Unavailable(
            N_("nothing to judge by: no pins were given"), do=N_("a member writes them with: client-node pins")
        )
    told = judge(file, read_pins(pins))
    if as_json:
        terminal.json(
            told.fields | {"clean": told.fault is None, "not_checked": [said.text() for said in told.not_checked]}
        )
    else:
        for said in told.sentences:
            write_line(terminal.marks.ok, said.text(terminal.translate))
        if told.promises:
            write_line(_(told.about))
            write_line(*("  " + sentence for one in told.promises for sentence in one.sentences(_)), sep="\n")
        for said in told.not_checked:
            terminal.note(said.what, **said.values)
    if told.fault:
        raise Refused(told.fault.what, code=told.fault.code, **told.fault.values)  # type: ignore[arg-type]
    return OK


@app.command(help=_("Make an auditor's key and the request that the office admits.\n\nExample: auditor init ./auditor"))
def init(
    folder: Annotated[Path, typer.Argument(help=_("folder for the key"))],
    replaces: Annotated[Path | None, typer.Option(help=_("key file of this auditor that the new key replaces"))] = None,
) -> int:
    """Write `identity.key` (keep it) and `admission.json` (hand it to the office)."""
    from auditor.evidence.identity import make_identity, read_key
    from contracts.envelope import public_text
    from contracts.log.fingerprints import of_key

    request = make_identity(folder, datetime.now(UTC), read_key(replaces) if replaces else None)
    terminal.ok(N_("key in {folder}; hand {request} to the office"), folder=folder, request=request)
    print_ = of_key(public_text(read_key(folder / "identity.key").public_key()))
    terminal.say(N_("Fingerprint of this key, which the office shows when it admits it: {print}"), print=print_)
    return OK


@app.command(
    "sign-code",
    help=_(
        "Sign a release file that you have built again and found the same.\n\n"
        "Example: auditor sign-code dist/mengbang-0.1.0.release --identity ./me/identity.key --pins pins.json"
    ),
)
def sign_code(
    file: Annotated[Path, typer.Argument(help=_("list of files of a release"))],
    identity: Identity = None,
    pins: PinsFile = None,
) -> int:
    """Members' nodes know the key from the log: client-node check --release FILE."""
    from auditor.evidence.identity import read_key
    from contracts.envelope import key_id
    from contracts.log.checkpoint import auditor_name
    from contracts.release_file import read_release_file, sign_release_file

    if identity is None or pins is None:
        raise Unavailable(
            N_("a signature needs your key and the pins of the log that knows it"),
            do=N_("auditor sign-code FILE --identity KEY --pins PINS"),
        )
    key = read_key(identity)
    name = auditor_name(read_pins(pins).origin, key_id(key.public_key()))
    signed = sign_release_file(read_release_file(read_text(file)), key, name)
    file.write_text(signed.text(), encoding="utf-8", newline="\n")
    terminal.ok(N_("release {version} signed by {name}"), version=signed.version, name=name)
    return OK


@pins_app.command(
    "compare",
    help=_("Whether at least two members have pinned the same log.\n\nExample: auditor pins compare a.json b.json"),
)
def pins_compare(
    files: Annotated[list[Path], typer.Argument(help=_("pins files of members"))], as_json: Json = False
) -> int:
    """Two members that agree: the office cannot have shown each its own log."""
    pinned = [read_pins(path) for path in files]
    for path, one in () if as_json else zip(files, pinned, strict=True):
        terminal.say(
            N_("{path}: {origin}, fingerprint {print}, size {size}, member {member}"),
            path=path,
            origin=one.origin,
            print=one.fingerprint(),
            size=one.size,
            member=one.member,
        )
    if len({one.member for one in pinned}) < 2:
        raise Refused(
            N_("these pins come from one member"),
            why=N_("only two members that agree show that there is one log"),
            do=N_("ask another member for: client-node pins"),
            code="ONE_VIEW",
        )
    if len({one.fingerprint() for one in pinned}) > 1:
        raise Refused(
            N_("these members have pinned different logs"),
            why=N_("somebody showed them two"),
            do=N_("keep all files; ask each member whom they had their invite from"),
            code="EQUIVOCATION",
        )
    known = set.intersection(*({*one.cosigners} for one in pinned))
    unlike = sorted(name for name in known if len({one.cosigners[name] for one in pinned}) > 1)
    if as_json:
        seen = [
            one.model_dump(include={"origin", "size", "member"}) | {"fingerprint": one.fingerprint()} for one in pinned
        ]
        terminal.json({"pins": seen, "members": len({one.member for one in pinned}), "unlike": unlike})
        return OK
    for name in unlike:
        terminal.note(N_("they know different keys of {name}: an older file, or a second view"), name=name)
    terminal.ok(N_("{n} members have pinned one log"), n=len({one.member for one in pinned}))
    return OK


app.add_typer(look)
app.add_typer(pins_app, name="pins")
app.add_typer(watching)
app.add_typer(signing)


def _without_pins(source: str) -> int:
    from auditor.evidence.reader import read_bundles, read_note
    from contracts.log.fingerprints import of_log
    from contracts.statements.signed import read_statement
    from contracts.statements.statements import Genesis

    evidence = open_source(source)
    bundles = read_bundles(evidence, read_note(evidence, "checkpoint").checkpoint.size)
    first = next((read_statement(entries[0]) for _name, entries in bundles), None)
    if first is None or not isinstance(genesis := first.said, Genesis):
        raise Malformed(N_("the log does not begin with a genesis statement"))
    terminal.bad(N_("nothing to judge by: no pins were given"))
    terminal.say(
        N_("  This log names itself {origin}, fingerprint {print}."),
        origin=genesis.origin,
        print=of_log(genesis.origin, genesis.log_vkey, first.digest),
    )
    terminal.say(
        N_("  Compare it with two members (client-node pins), then: auditor verify {source} --pins pins.json"),
        source=source,
    )
    return COULD_NOT


def main() -> None:
    """Console script."""
    terminal.run(app)


if __name__ == "__main__":
    main()
