"""An auditor with a folder, a member's pins and nothing else."""

import json

import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import open_entry
from contracts.errors import Unavailable
from contracts.log.pins import Pins
from contracts.statements.closed_list import parse
from contracts.terms.agreement import Grouped
from simulator import Trust


@pytest.fixture
def honest(tmp_path):
    trust = Trust()
    trust.whole_run()
    return trust, tmp_path, Pins.model_validate(trust.write(tmp_path))


def found(folder, pins):
    return [(f.code, getattr(f, "file", "")) for f in verify(Folder(folder), pins).findings()]


def test_an_honest_log_is_clean_and_says_what_it_could_not_check(honest):
    _, folder, pins = honest
    verdict = verify(Folder(folder), pins)
    assert verdict.findings() == []
    assert [s.number for s in verdict.steps] == list(range(1, 9))
    assert any("not at hand" in text for text, _ in verdict.steps[7].not_checked)


def test_any_flipped_byte_of_any_file_is_found_and_names_the_file(honest):
    _, folder, pins = honest
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for at in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            named = {file for _, file in found(folder, pins)}
            assert path.relative_to(folder).as_posix() in named, (path, at, named)
        path.write_bytes(whole)
    assert found(folder, pins) == []


def test_a_foreign_file_is_found(honest):
    _, folder, pins = honest
    (folder / "notes.txt").write_text("hello", encoding="utf-8")
    assert found(folder, pins) == [("TREE_MISMATCH", "notes.txt")]


def test_a_truncated_log_is_found(honest, tmp_path_factory):
    trust, _, pins = honest
    shorter = tmp_path_factory.mktemp("shorter")
    trust.entries = trust.entries[:-2]
    trust.write(shorter)
    assert ("TRUNCATED", "checkpoint") in found(shorter, pins)


def test_a_log_rewritten_without_one_consent_by_someone_with_all_office_keys_is_found(honest, tmp_path_factory):
    """The cheat re-signs everything that the office signs; members' words it cannot make, only leave out."""
    trust, _, pins = honest
    cheat = Trust.__new__(Trust)
    cheat.__dict__.update(trust.__dict__)
    left_out = next(e for e in trust.entries if parse(open_entry(e).payload).kind == "consent")
    cheat.entries = [e for e in trust.entries if e != left_out]
    folder = tmp_path_factory.mktemp("rewritten")
    cheat.write(folder)
    codes = {code for code, _ in found(folder, pins)}
    assert "NO_CONSENT" in codes
    shorter_pins = pins.model_copy(update={"size": pins.size - 3, "root": "sha256:" + "5" * 64})
    assert "EQUIVOCATION" in {code for code, _ in found(folder, shorter_pins)}


def test_absent_evidence_is_not_a_verdict(tmp_path, honest):
    _, _, pins = honest
    with pytest.raises(Unavailable):
        verify(Folder(tmp_path / "nowhere"), pins)


def test_the_command_speaks_both_languages_and_exits_as_documented(honest, run_command):
    _, folder, pins = honest
    pins_file = folder.parent / "pins.json"
    pins_file.write_text(pins.model_dump_json(), encoding="utf-8")
    clean = run_command("auditor", "verify", str(folder), "--pins", str(pins_file), "--lang", "en")
    assert clean.returncode == 0 and "verdict: clean" in clean.stdout
    chinese = run_command(
        "auditor", "verify", str(folder), "--pins", str(pins_file), PYTHONIOENCODING="gbk", encoding="gbk"
    )
    assert chinese.returncode == 0 and "结论：通过" in chinese.stdout and "✔" not in chinese.stdout
    without = run_command("auditor", "verify", str(folder), "--lang", "en")
    assert without.returncode == 2 and "fingerprint" in without.stdout
    (folder / "policy").write_text("quorum none\n", encoding="utf-8")
    wrong = run_command("auditor", "verify", str(folder), "--pins", str(pins_file), "--json")
    assert wrong.returncode == 1 and json.loads(wrong.stdout)["clean"] is False
    absent = run_command("auditor", "verify", str(folder / "no"), "--pins", str(pins_file), "--lang", "en")
    assert absent.returncode == 2 and len(absent.stderr.strip().splitlines()) == 3


def test_the_structure_alone_is_checked_without_reading_what_entries_say(honest, tmp_path_factory, run_command):
    trust, folder, pins = honest
    pins_file = tmp_path_factory.mktemp("pins") / "pins.json"
    pins_file.write_text(pins.model_dump_json(), encoding="utf-8")
    asked = ("auditor", "verify", str(folder), "--pins", str(pins_file), "--structure", "--lang", "en")
    whole = run_command(*asked)
    assert whole.returncode == 0 and "what they say was not checked" in whole.stdout and "NOT_CHECKED" in whole.stdout
    told = json.loads(run_command(*asked, "--json").stdout)
    assert told["checked"] == "structure" and [step["number"] for step in told["steps"]] == [1, 3, 4]
    assert run_command(*asked, "--report", "audit.pdf").returncode == 64
    trust.consent(trust.firms[0], scope={"rounds_max": 10**6})  # broken in the rules, sound in the tree
    trust.write(folder)
    assert run_command(*asked).returncode == 0
    bundle = next(folder.rglob("tile/entries/*.p/*"))
    bundle.write_bytes(bundle.read_bytes()[:-1] + b" ")
    assert run_command(*asked).returncode == 1


@pytest.mark.parametrize(
    "lang, words", [("en", "If everybody else conspires: epsilon"), ("zh", "即使其他各方全部串通")]
)
def test_verify_and_budget_say_in_four_sentences_what_the_accounts_mean(tmp_path, run_command, lang, words):
    trust = Trust(members=4, secure_sum="required")
    trust.whole_run()
    pins = tmp_path / "pins.json"
    pins.write_text(json.dumps(trust.write(tmp_path / "log")), encoding="utf-8")
    said = run_command("auditor", "verify", str(tmp_path / "log"), "--pins", str(pins), "--lang", lang).stdout
    budget = run_command("auditor", "budget", str(tmp_path / "log"), "--lang", lang).stdout
    for text in (said, budget):
        at = text.index(words)
        assert len([line for line in text[at:].splitlines()[:4] if line.startswith(" " * 2) or words in line]) == 4
    told = json.loads(run_command("auditor", "budget", str(tmp_path / "log"), "--json").stdout)["promises"]
    assert [len(sentences) for sentences in told] == [4]


def test_a_mirror_in_which_a_round_sums_a_part_of_a_group_is_found(tmp_path):
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    trust = Trust(12, edition=2, secure_sum="required", totals=rule)
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    trust.open()
    trust.close(without=(trust.firms[0].member,))
    pins = Pins.model_validate(trust.write(tmp_path))
    assert [code for code, _ in found(tmp_path, pins)] == ["PARTIAL_GROUP"]
