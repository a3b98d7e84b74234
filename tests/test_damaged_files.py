"""Every file that a party reads, as editors, torn downloads and mistakes leave it: three lines, never a traceback."""

import json
import re
import shutil
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from auditor.evidence.identity import make_identity
from client_node.home import create_home
from client_node.serving.prepared import own_token
from contracts.errors import Malformed
from coordinator.cli import app as office_app
from coordinator.web.insiders import code_of, is_code

OTHERS = [(b"\x89PNG\r\n\x1a\n\xff\xfe\xff", ""), ('{"商会": "示例商会"}'.encode("gb18030"), "GBK")]
DAMAGES = [
    *OTHERS,
    (b"", "empty"),
    (b"\xef\xbb\xbf \n", "empty"),
    ("{一}".encode("utf-16"), "UTF-16"),
    ('{"a": 1}'.encode("utf-16-le"), "UTF-16"),
    *((text.encode(), "") for text in ("5", "null", "[1]", '"x"', "{}", "[" * 100_000)),
    (b'{"entries": 5, "headings": 5, "data": 5, "task": 5, "url": 5}', ""),
    (b'{"entries": [5], "data": [[]], "task": [], "privacy": []}', ""),
    (b"data = 5\nlimits = 5\nclosed_on = 5", ""),
]
# (party, words of a command, the file in the party's home that is damaged)
READ = [
    ("coordinator", "status", "coordinator.json"),
    ("coordinator", "status", "keys/office.pem"),
    ("coordinator", "status", "coordinator.db"),
    ("coordinator", "status --link", "office.code"),
    ("coordinator", "invite 示例 --code 91440200MA40000018 --out {home}/out", "tls/ca.pem"),
    ("coordinator", "invite 示例 --code 91440200MA40000018 --out {home}/out", "tls/server.pem"),
    ("coordinator", "agreement publish {file} --yes", "draft.json"),
    ("coordinator", "agreement diff {file}", "draft.json"),
    ("coordinator", "agreement draft --out {home}/out --schema {file}", "schema.json"),
    ("coordinator", "agreement draft --out {home}/out --public-model {file}", "public.json"),
    ("coordinator", "agreement public-model {file} --source x --out {home}/out", "rows.csv"),
    ("coordinator", "agreement public-model {file} --source x --out {home}/out", "rows.parquet"),
    (
        "coordinator",
        "agreement public-model {home}/rows.csv --source x --schema {file} --out {home}/out",
        "schema.json",
    ),
    ("coordinator", "admit-auditor {file}", "admission.json"),
    ("coordinator", "sign-code {file}", "code.release"),
    ("coordinator", "record {file}", "sheet.json"),
    ("coordinator", "serve --port 0 --tls {file} {file}", "tls.pem"),
    ("coordinator", "serve --port 0", "tls/server.pem"),
    ("coordinator", "serve --port 0", "tls/server.key"),
    ("client_node", "status", "config.toml"),
    ("client_node", "status", "invite.json"),
    ("client_node", "status", "keys/node.pem"),
    ("client_node", "status", "ledger.db"),
    ("client_node", "status", "mirror.db"),
    ("client_node", "leaves", "ledger.db"),
    ("client_node", "pins --out {home}/out", "mirror.db"),
    ("client_node", "data check", "data.toml"),
    ("client_node", "join {file} --yes", "given.invite"),
    ("client_node", "sign {file} --yes", "sheet.json"),
    ("client_node", "show {file} C1 --out {home}/out", "R1.result.json"),
    ("auditor", "verify {home} --pins {file}", "pins.json"),
    ("auditor", "verify {file} --pins {home}/good.json", "evidence.pack"),
    ("auditor", "entry {file} 0", "evidence.pack"),
    ("auditor", "entry {home} 0", "checkpoint"),
    ("auditor", "pins compare {file} {file}", "pins.json"),
    ("auditor", "verify-receipt {file} --pins {home}/good.json", "consent-7.tlog-proof"),
    ("auditor", "verify-receipt {file} --pins {file}", "pins.json"),
    ("auditor", "verify-proof {file} --pins {home}/good.json", "fork.json"),
    ("auditor", "check-report {file}", "report.pdf"),
    ("auditor", "sign {file} --identity {home}/identity.key --yes", "sheet.json"),
    ("auditor", "sign {home}/pins.json --identity {file} --yes", "other.key"),
    ("auditor", "init {home}/new --replaces {file}", "other.key"),
    ("auditor", "sign-code {file} --identity {home}/identity.key --pins {home}/good.json", "code.release"),
    ("auditor", "watch https://127.0.0.1:1 --pins {home}/good.json --state {home}", "checkpoint"),
]
TEXTS = (".json", ".toml", ".invite", ".release", ".code", ".token", ".tlog-proof")


