"""`coordinator policy`, `key` and `record`: statements that need more signatures than the office's."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from contracts.errors import Refused
from contracts.statements.statements import Policy, QuorumRule
from contracts.wording import N_
from coordinator.commands.console import HOME, Home, Json, Yes, _, office_of, terminal
from shell.commandline import Commands
from shell.terminal import OK, write_line
from shell.text_files import read_text

if TYPE_CHECKING:
    from coordinator.office import Office

policy = Commands(help=_("Who must cosign before anybody relies on a checkpoint."))
keys = Commands(help=_("Replace the office's or the agreement key."))
RULES = get_args(QuorumRule)
Out = Annotated[Path, typer.Option(help=_("file to hand round"))]


class ChamberKeyRole(StrEnum):
    """What a key of the chamber is for. The log's own key never changes: members have pinned it."""

    office = "office"
    agreement = "agreement"


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the coordinator's."""
    app.add_typer(policy, name="policy")
    app.add_typer(keys, name="key")
    app.command(
        "record",
        help=_(
            "Put a statement on the log once all have cosigned it; several copies of it are merged.\n\n"
            "Example: coordinator record quorum.json quorum-from-member-2.json"
        ),
    )(record)


@policy.command("show", help=_("The quorum rule in force.\n\nExample: coordinator policy show"))
def show(home: Home = HOME, as_json: Json = False) -> int:
    """And what it may be changed to."""
    state = office_of(home).log.state()
    quorum = state.quorum_at(state.size)
    seen: dict[str, object] = {
        "rule": quorum.rule,
        "members": quorum.of_members,
        "all": len(quorum.members),
        "auditors": quorum.of_auditors,
    }
    if as_json:
        terminal.json(seen | {"rules": list(RULES)})
        return OK
    terminal.ok(N_("{rule}: now {members} of {all} members and {auditors} auditors"), **seen)
    for rule in RULES:
        terminal.say("  " + rule)
    return OK


@policy.command(
    "propose",
    help=_(
        "Write the statement that changes the quorum rule: members and auditors cosign it, then record puts it "
        "on the log.\n\n"
        'Example: coordinator policy propose "members 2n//3+1, auditors 1" --out quorum.json'
    ),
)
def propose(
    rule: Annotated[str, typer.Argument(help=_("the rule, as policy show lists them"))], out: Out, home: Home = HOME
) -> int:
    """Signed by as many members' nodes as the rule in force wants, and by an auditor if there is one."""
    from contracts.envelope import seal
    from contracts.fields import new_id, time_text
    from contracts.statements.closed_list import payload

    if rule not in RULES:
        known = "; ".join(RULES)
        raise Refused(
            N_("there is no quorum rule “{rule}”"),
            why=N_("there are: {known}"),
            do=N_("coordinator policy show lists them"),
            rule=rule,
            known=known,
        )
    office = office_of(home)
    said = Policy(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        prev=office.log.state().quorum,
        quorum=rule,  # type: ignore[arg-type]
    )
    _hand_out(out, seal(payload(said), [office.settings.office_key]))
    terminal.say(N_("Next: members run client-node sign {path}, auditors auditor sign {path}"), path=out)
    return OK


def _hand_out(out: Path, entry: bytes) -> None:
    from contracts.statements import to_cosign

    out.write_text(to_cosign.write(entry), encoding="ascii")
    write_line(to_cosign.words(to_cosign.read([out.read_bytes()])[1], _))
    terminal.ok(N_("statement to cosign in {path}"), path=out)


def record(
    copies: Annotated[list[Path], typer.Argument(help=_("files that came back, each with signatures"))],
    home: Home = HOME,
) -> int:
    """The rules of the log decide whether enough have signed."""
    from contracts.envelope import cosign
    from contracts.statements import to_cosign
    from contracts.statements.statements import Key

    office = office_of(home)
    entry, said = to_cosign.read([read_text(path).encode() for path in copies])
    if isinstance(said, Key) and said.role != "office":
        entry = cosign(entry, office.settings.office_key)
    index = office.log.append(entry)
    office.log.publish()
    terminal.ok(N_("in the log as entry {index}"), index=index)
    for role in ChamberKeyRole:
        _take(office, role)
    return OK


@keys.command(
    "rotate",
    help=_(
        "Let a new key take the place of the one in use.\n\nExample: coordinator key rotate office",
    ),
)
def rotate(
    role: Annotated[ChamberKeyRole, typer.Argument(help=_("office or agreement"))], yes: Yes = False, home: Home = HOME
) -> int:
    """Both keys sign; an interrupted rotation goes on with the same command."""
    office = office_of(home)
    if _take(office, role):
        return OK
    terminal.confirm(N_("Replace the {role} key of this chamber?"), yes, role=role.value)
    entry, is_live = _successor(office, role)
    if not is_live:
        raise Refused(
            N_("the {role} key has ended and cannot name its successor"),
            do=N_("coordinator key request {role} --out FILE, for the auditors to sign"),
            role=role.value,
        )
    office.log.append(entry)
    office.log.publish()
    _take(office, role)
    return OK


@keys.command(
    "request",
    help=_(
        "Write the statement by which a new key follows one that has ended; a majority of the auditors signs it.\n\n"
        "Example: coordinator key request office --out office-key.json"
    ),
)
def request(
    role: Annotated[ChamberKeyRole, typer.Argument(help=_("office or agreement"))], out: Out, home: Home = HOME
) -> int:
    """For a key that was reported as compromised, or ended otherwise."""
    _hand_out(out, _successor(office_of(home), role)[0])
    terminal.say(N_("Next: auditors run auditor sign {path}, then coordinator record {path}"), path=out)
    return OK


def _next(office: Office, role: ChamberKeyRole) -> Path:
    return office.settings.home / "keys" / f"{role.value}.next.pem"


def _successor(office: Office, role: ChamberKeyRole) -> tuple[bytes, bool]:
    """(the statement that the next key replaces the one in use, whether the latter could still sign it)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from contracts.envelope import cosign, key_id
    from contracts.fields import time_text
    from contracts.statements import to_cosign
    from coordinator.settings import read_key, write_key

    path = _next(office, role)
    if not path.exists():
        write_key(path, Ed25519PrivateKey.generate())
    old = office.settings.office_key if role == ChamberKeyRole.office else office.settings.agreement_key
    name = key_id(old.public_key())
    is_live = office.log.state().keys[name].ended is None
    now = time_text(datetime.now(UTC))
    entry = to_cosign.successor(old if is_live else name, read_key(path), member=None, role=role.value, issued_at=now)
    return (entry if role == ChamberKeyRole.office else cosign(entry, office.settings.office_key)), is_live


def _take(office: Office, role: ChamberKeyRole) -> bool:
    """Put the next key into use if the log says that it counts."""
    from contracts.envelope import key_id
    from contracts.log.fingerprints import grouped
    from coordinator.settings import read_key
    from coordinator.trust.certificates import seal_again

    path = _next(office, role)
    held = office.log.state().live_key(None, role.value)
    if not path.exists() or held is None or held[0] != key_id(read_key(path).public_key()):
        return False
    if role == ChamberKeyRole.office:
        seal_again(office.settings.home / "tls", office.settings.office_key, read_key(path))
    os.replace(path, path.with_name(f"{role.value}.pem"))
    terminal.ok(N_("the new {role} key counts; restart coordinator serve to use it"), role=role.value)
    terminal.say(N_("Fingerprint of the new key: {print}"), print=grouped(held[0]))
    return True
