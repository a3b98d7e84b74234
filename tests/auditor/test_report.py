"""The audit on paper: what it says, what is attached, who signed it, and that it is always the same."""

import json
import sys
from contextlib import suppress
from io import BytesIO

import pytest
from pypdf import PdfReader

from auditor.commands import report
from auditor.evidence.identity import make_identity, read_key
from auditor.evidence.pack import pack_digest, write_pack
from auditor.evidence.reader import Folder
from auditor.reading.pdf_report import as_text, make_report, read_report, sign_report
from auditor.reading.verdict import as_dict
from auditor.verify import verify
from contracts.envelope import canonical, digest, key_id
from contracts.errors import Invalid, Unavailable
from contracts.fields import moment
from contracts.log.pins import Pins
from shell.language import translator
from simulator import Firm, Trust

CHINESE = translator("auditor", "zh")


@pytest.fixture
def told(tmp_path):
    """A run whose third round uses a member who has withdrawn; a company has a name that no font holds."""
    register = canonical({"name": "机械厂😀", "code": "91440200MA4000017Q", "salt": "00" * 16})
    trust, named = Trust(), Firm()
    key = trust.key(named.member, "node", named.node).model_copy(update={"register_document": digest(register)})
    trust.say(key, trust.office, named.node)
    trust.say(trust.key(named.member, "witness", named.witness), trust.office, named.witness)
    trust.firms.insert(0, named)
    trust.whole_run()
    trust.order()
    trust.open()
    trust.consent(named, "withdraw")
    trust.close()
    folder = tmp_path / "log"
    pins = Pins.model_validate(trust.write(folder))
    (folder / "documents").mkdir()
    (folder / "documents" / digest(register)[7:]).write_bytes(register)
    return folder, pins


def findings_of(folder, pins):
    return as_dict(verify(Folder(folder), pins), pins, Folder(folder), CHINESE)


def text_of(pdf):
    """All text on the pages, without the breaks that a line's end puts into words."""
    return (
        "".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).replace("\n", "").replace("\u200b", "")
    )


def test_the_report_opens_with_verdict_and_scope_in_both_languages(told):
    folder, pins = told
    findings = findings_of(folder, pins)
    assert [f["code"] for step in findings["steps"] for f in step["findings"]] == ["TRAINED_AFTER_WITHDRAWAL"]
    english = text_of(make_report(findings, str, "en", None))
    places = [
        english.index(words)
        for words in (
            "Audit report",
            "verdict: NOT clean, 1 findings",
            "Scope",
            pins.fingerprint(),
            findings["pack"],
            "What was not checked",
            "Findings: data used without right",
            "TRAINED_AFTER_WITHDRAWAL",
            "Findings: over budget",
            "No finding.",
            "Findings: record altered or not in order",
            "To compare with the paper originals",
            "grant of 机械厂[U+1F600]",
            "Steps taken",
            "If everybody else conspires: epsilon",
        )
    ]
    assert places == sorted(places)
    chinese = text_of(make_report(findings, CHINESE, "zh", None))
    assert (
        "核验报告" in chinese
        and "无权使用数据" in chinese
        and "即使其他各方全部串通" in chinese
        and "未签名" in chinese
    )


def test_same_evidence_gives_same_bytes_before_signing(told, tmp_path):
    folder, pins = told
    once = make_report(findings_of(folder, pins), CHINESE, "zh", "sha256:" + "a" * 64)
    write_pack(Folder(folder), [], tmp_path / "evidence.pack")
    findings = findings_of(folder, pins)
    assert findings["pack"] == pack_digest(tmp_path / "evidence.pack")
    assert make_report(findings, CHINESE, "zh", "sha256:" + "a" * 64) == once
    assert b"pdfaid:part>3<" in once and b"pdfaid:conformance>A<" in once


def test_the_signature_is_the_auditors_and_covers_every_byte(told, tmp_path):
    folder, pins = told
    make_identity(tmp_path / "auditor", moment("2026-01-05T08:00:00Z"))
    key = read_key(tmp_path / "auditor" / "identity.key")
    findings = findings_of(folder, pins)
    unsigned = make_report(findings, str, "en", key_id(key.public_key()))
    signed = sign_report(unsigned, key)
    assert signed.startswith(unsigned), "signing only adds"
    told_by = read_report(signed)
    assert told_by.keyid == key_id(key.public_key())
    assert told_by.findings == as_text(findings).encode()
    assert PdfReader(BytesIO(signed)).attachments["findings.json"] == [told_by.findings]
    with pytest.raises(Invalid):
        read_report(unsigned)
    container = range(signed.index(b"/Contents <3") + 10, signed.rindex(b"0>"))
    for at in range(0, len(signed), 211):
        altered = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        if at in container:  # a signature cannot cover its own bytes; what it vouches for stays the same
            with suppress(Invalid):
                assert read_report(altered) == told_by
            continue
        with pytest.raises(Invalid) as caught:
            read_report(altered)
        assert caught.value.code == "REPORT"
    with pytest.raises(Invalid):
        read_report(signed + b"\n% and something more\n")


def test_the_commands_write_and_check_a_report(told, tmp_path, run_command):
    folder, pins = told
    (tmp_path / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    assert run_command("auditor", "init", str(tmp_path / "auditor")).returncode == 0
    out, identity = tmp_path / "audit.pdf", tmp_path / "auditor" / "identity.key"
    judged = ("auditor", "verify", str(folder), "--pins", str(tmp_path / "pins.json"), "--report", str(out))
    made = run_command(*judged, "--identity", str(identity), "--json")
    assert made.returncode == 1, made.stderr
    assert read_report(out.read_bytes()).findings.decode() == made.stdout
    whole = run_command("auditor", "check-report", str(out), "--lang", "en")
    assert whole.returncode == 0 and key_id(read_key(identity).public_key()) in whole.stdout
    assert json.loads(run_command("auditor", "check-report", str(out), "--json").stdout) == json.loads(made.stdout)
    out.write_bytes(out.read_bytes().replace(b"endobj", b"endobJ", 1))
    altered = run_command("auditor", "check-report", str(out), "--lang", "en")
    assert altered.returncode == 2 and len(altered.stderr.strip().splitlines()) == 3
    unsigned = run_command(*judged, "--lang", "en")
    assert unsigned.returncode == 1 and "is not signed" in unsigned.stdout


def test_without_the_extra_three_lines_name_the_command(monkeypatch):
    monkeypatch.delitem(sys.modules, "auditor.reading.pdf_report")
    monkeypatch.setitem(sys.modules, "typst", None)
    monkeypatch.delattr("auditor.reading.pdf_report")
    with pytest.raises(Unavailable) as caught:
        report.load_reports()
    what, why, do = caught.value.lines()
    assert what and "typst" in why and do == "install them with: pip install 'mengbang[auditor-report]'"