def run(monkeypatch, capsys, package, *words):
    """(exit code, what it wrote) of a command in this process, as its console script runs it."""
    cli = import_module(f"{package}.cli")
    monkeypatch.setattr("sys.argv", [package, *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    return ended.value.code, told.out + told.err


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """A home of each party, the node's with an invite of that chamber."""
    place = tmp_path_factory.mktemp("homes")
    run = CliRunner().invoke
    named = ("--name", "示例商会", "--domain", "hub.example", "--url", "https://127.0.0.1:1")
    run(office_app, ["init", *named, "--home", str(place / "coordinator")], catch_exceptions=False)
    invited = ("示例机械", "--code", "91440200MA40000018", "--out", str(place / "given.invite"))
    run(office_app, ["invite", *invited, "--home", str(place / "coordinator")], catch_exceptions=False)
    (place / "data").mkdir()
    create_home(place / "client_node", place / "data")
    invite = json.loads((place / "given.invite").read_text("utf-8"))
    kept = {name: text for name, text in invite.items() if name != "secret"}
    (place / "client_node" / "invite.json").write_text(json.dumps(kept, ensure_ascii=False), "utf-8")
    make_identity(place / "auditor", datetime.now(UTC))
    pins = {name: invite[name] for name in ("origin", "log_vkey", "genesis", "ca_pem", "member")}
    good = pins | {"cosigners": {}, "size": 0, "root": "sha256:" + "0" * 64}
    (place / "auditor" / "good.json").write_text(json.dumps(good), "utf-8")
    return place


@pytest.mark.parametrize(("party", "words", "name"), READ)
def test_a_damaged_file_is_named_in_three_lines(homes, tmp_path, monkeypatch, capsys, party, words, name):
    home = tmp_path / "home"
    shutil.copytree(homes / party, home)
    file = home / name
    given = [word.format(home=home, file=file) for word in words.split()]
    homed = [] if party == "auditor" or "public-model" in given else ["--home", str(home)]
    for data, said in DAMAGES if file.suffix in TEXTS else OTHERS:
        file.touch(0o600)
        file.write_bytes(data)
        code, told = run(monkeypatch, capsys, party, *given, *homed)
        failed = re.findall(r"\[([A-Z_]+)\]$", told, re.MULTILINE)
        assert code in (1, 2) and not {"UNFORESEEN", "SYSTEM"} & {*failed}, (data[:20], told)
        assert len(failed) == 1 or words == "data check", (data[:20], told)  # which lists one table after another
        if file.suffix in TEXTS and said:
            assert said in told or (said == "empty" and "空" in told), (data[:20], told)


@pytest.mark.parametrize(
    ("party", "words", "name", "ends"),
    [
        ("coordinator", "status", "coordinator.json", 0),
        ("coordinator", "admit-auditor {file}", "admission.json", 0),
        ("coordinator", "invite 示例 --code 91440200MA40000018 --out {home}/out", "tls/ca.pem", 0),
        ("client_node", "status", "config.toml", 0),
        ("client_node", "status", "invite.json", 0),
        ("auditor", "pins compare {file} {file}", "good.json", 1),  # they come from one member
    ],
)
def test_an_editors_mark_at_the_beginning_changes_nothing(
    homes, tmp_path, monkeypatch, capsys, party, words, name, ends
):
    home = tmp_path / "home"
    shutil.copytree(homes / party, home)
    if name == "admission.json":
        shutil.copy(homes / "auditor" / name, home)
    file = home / name
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    given = [word.format(home=home, file=file) for word in words.split()]
    homed = [] if party == "auditor" else ["--home", str(home)]
    code, told = run(monkeypatch, capsys, party, *given, *homed)
    assert code == ends and "MALFORMED" not in told, told


def test_a_token_or_a_code_that_an_editor_damaged_opens_nothing(tmp_path):
    settings = SimpleNamespace(home=tmp_path)
    for data in (b"", b"5", b"\xff\xfe5\x00", "数据".encode("gb18030")):
        for name in ("office.code", "serve.token"):
            (tmp_path / name).touch(0o600)
            (tmp_path / name).write_bytes(data)
        assert not is_code(data.decode("latin-1"), settings)
        with pytest.raises(Malformed, match="office"):
            code_of(settings)
        if data != b"5":
            with pytest.raises(Malformed, match="serve"):
                own_token(tmp_path)
