"""Journeys over real processes, real TLS on loopback, real files: what happens, and what must not."""

import base64
import json
import re
import time
from pathlib import Path

import httpx
import pytest

from auditor.evidence.reader import Folder
from auditor.verify import verify
from contracts.envelope import digest
from contracts.log.pins import Pins
from contracts.release_file import ReleaseFile
from demo.cluster import StepFailed
from demo.world import write
from warm import WarmCluster

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 6
CANARY = "LEAKED-CUSTOMER-OF-A-FAULTY-ROW"
PLANTED = (  # lines of member 4's invoices, and the rule that each breaks
    (f"X1,{CANARY},2023-01-05,2023-03-05,about ten", "not-a-number"),
    (f"X2,{CANARY},2023-01-05,9999-12-31,10", "deadline-far-off"),
    (f"X3,{CANARY},05.31.2023,2023-07-01,10", "not-a-date"),
    (f'X4,"{CANARY},2023-01-05,2023-03-05,10', "unclosed"),
    (f"X5,{CANARY},2023-01-05,2023-03-05,1,000", "more-cells"),
)
RUN_CAP = 24_355_970  # nano-rho of epsilon 1 at delta 1e-6
pytestmark = pytest.mark.timeout(600)  # the first story also pays for starting everything


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust")
    members = write(folder / "world", 4, "tiny")
    with (members[3][1] / "invoices.csv").open("a", encoding="utf-8") as invoices:
        invoices.writelines(f"{line}\n" for line, _rule in PLANTED)
    with WarmCluster(folder, "en") as made:
        made.found(epsilon_run="4", tasks=("risk",))
        made.homes = [made.join(number, name, data) for number, (name, data) in enumerate(members, 1)]
        for home in made.homes:
            made.run_node(home)
        yield made


def order(cluster):
    """What is said of a run to its end. Beside a model that serves, the noise of so few members
    may call a good one worse."""
    words = ("risk", "--rounds", ROUNDS, "--epsilon", "1", "--deadline", "15", "--yes", "--spend-anyway", "--wait")
    said = cluster.command("coordinator", "order", *words, home="chamber", ok=(0, 1))
    assert "model released" in said or "gate: worse" in said
    return said


def begin(cluster):
    """Order a run long enough to be interrupted, and do not wait for it."""
    words = ("risk", "--rounds", 12, "--epsilon", "1", "--deadline", "15", "--yes", "--spend-anyway")
    cluster.command("coordinator", "order", *words, home="chamber")


def newest_run(cluster):
    """The newest run of training that the log knows."""
    return [run for run in cluster.log().state().runs_in_order() if run.order.evaluates is None][-1]


def wait_for_end(cluster):
    """Until the newest run is released, or judged worse than the model that serves (see `order`)."""
    end = time.monotonic() + 400
    while not ((run := newest_run(cluster)).release or (run.gate and run.gate.verdict == "worse")):
        assert time.monotonic() < end, "the run did not end"
        time.sleep(0.1)


def wait_for_round(cluster, number):
    end = time.monotonic() + 60
    while sum(one.closed is not None for one in newest_run(cluster).rounds) < number:
        assert time.monotonic() < end, f"round {number} did not come"
        time.sleep(0.1)
    assert not newest_run(cluster).release


def verdict(cluster, name):
    """An auditor's check of a fresh mirror against a member's pins."""
    time.sleep(1.5)
    pins, folder = cluster.folder / "pins.json", cluster.folder / name
    cluster.command("client_node", "pins", "--out", pins, home=cluster.homes[0])
    identity = cluster.folder / "auditor" / "identity.key"
    if not identity.exists():
        cluster.command("auditor", "init", identity.parent)
        cluster.command("coordinator", "admit-auditor", identity.parent / "admission.json", home="chamber")
        # from here on every round waits for this auditor's cosignature beside the members'
        words = ("watch", cluster.url, "--pins", pins, "--every", "1", "--state", cluster.folder / "watch")
        cluster.start("watch", "auditor", *words, "--identity", identity)
        time.sleep(3)
    cluster.command("auditor", "mirror", cluster.url, folder, "--pins", pins, "--identity", identity)
    return verify(Folder(folder), Pins.model_validate_json(pins.read_bytes())), folder


