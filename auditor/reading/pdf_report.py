"""The audit as a signed PDF/A-3 for people and archives; the findings of `--json` are attached to it, byte for byte.

The same findings, language and key give the same bytes before signing: no clock, no path, no font of the machine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import typst
from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fontTools.ttLib import TTFont
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, SimpleSigner, sign_pdf
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore
from pylopdf_fonts_zh_cn import sans_path

from auditor.reading.fault_meanings import SEVERITIES, TITLES
from contracts.envelope import key_id
from contracts.errors import Invalid
from contracts.fields import moment
from contracts.promise import MOST
from contracts.wording import N_, Language
from shell.terminal import json_text

TEMPLATE = Path(__file__).with_name("templates") / "report.typ"
FIELD, ATTACHED = "Auditor", "findings.json"
Translate = Callable[[str], str]
Row = list[str]


def make_report(findings: dict[str, Any], translate: Translate, lang: Language, signer: str | None) -> bytes:
    """The unsigned PDF of `as_dict`'s findings. `signer` is the KeyId that will sign it, None for a working copy."""
    seen = findings["seen_at"]
    pdf = typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        font_paths=typst.Fonts(include_system_fonts=False, font_paths=[sans_path().parent]),
        sys_inputs={
            "data": json.dumps(_printable(_page(findings, translate, lang, signer))),
            "findings": as_text(findings),
        },
        pdf_standards=["a-3a"],
        timestamp=int(moment(seen).timestamp()) if seen else 0,
    )
    assert isinstance(pdf, bytes)
    return pdf


def as_text(findings: dict[str, Any]) -> str:
    """The findings as they are printed by `--json` and attached."""
    return json_text(findings) + "\n"


def _page(findings: dict[str, Any], translate: Translate, lang: Language, signer: str | None) -> dict[str, Any]:
    found = [finding for step in findings["steps"] for finding in step["findings"]]
    if findings["clean"]:
        verdict = translate(N_("verdict: clean, {n} entries, root {root}"))
    else:
        verdict = translate(N_("verdict: NOT clean, {n} findings"))
    return {
        "title": translate(N_("Audit report")),
        "author": signer or translate(N_("unsigned working copy")),
        "lang": lang,
        "clean": findings["clean"],
        "verdict": verdict.format(n=len(found) or findings["size"], root=findings["root"][:16]),
        "attached": translate(N_("the findings for programs, and the digest of the evidence")),
        "sections": [
            _scope(findings, translate, signer),
            _unchecked(findings, translate, lang),
            *_groups(found, translate, lang),
            _sample(findings, translate, lang),
            _steps(findings, translate, lang),
        ],
    }


def _section(title: str, text: Row, head: Row, rows: list[Row], columns: Row | None = None) -> dict[str, Any]:
    return {"title": title, "text": text, "head": head, "rows": rows, "columns": columns or ["auto", "1fr"]}


def _scope(findings: dict[str, Any], translate: Translate, signer: str | None) -> dict[str, Any]:
    pins = findings["pins"]
    rows = [
        (N_("log"), findings["origin"]),
        (N_("fingerprint, to compare with two members"), pins["fingerprint"]),
        (N_("entries"), str(findings["size"])),
        (N_("root"), findings["root"]),
        (N_("seen by a quorum of witnesses at"), findings["seen_at"] or translate(N_("no quorum has seen it"))),
        (N_("judged by the pins of member"), f"{pins['member']} ({pins['size']})"),
        (N_("evidence, as one pack"), findings["pack"] or translate(N_("there is no pack of it"))),
        (N_("signed with key"), signer or translate(N_("unsigned working copy"))),
    ]
    head = [translate(N_("what")), translate(N_("value"))]
    return _section(translate(N_("Scope")), [], head, [[translate(name), value] for name, value in rows])


def _unchecked(findings: dict[str, Any], translate: Translate, lang: Language) -> dict[str, Any]:
    rows = [[str(step["number"]), text] for step in findings["steps"] for text in step[_in("not_checked", lang)]]
    text = [] if rows else [translate(N_("Nothing: all evidence was at hand."))]
    title = translate(N_("What was not checked")) + f" ({translate(TITLES['unknown'])})"
    return _section(title, text, [translate(N_("step")), translate(N_("what could not be told, and why"))], rows)


def _groups(found: list[dict[str, Any]], translate: Translate, lang: Language) -> list[dict[str, Any]]:
    head = [translate(word) for word in (N_("no."), N_("weight"), N_("code"), N_("place"), N_("finding"))]
    sections, findings = [], translate(N_("Findings"))
    for group, title in TITLES.items():
        rows = [
            [f"F-{n}", translate(SEVERITIES[one["severity"]]), one["code"], one["place"], one[_in("text", lang)]]
            for n, one in enumerate(found, 1)
            if one["group"] == group
        ]
        if group != "unknown":
            text = [] if rows else [translate(N_("No finding."))]
            sections.append(
                _section(f"{findings}: {translate(title)}", text, head, rows, ["auto", "auto", "auto", "1fr", "3fr"])
            )
    return sections


