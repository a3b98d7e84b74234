"""`client-node export` and `follow`: the log as plain files, handed from one to another where no connection does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client_node.commands.console import HOME, Home, _, terminal
from contracts.wording import N_
from shell.commandline import Commands
from shell.terminal import OK

app = Commands()


@app.command(
    help=_(
        "Write this node's copy of the log and its documents as plain files: a chamber that lost entries "
        "recovers from them.\n\n"
        "Example: client-node export /media/usb/log"
    )
)
def export(folder: Annotated[Path, typer.Argument(help=_("where to write the copy"))], home: Home = HOME) -> int:
    """Everything in it is known to every member; models and tables, no rows."""
    from client_node.home import local
    from client_node.link.mirror import read_documents
    from contracts.envelope import digest
    from shell.log_folder import write_folder

    settings, mirror, _budget = local(home)
    held = [path.read_bytes() for path in read_documents(settings.home).iterdir() if path.is_file()]
    named = {digest(data): data for data in held if digest(data) in _named(mirror.state)}
    write_folder(folder, mirror.entries(), mirror.notes(), named)
    terminal.ok(
        N_("log of {size} entries and {n} documents in {folder}"), size=mirror.state.size, n=len(named), folder=folder
    )
    return OK


def _named(state: Any) -> set[str]:
    """Digests of tables and models, which every member has: none of what one member alone is given."""
    tasks = (task for record in state.agreements.values() for task in record.terms.tasks)
    tables = {name for task in tasks for name in (task.schema_digest, task.public_model) if name}
    return tables | {name for name, held in state.documents.items() if held.kind == "model"}


@app.command(
    help=_(
        "Follow the log by a copy of its files, where the coordinator cannot be reached: its CA may have changed "
        "while this node was away.\n\nExample: client-node follow /media/usb/log"
    )
)
def follow(
    folder: Annotated[Path, typer.Argument(help=_("copy of the log"))],
    ca: Annotated[
        str,
        typer.Option(
            "--ca", help=_("fingerprint of the chamber's CA, as the chamber itself tells it"), show_default=False
        ),
    ] = "",
    home: Home = HOME,
) -> int:
    """Signed by the log, and on this node's own tree. A new CA counts if a quorum has cosigned it, or if a person
    brings its fingerprint, as with an invite."""
    from client_node.home import local
    from contracts.errors import Refused
    from contracts.log.fingerprints import grouped, is_same
    from shell.log_folder import LogFolder

    _settings, mirror, _budget = local(home)
    mirror.take(LogFolder(folder))
    terminal.ok(N_("log copy of {size} entries"), size=mirror.state.size)
    if waiting := mirror.unheeded():
        if not is_same(ca, grouped(waiting[-1].digest)):
            raise Refused(
                N_("too few members have cosigned the entry that names a new CA"),
                why=N_("whoever holds the office key could name another one to this node alone"),
                do=N_(
                    "ask the chamber for the fingerprint over another channel: client-node follow FOLDER --ca "
                    "FINGERPRINT"
                ),
                code="QUORUM",
            )
        mirror.heed(mirror.state.size)
    terminal.ok(N_("this node trusts the CA {print}"), print=grouped(list(mirror.trusted())[-1]))
    return OK
