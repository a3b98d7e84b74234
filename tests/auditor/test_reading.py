"""Packs, pins and the commands that read a log for people."""

import json
import tarfile

import pytest

from auditor.evidence.pack import Pack, pack_digest, write_pack
from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import canonical, digest
from contracts.errors import Malformed
from contracts.log.pins import Pins
from simulator import Firm, Trust


@pytest.fixture
def told(tmp_path):
    """A whole run, a withdrawal, and the folder it is served from."""
    trust = Trust()
    trust.whole_run()
    trust.consent(trust.firms[1], "withdraw")
    return trust, tmp_path / "log", Pins.model_validate(trust.write(tmp_path / "log"))


def packed(folder, receipts=()):
    out = folder.parent / "evidence.pack"
    write_pack(Folder(folder), list(receipts), out)
    return out


def test_a_pack_is_judged_like_the_folder_it_was_made_from_and_has_one_spelling(told):
    _, folder, pins = told
    (folder / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    n, left_out = write_pack(Folder(folder), [], folder.parent / "one.pack")
    assert left_out == ["pins.json"] and "pins.json" not in Pack(folder.parent / "one.pack").paths()
    assert n == len(Folder(folder).paths()) - 1
    assert pack_digest(folder.parent / "one.pack") == pack_digest(packed(folder))
    with tarfile.open(folder.parent / "one.pack") as opened:
        assert opened.extractfile("checkpoint").read() == (folder / "checkpoint").read_bytes()
    verdict = verify(Pack(folder.parent / "one.pack"), pins)
    assert verdict.findings() == [] and verdict.size == len(told[0].entries)


def test_every_altered_byte_of_a_pack_is_found_or_refused(told):
    _, folder, pins = told
    pack = packed(folder)
    whole = pack.read_bytes()
    for at in range(0, len(whole), 97):
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert verify(Pack(pack), pins).findings() != [], at
        except Malformed as error:
            assert error.code == "PACK"


def test_a_name_that_no_pack_can_hold_is_refused_there_and_hinders_no_check(told, run_command):
    _, folder, pins = told
    (folder / "receipts").mkdir()
    (folder / "receipts" / "机械厂.tlog-proof").write_text("-", encoding="utf-8")
    with pytest.raises(Malformed, match="cannot stand in a pack"):
        packed(folder)
    (folder.parent / "pins.json").write_text(pins.model_dump_json(), encoding="utf-8")
    judged = run_command("auditor", "verify", str(folder), "--pins", str(folder.parent / "pins.json"), "--json")
    assert judged.returncode == 1 and json.loads(judged.stdout)["pack"] is None


@pytest.mark.parametrize("cut", [1, 512, 1024, 5000])
def test_a_pack_that_was_cut_off_is_refused(told, cut):
    pack = packed(told[1])
    pack.write_bytes(pack.read_bytes()[:-cut])
    with pytest.raises(Malformed):
        Pack(pack)


def test_pins_must_come_from_two_members_and_agree(told, tmp_path, run_command):
    trust, _, pins = told
    files = {}
    for name, firm in zip("abc", trust.firms, strict=True):
        files[name] = tmp_path / f"{name}.json"
        held = pins.model_copy(update={"member": firm.member})
        files[name].write_text(held.model_dump_json(), encoding="utf-8")
    agreed = run_command("auditor", "pins", "compare", str(files["a"]), str(files["b"]), "--lang", "en")
    assert agreed.returncode == 0 and "2 members have pinned one log" in agreed.stdout
    assert pins.fingerprint() in agreed.stdout and len(pins.fingerprint().split()) == 8
    told = run_command("auditor", "pins", "compare", str(files["a"]), str(files["b"]), "--json")
    assert [one["fingerprint"] for one in json.loads(told.stdout)["pins"]] == [pins.fingerprint()] * 2
    alone = run_command("auditor", "pins", "compare", str(files["a"]), str(files["a"]), "--lang", "en")
    assert alone.returncode == 1 and "ONE_VIEW" in alone.stderr
    other = pins.model_copy(update={"member": trust.firms[2].member, "genesis": "sha256:" + "1" * 64})
    files["c"].write_text(other.model_dump_json(), encoding="utf-8")
    forked = run_command("auditor", "pins", "compare", *map(str, files.values()), "--lang", "en")
    assert forked.returncode == 1 and "EQUIVOCATION" in forked.stderr


def test_an_entry_is_shown_in_a_sentence_with_its_proof(told, run_command):
    trust, folder, _ = told
    last = len(trust.entries) - 1
    shown = run_command("auditor", "entry", str(folder), str(last), "--lang", "en")
    assert shown.returncode == 0 and "withdraws" in shown.stdout.splitlines()[0]
    told_json = json.loads(run_command("auditor", "entry", str(folder), "0", "--json").stdout)
    assert told_json["digest"] == digest(trust.entries[0]) and set(told_json["signed_by"].values()) == {
        "log",
        "office",
        "agreement",
    }
    beyond = run_command("auditor", "entry", str(folder), str(last + 1), "--lang", "en")
    assert beyond.returncode == 2 and "counted from 0" in beyond.stderr


def test_the_time_line_shows_consents_and_rounds_under_the_registered_name(tmp_path, run_command):
    register = canonical({"name": "机械厂", "code": "91440200MA4000017Q", "salt": "00" * 16})
    trust = Trust()
    named = Firm()
    key = trust.key(named.member, "node", named.node).model_copy(update={"register_document": digest(register)})
    trust.say(key, trust.office, named.node)
    trust.say(trust.key(named.member, "witness", named.witness), trust.office, named.witness)
    trust.firms.insert(0, named)
    trust.whole_run()
    trust.consent(trust.firms[0], "withdraw")
    trust.write(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / digest(register)[7:]).write_bytes(register)
    svg = tmp_path.parent / "line.svg"
    drawn = run_command("auditor", "timeline", str(tmp_path), "机械厂", "--svg", str(svg), "--lang", "en")
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.count("o") >= 3 and "risk" in drawn.stdout and "机械厂" in drawn.stdout
    assert svg.read_text(encoding="utf-8").count("<circle") == 3
    data = json.loads(run_command("auditor", "timeline", str(tmp_path), trust.firms[0].member, "--json").stdout)
    assert [bar["event"] for bar in data["bars"]] == ["grant"]
    assert [(dot["used"], dot["allowed"]) for dot in data["dots"]] == [(True, True)] * 3
    nobody = run_command("auditor", "timeline", str(tmp_path), "无此会员", "--lang", "en")
    assert nobody.returncode == 2


def test_a_round_outside_every_consent_is_marked(tmp_path, run_command):
    trust = Trust()
    trust.whole_run()
    late = trust.firms[0]
    trust.consent(late, "withdraw")
    trust.order()
    trust.open(members=tuple(sorted((f.member, 0) for f in trust.firms)))
    trust.close()
    trust.write(tmp_path)
    drawn = run_command("auditor", "timeline", str(tmp_path), late.member, "--lang", "en")
    assert drawn.returncode == 1 and "X" in drawn.stdout.splitlines()[-2]


def test_budgets_stand_beside_their_caps(told, run_command):
    trust, folder, _ = told
    held = json.loads(run_command("auditor", "budget", str(folder), "--json").stdout)["accounts"]
    assert {a["member"] for a in held} == {f.member for f in trust.firms}
    assert {a["rho_nano"] for a in held} == {trust.run.order.plan.total_rho_nano()}


def test_a_newer_copy_is_compared_with_an_older_one(told, tmp_path, run_command):
    trust, folder, _ = told
    old = packed(folder)
    trust.consent(trust.firms[1])
    trust.write(tmp_path / "newer")
    added = run_command("auditor", "diff", str(old), str(tmp_path / "newer"), "--lang", "en")
    assert added.returncode == 0 and "consents from" in added.stdout and "1 entries added" in added.stdout
    trust.entries[3], trust.entries[4] = trust.entries[4], trust.entries[3]
    trust.write(tmp_path / "forged")
    forked = run_command("auditor", "diff", str(old), str(tmp_path / "forged"), "--lang", "en")
    assert forked.returncode == 2 and "EQUIVOCATION" in forked.stderr
    assert forked.stderr.count("chamber.test/consent-log\n") == 2