def _sample(findings: dict[str, Any], translate: Translate, lang: Language) -> dict[str, Any]:
    drawn = translate(N_("{n} of {of} entries with a paper original, drawn by the root of the log.")).format(
        n=len(findings["sample"]), of=findings["originals"]
    )
    rows = [[f"#{one['index']}", one["digest"], one[_in("text", lang)], ""] for one in findings["sample"]]
    head = [translate(word) for word in (N_("entry"), N_("digest"), N_("what the original must say"), N_("agrees"))]
    return _section(
        translate(N_("To compare with the paper originals")), [drawn], head, rows, ["auto", "1fr", "2fr", "auto"]
    )


def _steps(findings: dict[str, Any], translate: Translate, lang: Language) -> dict[str, Any]:
    rows = [
        [str(step["number"]), step[_in("title", lang)], str(len(step["findings"])), step["detail"]]
        for step in findings["steps"]
    ]
    said = [text for step in findings["steps"] for text in step[_in("said", lang)]]
    told = [sentence for step in findings["steps"] for one in step[_in("promises", lang)] for sentence in one]
    said += [translate(MOST), *told] if told else []
    head = [translate(word) for word in (N_("step"), N_("what is checked"), N_("findings"), N_("detail"))]
    return _section(translate(N_("Steps taken")), said, head, rows, ["auto", "1fr", "auto", "1fr"])


def _in(field: str, lang: Language) -> str:
    return f"{field}_zh" if lang == "zh" else field


def _printable(value: Any) -> Any:
    """Characters that the font lacks as their numbers: a company's name must not be able to prevent a report."""
    if isinstance(value, str):
        return "".join(c if c == "\n" or ord(c) in _drawable() else f"[U+{ord(c):04X}]" for c in value)
    if isinstance(value, dict):
        return {name: _printable(held) for name, held in value.items()}
    return [_printable(held) for held in value] if isinstance(value, list) else value


@cache
def _drawable() -> frozenset[int]:
    with TTFont(sans_path(), lazy=True) as font:
        return frozenset(code for code in font.getBestCmap() if code >= 0x20)


def sign_report(pdf: bytes, key: Ed25519PrivateKey) -> bytes:
    """The report under an auditor's key (PAdES, Ed25519 of RFC 8419), as an addition after the unsigned bytes."""
    certificate = asn1_x509.Certificate.load(_certificate(key).public_bytes(Encoding.DER))
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    signer = SimpleSigner(
        signing_cert=certificate,
        signing_key=asn1_keys.PrivateKeyInfo.load(private),
        cert_registry=SimpleCertificateStore(),
    )
    meta = PdfSignatureMetadata(field_name=FIELD, md_algorithm="sha512", subfilter=SigSeedSubFilter.PADES)
    signed: BytesIO = sign_pdf(IncrementalPdfFileWriter(BytesIO(pdf)), meta, signer=signer)
    return signed.getvalue()


def _certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    """Only wraps the key, as PDF demands; who the key belongs to is written in the log that admitted it."""
    keyid = key_id(key.public_key())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, keyid.removeprefix("sha256:"))])
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), int(keyid[7:23], 16) or 1, first, last)
    return made.add_extension(usage, critical=True).sign(key, None)


@dataclass(frozen=True, slots=True)
class ReportSignature:
    """Whose key signed a report, when it says that it did, and the findings attached to it."""

    keyid: str
    at: datetime | None
    findings: bytes


def read_report(data: bytes) -> ReportSignature:
    """A report whose one signature covers the whole file and holds; Invalid (REPORT) otherwise."""
    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # says in tracebacks what is said here in three lines
    try:
        reader = PdfFileReader(BytesIO(data), strict=True)
        (signature,) = reader.embedded_signatures
        certificate = x509.load_der_x509_certificate(signature.signer_cert.dump())
        trusted = ValidationContext(trust_roots=[signature.signer_cert], allow_fetching=False)
        status = validate_pdf_signature(signature, trusted)
        files = reader.root["/Names"]["/EmbeddedFiles"]["/Names"]
        attached: bytes = files[1]["/EF"]["/F"].data
    except Exception as error:  # whatever an altered file makes a PDF reader stumble over
        raise _altered() from error
    whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    if not (status.bottom_line and whole and files[0] == ATTACHED):
        raise _altered()
    return ReportSignature(key_id(certificate.public_key()), signature.self_reported_timestamp, attached)  # type: ignore[arg-type]


def read_findings(signed: ReportSignature) -> dict[str, Any]:
    """The findings attached to a report; Invalid (REPORT) if its signer attached something else."""
    try:
        findings: dict[str, Any] = json.loads(signed.findings)
        if {"pack", "size", "root"} <= findings.keys():
            return findings
    except (ValueError, RecursionError, AttributeError) as error:
        raise _altered() from error
    raise _altered()


def _altered() -> Invalid:
    return Invalid(
        N_("this is not a report under an auditor's signature, or it was altered"),
        why=N_("the signature must cover the whole file and hold"),
        do=N_("ask the auditor for the file again, and for the pack to check yourself"),
        code="REPORT",
    )
