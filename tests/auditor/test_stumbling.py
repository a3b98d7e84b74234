"""What nobody foresaw is a finding of its step, or three lines: never silence, and never clean."""

import json
from array import array

import pytest

import flips
import hostile_mirror
from auditor.commands.open_evidence import open_source, read_pins
from auditor.evidence.pack import Pack, write_pack
from auditor.evidence.reader import Folder, limit_of, read_sizes
from auditor.verify import verify
from contracts.errors import Malformed, TrustError
from contracts.log import tiles
from contracts.statements.artefact import of_round
from hostile_mirror import Story


@pytest.fixture(scope="module")
def honest():
    _trust, files, pins = hostile_mirror.honest(Story)
    return files, pins


def found(files, pins):
    return {(finding.code, getattr(finding, "file", "")) for finding in verify(flips.Held(files), pins).findings()}


STEPS = {
    "auditor.verify.apply_read": "#0",
    "auditor.verify.compare": "",
    "auditor.verify.check_answers": "",
    "auditor.verify.compare_seen": "tile/",
    "auditor.verify.other_files": "tile/",
    "auditor.steps.step4_views.parse_note": "checkpoints/11",
    "auditor.steps.step4_receipts.read_receipt": "receipts/consent-8.tlog-proof",
    "auditor.steps.step7_budgets.accounts": "",
    "auditor.steps.step8_models.read_list": "documents",
    "auditor.steps.step8_gates.judge": "documents",
    "auditor.evidence.documents.digest": "documents",
}


@pytest.mark.parametrize("where", STEPS)
def test_a_check_that_raises_what_nobody_foresaw_is_a_finding_about_the_file_at_hand(honest, monkeypatch, where):
    def stumble(*_given, **_named):
        raise RecursionError("deeper than anyone thought")

    monkeypatch.setattr(where, stumble)
    named = {file for code, file in found(*honest) if code == "UNFORESEEN"}
    assert named and any(file.startswith(STEPS[where]) for file in named), named


def test_what_a_disk_or_an_absent_log_refuses_is_for_the_command_to_say(honest, monkeypatch):
    files, pins = honest
    monkeypatch.setattr("auditor.verify.other_files", lambda *given, **named: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        verify(flips.Held(files), pins)


@pytest.mark.parametrize("size", [10**15, 10**16 - 1])
def test_a_size_beyond_every_log_costs_no_memory(size):
    name = tiles.TileName(3, 0, min(tiles.WIDTH, size >> 24))
    assert tiles.is_of(name, size) and not tiles.is_of(tiles.TileName(None, 0, 7), size)
    for small in (1, 255, 256, 257, 65_536, 70_000):
        listed = set(tiles.names(small))
        assert all(tiles.is_of(name, small) for name in listed)
        assert not any(tiles.is_of(name, small) for name in set(tiles.names(small + 300)) - listed)


def test_a_file_that_is_larger_than_its_kind_may_be_is_named_and_not_read(honest, tmp_path):
    files, pins = honest
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    large = next(path for path in files if path.startswith("documents/"))
    for path in (large, "policy", "receipts/large", "checkpoints/99"):
        with (tmp_path / path).open("wb") as file:
            file.truncate(limit_of(path) + 1)  # a hole: it takes no room on the disk
    evidence = Folder(tmp_path)
    named = {
        file: code for code, file in ((f.code, f.file) for f in verify(evidence, pins).findings() if hasattr(f, "file"))
    }
    assert {path: named.get(path) for path in (large, "policy", "receipts/large")} == dict.fromkeys(
        (large, "policy", "receipts/large"), "TOO_LARGE"
    )
    assert "checkpoints/99" in named
    with pytest.raises(Malformed, match="larger than any file"):
        write_pack(evidence, [], tmp_path.parent / "too-large.pack")


def test_an_artefact_beyond_its_plan_is_found_before_it_is_parsed(honest):
    """Four numbers a round are planned; the office logs a contribution of a hundred thousand."""

    class Large(hostile_mirror.Twist):
        def document(self, data):
            if b'"kind":"contribution"' not in data or self.done:
                return data
            self.done = "large"
            return of_round("contribution", "sha256:" + "0" * 64, 1, array("q", [1] * 100_000)).to_bytes()

    trust = hostile_mirror.told(Story, Large(None, "", 0))
    _files, pins = honest
    assert "TOO_LARGE" in {
        code for code, _ in found(hostile_mirror.mirror_of(trust), type(pins).model_validate(trust.pins()))
    }


def test_pins_that_hold_no_keys_are_three_lines(honest, tmp_path):
    _files, pins = honest
    held = json.loads(pins.model_dump_json())
    for changed in ({"log_vkey": "x"}, {"cosigners": {"a": "b"}}, {"size": -1}, {"root": None}):
        (tmp_path / "pins.json").write_text(json.dumps(held | changed))
        with pytest.raises(Malformed, match="is not a file of pins"):
            read_pins(tmp_path / "pins.json")
    (tmp_path / "pins.json").write_text(json.dumps(held | {"ca_pem": "é"}))
    with pytest.raises(TrustError, match="CA certificate"):
        open_source("https://hub.example", read_pins(tmp_path / "pins.json"))


@pytest.mark.parametrize(
    "text",
    [b"7", b"{}", b"[1.5]", b"[-1]", b"[true]", b'["1"]', b"[1e400]", b"[" * 10**6, b"\xff", b"[" + b"9" * 5000 + b"]"],
)
def test_sizes_are_whole_numbers_in_a_list(text):
    with pytest.raises(Malformed):
        read_sizes(text)


def test_a_damaged_pack_is_three_lines(honest, tmp_path):
    import random

    files, _pins = honest
    for path, data in files.items():
        (tmp_path / "m" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / path).write_bytes(data)
    write_pack(Folder(tmp_path / "m"), [], tmp_path / "good.pack")
    good, draw = (tmp_path / "good.pack").read_bytes(), random.Random(5)
    for _ in range(300):
        at = 512 * draw.randrange(len(good) // 512) + draw.randrange(512)
        (tmp_path / "bad.pack").write_bytes(good[:at] + bytes([good[at] ^ 1 + draw.randrange(255)]) + good[at + 1 :])
        try:
            Pack(tmp_path / "bad.pack")
        except Malformed as error:
            assert error.code == "PACK"


@pytest.mark.parametrize("document", [b"null", b"[1,2,3]", b"[[]]", b"{}"])
def test_the_commands_find_a_list_that_is_none_and_copy_what_there_is(tmp_path, run_command, document):
    """The case that was: exit 1, and not a word."""
    twist = hostile_mirror.Twist(None, "", 0)
    twist.document = lambda data: document if data.startswith(b'["') else data
    trust = hostile_mirror.told(Story, twist)
    files, pins = hostile_mirror.mirror_of(trust), trust.pins()
    for path, data in files.items():
        (tmp_path / "m" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / path).write_bytes(data)
    (tmp_path / "pins.json").write_text(json.dumps(pins))
    done = run_command("auditor", "verify", str(tmp_path / "m"), "--pins", str(tmp_path / "pins.json"), "--lang", "en")
    assert done.returncode == 1 and "NOT clean" in done.stdout and "documents/" in done.stdout, done.stderr
    done = run_command("auditor", "mirror", str(tmp_path / "m"), str(tmp_path / "copy"), "--lang", "en")
    assert done.returncode == 0 and (tmp_path / "copy" / "checkpoint").exists(), done.stderr