def receipts_prove_themselves(cluster, served):
    """Consent, rounds, release and one served number, each judged alone by the pins of another member."""
    pins, number = cluster.folder / "pins.json", cluster.folder / "number.receipt.json"
    kept = cluster.folder / cluster.homes[1] / "receipts"
    end = time.monotonic() + 60
    while {path.name.partition("-")[0] for path in kept.glob("*.tlog-proof")} != {"consent", "round", "release"}:
        assert time.monotonic() < end, "a running node writes its receipts by itself"
        time.sleep(0.2)
    listed = cluster.json("client_node", "receipts", home=cluster.homes[0])
    assert {"consent", "round"} == {
        Path(one["file"]).name.partition("-")[0] for one in listed if len(one["promise"]) == 4
    }
    held = [one["file"] for one in listed]
    kinds = {Path(file).name.partition("-")[0] for file in held}
    # a node that was slow to start may have said on the log that it sits out a round
    assert {"consent", "round", "release"} <= kinds <= {"consent", "round", "release", "refusal"}
    shown = served["lines"][0]["id"]
    cluster.command("client_node", "show", served["receipt"], shown, "--out", number, home=cluster.homes[0])
    for file in [*held, number]:
        assert cluster.json("auditor", "verify-receipt", file, "--pins", pins)["clean"], file
    told = cluster.json("auditor", "verify-receipt", number, "--pins", pins)
    assert json.loads(told["shown"])["id"] == shown and told["rounds"] == ROUNDS and len(told["consents"]) >= 3


def test_a_run_ends_in_a_served_result_with_a_receipt_and_a_clean_verdict(cluster):
    assert "model released" in order(cluster)
    served = cluster.json("client_node", "score", home=cluster.homes[0])
    assert served["lines"][0]["reasons"] and {v["whose"] for v in served["votes"]["votes"]} == {"own", "shared"}
    checked, folder = verdict(cluster, "first")
    receipts_prove_themselves(cluster, served)
    assert checked.findings() == []
    assert not any("recomputed" in text for step in checked.steps for text, _ in step.not_checked), (
        "sums and models were recomputed"
    )
    listed = next(p for p in sorted((folder / "documents").iterdir()))
    whole = listed.read_bytes()
    listed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    pins = Pins.model_validate_json((cluster.folder / "pins.json").read_bytes())
    assert f"documents/{listed.name}" in {getattr(f, "file", "") for f in verify(Folder(folder), pins).findings()}


def test_a_member_compares_at_home_and_may_declare_one_word(cluster):
    home = cluster.homes[0]
    held = cluster.json("client_node", "compare", "risk", home=home)
    assert held["units"] > 0 and held["index"] is None, "it stays at home"
    if held["verdict"] is None:
        with pytest.raises(StepFailed, match="nothing to declare"):
            cluster.command("client_node", "compare", "risk", "--declare", "--yes", home=home)
        return
    declared = cluster.json("client_node", "compare", "risk", "--declare", "--yes", home=home)
    checked, folder = verdict(cluster, "declared")
    assert checked.findings() == []
    entry = cluster.json("auditor", "entry", folder, declared["index"])
    assert set(entry["statement"]["predicate"]) == {
        *["record_id", "issued_at", "member", "order", "verdict", "seen", "ledger"]
    }
    assert held["verdict"] in entry["sentence"] and "nobody can check" in entry["sentence"]


def test_every_node_has_measured_its_own_release_path_and_the_log_knows(cluster):
    shown = cluster.json("coordinator", "status", home="chamber")["members"]
    assert [member["check"]["passed"] for member in shown] == [True] * 4
    made = cluster.json("client_node", "check", "--privacy", home=cluster.homes[0])
    assert made["faults"] == [] and made["index"] is None, "the same outcome on the same day is told once"
    assert cluster.json("client_node", "status", home=cluster.homes[0])["privacy_check"]["epsilon_claimed"] == "1"


