"""Where commands meet the PDF report, whose libraries are an extra: a light auditor works without them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from auditor.commands.console import terminal
from contracts.errors import Unavailable
from contracts.wording import N_


def load_reports() -> ModuleType:
    """`auditor.reading.pdf_report`; Unavailable names the command that installs what it needs."""
    try:
        from auditor.reading import pdf_report
    except ImportError as error:
        raise Unavailable(
            N_("PDF reports need libraries that are not installed here"),
            why=N_("{error}"),
            do=N_("install them with: pip install 'mengbang[auditor-report]'"),
            error=error,
        ) from error
    return pdf_report


def write_report(findings: dict[str, Any], out: Path, identity: Path | None, *, quiet: bool) -> None:
    """Write the PDF whole or not at all, signed if the auditor's key is at hand."""
    from auditor.evidence.identity import read_key
    from contracts.envelope import key_id

    reports = load_reports()
    key = read_key(identity) if identity else None
    signer = key_id(key.public_key()) if key else None
    pdf = reports.make_report(findings, terminal.translate, terminal.lang, signer)
    part = out.with_name(out.name + ".part")
    part.write_bytes(reports.sign_report(pdf, key) if key else pdf)
    part.replace(out)
    if quiet:
        return
    if key:
        terminal.ok(N_("report in {out}, signed by key {key}"), out=out, key=signer)
    else:
        terminal.note(N_("report in {out} is not signed: give your key with --identity"), out=out)