def test_a_model_passes_a_gate_on_a_holdout_that_has_a_budget_of_its_own(cluster):
    shown = cluster.json("coordinator", "status", home="chamber")["runs"]
    gate = shown[-1]["gate"]
    assert gate["decision"] == "release" and gate["verdict"] in ("too-few", "not-worse"), "thirty holdout units each"
    account = {
        (a["dataset"], a["partition"]) for a in cluster.json("client_node", "status", home=cluster.homes[0])["accounts"]
    }
    assert account == {("receivables", "train"), ("receivables", "holdout")}


def test_a_released_model_has_a_card_that_leads_back_into_the_log(cluster):
    [held] = cluster.json("coordinator", "models", home="chamber")
    assert held["serves"] and held["task"] == "risk" and 0 < held["epsilon"] <= 1
    card = cluster.command("coordinator", "models", held["run"][:15], home="chamber")
    assert (
        held["model"] in card and held["run"] in card and "## Not for" in card and "at most 20000 of a member" in card
    )
    shown = httpx.get(f"{cluster.url}/models/{held['run']}?lang=zh", verify=False, trust_env=False)
    assert shown.status_code == 200 and "不适用于" in shown.text and "征信" in shown.text
    assert not {"not-worse", "too-few", "release"} & set(re.findall(r"[a-z-]+", shown.text)), "the gate speaks Chinese"
    _checked, folder = verdict(cluster, "card")
    for kind in ("gate", "release"):
        [index] = re.findall(rf"^- {kind} #(\d+)$", card, re.MULTILINE)
        entry = cluster.json("auditor", "entry", folder, index)
        assert entry["statement"]["predicateType"].endswith(f":{kind}:v1")


def test_a_released_model_is_taken_back_in_one_command(cluster):
    assert "members use their own" in cluster.command(
        "coordinator", "rollback", "risk", "--reason", "harm", home="chamber"
    )
    assert [model["serves"] for model in cluster.json("coordinator", "models", home="chamber")] == [False]
    with pytest.raises(StepFailed, match="no model for risk serves now"):
        cluster.command("coordinator", "rollback", "risk", home="chamber")


def spent(cluster):
    """Nano-rho charged to the second member by the log, training and evaluation apart: other units pay for each."""
    accounts = cluster.json("client_node", "status", home=cluster.homes[1])["accounts"]
    return {account["partition"]: account["rho_nano"] for account in accounts if account["unit"] == "counterparty"}


@pytest.mark.slow
def test_a_killed_coordinator_goes_on_where_it_stopped_and_nothing_is_debited_twice(cluster):
    before = spent(cluster)
    begin(cluster)
    wait_for_round(cluster, 1)
    cluster.stop("coordinator", kill=True)
    cluster.serve()
    wait_for_end(cluster)
    after = spent(cluster)
    assert all(after[part] - before.get(part, 0) <= RUN_CAP for part in ("train", "holdout")), (before, after)
    status = cluster.json("client_node", "status", home=cluster.homes[1])
    assert status["ledger_rho_nano"] <= sum(after.values()), "the log charged everything that the ledger knows"
    assert verdict(cluster, "second")[0].findings() == []


@pytest.mark.slow
def test_a_killed_node_comes_back_and_the_run_ends(cluster):
    begin(cluster)
    wait_for_round(cluster, 1)
    cluster.stop(cluster.homes[3], kill=True)
    cluster.run_node(cluster.homes[3])
    wait_for_end(cluster)
    checked = cluster.json("client_node", "check", home=cluster.homes[3], ok=(1,))
    assert [one["check"] for one in checked if not one["ok"]] == ["data"], "its files hold planted faults"


def test_a_withdrawn_member_is_not_asked_again_and_three_go_on(cluster):
    cluster.command("client_node", "consent", "withdraw", home=cluster.homes[3])
    output = order(cluster)
    assert "3 of 3 members" in output and "4 of" not in output
    assert verdict(cluster, "third")[0].findings() == []


def test_results_are_served_with_the_coordinator_switched_off(cluster):
    cluster.stop("coordinator")
    try:
        assert cluster.json("client_node", "score", home=cluster.homes[0])["lines"]
    finally:
        cluster.serve()


def test_bad_invites_are_refused_in_three_lines(cluster, tmp_path):
    used = cluster.folder / "01.invite"
    cluster.command("client_node", "init", "--data", tmp_path, home="stranger")
    with pytest.raises(StepFailed, match=r"used already.*\n.*one node of one member.*\n.*new one"):
        cluster.command("client_node", "join", used, "--yes", home="stranger")
    forged = json.loads(used.read_text(encoding="utf-8")) | {"ca_fingerprint": "sha256:" + "0" * 64}
    (tmp_path / "forged.invite").write_text(json.dumps(forged), encoding="utf-8")
    with pytest.raises(StepFailed, match="CA_FINGERPRINT"):
        cluster.command("client_node", "join", tmp_path / "forged.invite", "--yes", home="stranger")
    with pytest.raises(StepFailed, match="not an invite"):
        cluster.command("client_node", "join", __file__, "--yes", home="stranger")


def test_a_second_process_on_one_home_and_a_second_server_on_one_port_are_refused(cluster):
    with pytest.raises(StepFailed, match="another client-node runs"):
        cluster.command("client_node", "run", home=cluster.homes[0])
    with pytest.raises(StepFailed, match=rf"port {cluster.port}"):
        cluster.command("coordinator", "serve", "--port", cluster.port, home="chamber")


def test_bad_data_names_file_row_and_column_and_costs_nothing(cluster):
    data = cluster.folder / "world" / "member-01" / "invoices.csv"
    whole = data.read_text(encoding="utf-8")
    try:
        lines = whole.splitlines()
        broken = ",".join([*lines[1].split(",")[:-1], "many"])
        data.write_text("\n".join([lines[0], broken, *lines[2:]]), encoding="utf-8")
        with pytest.raises(StepFailed, match=r"invoices.csv row 2, column amount: not a number"):
            cluster.command("client_node", "check", home=cluster.homes[0])
        told = cluster.json("client_node", "data", "check", home=cluster.homes[0], ok=(1,))
        assert [(f["row"], f["rule"], f["value"]) for f in told[0]["findings"][:1]] == [(2, "not-a-number", "text")]
        assert "many" not in json.dumps(told) and told[0]["rows"] > 0
    finally:
        data.write_text(whole, encoding="utf-8")


def spellings(word, depth=2):
    """The bytes of a word, also inside base64 and base64 of base64, wherever it begins."""
    if not depth:
        return [word]
    inner = [base64.b64encode(b" " * at + word)[4 if at else 0 : -4] for at in range(3)]
    return [word, *(spelling for one in inner for spelling in spellings(one, depth - 1))]


def test_faults_of_a_members_files_are_named_to_it_alone_and_leave_no_trace_with_the_chamber(cluster):
    [told] = cluster.json("client_node", "data", "check", home=cluster.homes[3], ok=(1,))
    assert [f["rule"] for f in told["findings"]] == [rule for _line, rule in PLANTED] and told["rows"] > 50
    assert cluster.json("coordinator", "status", home="chamber")["runs"], "it has contributed since"
    name = next(path for path in cluster.folder.glob("world/member-04/invoices.csv")).name
    chamber = [path for path in cluster.home("chamber").rglob("*") if path.is_file()]
    held = [path.read_bytes() for path in [*chamber, *cluster.folder.glob("*.log")]]
    assert sum(map(len, held)) > 100_000
    for word in (CANARY, name, "not-a-number", "deadline-far-off"):
        assert not any(spelling in data for spelling in spellings(word.encode()) for data in held), word
    home = [path.read_bytes() for path in cluster.home(cluster.homes[3]).rglob("*") if path.is_file()]
    assert not any(spelling in data for spelling in spellings(CANARY.encode()) for data in home)
    assert any(b"not-a-number" in data for data in home), "what is looked for can be found"


def test_the_status_page_speaks_both_languages_under_a_strict_policy(cluster):
    with httpx.Client(verify=False, trust_env=False) as client:
        for lang, word in (("zh", "会员"), ("en", "Members")):
            page = client.get(f"{cluster.url}/?lang={lang}")
            assert page.status_code == 200 and word in page.text and "<script" not in page.text
            assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert client.get(f"{cluster.url}/v1/head?after=0").status_code == 403


def test_one_fingerprint_stands_on_the_agreement_in_the_pins_and_before_the_auditor(cluster, tmp_path):
    home, chamber = cluster.homes[0], "chamber"
    cluster.command("client_node", "pins", "--out", tmp_path / "pins.json", home=home)
    print_of_pins = Pins.model_validate_json((tmp_path / "pins.json").read_bytes()).fingerprint()
    assert len(print_of_pins.split()) == 8
    cluster.command("client_node", "consent", "show", "--html", tmp_path / "member.html", home=home)
    cluster.command("coordinator", "agreement", "show", "--html", tmp_path / "office.html", home=chamber)
    with httpx.Client(verify=False, trust_env=False) as client:
        served = client.get(f"{cluster.url}/agreement")
    cluster.command("auditor", "mirror", cluster.url, tmp_path / "mirror", "--pins", tmp_path / "pins.json")
    printed = {
        "pins": cluster.command("client_node", "pins", "--out", tmp_path / "again.json", home=home),
        "agreement at the member's": cluster.command("client_node", "consent", "show", home=home),
        "agreement at the office": cluster.command("coordinator", "agreement", "show", home=chamber),
        "auditor without pins": cluster.command("auditor", "verify", tmp_path / "mirror", ok=(2,)),
        "member's page": (tmp_path / "member.html").read_text(encoding="utf-8"),
        "office's page": (tmp_path / "office.html").read_text(encoding="utf-8"),
        "served page": served.text,
    }
    assert {name for name, text in printed.items() if print_of_pins not in text} == set()


def test_a_node_compares_its_code_with_what_office_and_auditor_signed(cluster, tmp_path):
    verdict(cluster, "code")  # which admits the auditor, if nobody did yet
    packages = ("auditor", "client_node", "contracts", "coordinator", "engine", "privacy", "shell")
    paths = sorted(path for name in packages for path in (ROOT / name).rglob("*.py"))
    files = {path.relative_to(ROOT).as_posix(): digest(path.read_bytes()) for path in paths}

    def check(name, listed, *signers):
        file = tmp_path / f"{name}.release"
        file.write_text(ReleaseFile("0.1.0", ("w.whl", digest(b"")), listed).text())
        for package, *words in signers:
            cluster.command(package, "sign-code", file, *words)
        told = cluster.json("client_node", "check", "--release", file, home=cluster.homes[0], ok=(0, 1))
        return next(one for one in told if one["check"] == "code")

    office = ("coordinator", "--home", cluster.home("chamber"))
    identity, pins = cluster.folder / "auditor" / "identity.key", cluster.folder / "pins.json"
    assert "nobody" in check("unsigned", files)["error"]
    signed = check("signed", files, office, ("auditor", "--identity", identity, "--pins", pins))
    assert signed["ok"] and all(
        words in signed["detail"] for words in (f"all {len(files)} files", "/office", "/auditor/")
    )
    other = check("other", files | {"client_node/rounds/guard.py": digest(b"weaker limits")}, office)
    assert not other["ok"] and other["why"] == "client_node/rounds/guard.py"
    assert check("right-again", files, office)["ok"], "the node keeps the file that it was shown last"


def test_an_order_over_the_agreed_budget_is_refused(cluster):
    with pytest.raises(StepFailed, match="OVER_BUDGET"):
        cluster.command("coordinator", "order", "risk", "--epsilon", "8", "--yes", "--spend-anyway", home="chamber")


def test_commands_redirected_to_a_gbk_file_speak_plain_words(cluster, run_command):
    home = str(cluster.home(cluster.homes[0]))
    asked = [("coordinator", "status", "--home", str(cluster.home("chamber")))]
    asked += [
        ("client_node", *words, "--home", home) for words in (("check",), ("status",), ("leaves",), ("consent", "show"))
    ]
    asked += [(package, "--help") for package in ("coordinator", "client_node", "auditor")]
    for words in asked:
        done = run_command(*words, PYTHONIOENCODING="gbk", encoding="gbk", MENGBANG_LANG="zh")
        assert done.returncode == 0 and "Traceback" not in done.stderr, (words, done.stderr)
        assert not set("✔✖▲") & set(done.stdout) and done.stdout.strip()
