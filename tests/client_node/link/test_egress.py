"""The one gate: only listed messages leave, only published bytes, and the documented table is the gate's own list."""

import ast
import json
import runpy
from array import array
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from client_node.ledger.chain import Caps
from client_node.ledger.ledger import Budget
from client_node.link.egress import ALLOWED, STATEMENTS, Egress
from client_node.membership.comparison import verdict
from client_node.rounds import node as node_app
from client_node.rounds.guard import authorise
from client_node.rounds.messages import check_invitation, check_reply, check_step_reply, read_question
from contracts.envelope import canonical, digest, seal, to_base64
from contracts.errors import Refused
from contracts.fields import new_id
from contracts.rules.kinds import KINDS
from contracts.statements.artefact import model as model_artefact
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution, OffLog, Receipt, SumKeys, SumSurvivors
from contracts.statements.statements import Comparison, LedgerHead, Refusal, Seen
from engine.ensemble import Record
from engine.rounds import RoundRequest, invitation, pack, step_reply
from privacy.secure_sum import SEALED, SHARE_DIGITS, Group, new_secrets, split
from privacy.secure_sum import seal as seal_shares
from privacy.spend import Spend, Unit
from simulator import NOTHING, plan

ROOT = Path(__file__).resolve().parents[3]
NAME = "0" * 64
STAMP = {"record_id": new_id(), "issued_at": "2026-01-05T08:00:00Z", "member": new_id(), "order": NOTHING}
SHOWN = {"seen": Seen(size=0, root=NOTHING), "ledger": LedgerHead(head=NOTHING, rho_total_nano=0)}
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def budget(tmp_path):
    return Budget(tmp_path / "ledger.db")


def refused(budget, *message):
    with pytest.raises(Refused, match="may not leave") as caught:
        Egress(budget).check(*message)
    assert caught.value.code == "EGRESS" and all(caught.value.lines())
    assert budget.refused()[-1][1] == "EGRESS", "it is written down"


def sealed(predicate):
    return to_base64(seal(payload(predicate), [KEY]))


def test_only_bytes_that_the_ledger_has_published_leave_as_a_contribution(budget):
    body = {"line": to_base64(b"line"), "payload": to_base64(b"payload")}
    message = ("contribution", "PUT", f"/v1/contributions/{NAME}", body)
    refused(budget, *message)
    budget.reserve(Spend("d", Unit.ROW, "train", 1, "run", 1), Caps(9, 9, 9, "2026", "2026-05-01T08:00:00Z"))
    refused(budget, *message)
    budget.publish("run", 1, b"payload", b"line")
    Egress(budget).check(*message)
    refused(budget, *message[:3], body | {"payload": to_base64(b"other")})
    refused(budget, *message[:3], body | {"loss": 0.1})
    refused(budget, *message[:3], body | {"line": "no base64"})
    refused(budget, "contribution", "PUT", "/v1/contributions/rows-of-customer-7", body)


@pytest.mark.parametrize(
    "message",
    [
        ("metrics", "POST", "/v1/metrics", {}),
        ("task", "POST", "/v1/join", {"wait": 0, "done": []}),
        ("task", "PUT", "/v1/task", {"wait": 0, "done": []}),
        ("task", "POST", "/v1/task", {"wait": 0, "done": [], "rows": 5000}),
        ("document", "GET", "/documents/customer-7", None),
        ("head", "GET", "/v1/head?after=1&wait=0&rows=7", None),
        ("tile", "GET", "/tile/0/000?rows=7", None),
        ("statement", "POST", "/v1/statements", {"entry": "no base64"}),
        ("task", "POST", "/v1/task", {"wait": 0, "done": ["customer 7"]}),
        ("task", "POST", "/v1/task", {"wait": "customer 7", "done": []}),
    ],
)
def test_what_is_not_on_the_list_does_not_leave(budget, message):
    refused(budget, *message)


MEMBERS = sorted(new_id() for _ in range(3))
SECRETS = {name: new_secrets() for name in MEMBERS}
GROUP = Group(b"a round", tuple(MEMBERS))


def steps():
    """(line, payload) of each step that a member takes in a sum."""
    me, *others = MEMBERS
    shown, parts = SECRETS[me].public(), split(GROUP, SECRETS[me])
    keys = {"mask": to_base64(shown.mask), "share": to_base64(shown.share), "seed": "sha256:" + shown.seed.hex()}
    sealed = {p: to_base64(seal_shares(GROUP, me, SECRETS[me], p, SECRETS[p].public(), parts[p])) for p in others}
    alive = {"masked": tuple(MEMBERS), "survivors": tuple(MEMBERS), "open": 9, "round": 1, "cutoff": 10}
    return {
        "keys": (seal(payload(SumKeys(**STAMP, **keys, agreement=NOTHING, round=1)), [KEY]), b""),
        "shares": (b"", canonical(sealed)),
        "survivors": (seal(payload(SumSurvivors(**STAMP, **alive)), [KEY]), b""),
        "reveal": (b"", canonical({name: f"{parts[name].seed:0{SHARE_DIGITS}x}" for name in MEMBERS})),
        "nobody's shares": (b"", canonical({})),
    }


def sum_step(line, data):
    return "sum-step", "PUT", f"/v1/replies/{NAME}", {"line": to_base64(line), "payload": to_base64(data)}


@pytest.mark.parametrize("step", steps())
def test_a_step_of_the_secure_sum_leaves_and_nothing_beside_it(budget, step):
    line, data = steps()[step]
    Egress(budget).check(*sum_step(line, data))
    refused(budget, *sum_step(line, b"5000 rows"))
    refused(budget, *sum_step(line, canonical({"rows": 5000})))
    refused(budget, *sum_step(line, canonical({MEMBERS[0]: "customer 7"})))
    refused(budget, *sum_step(line, canonical({"customer 7": to_base64(bytes(SEALED))})))
    refused(budget, *sum_step(line, canonical({MEMBERS[0]: to_base64(bytes(8 * 1000))})))
    refused(budget, *sum_step(b"text", data))
    refused(budget, *sum_step(seal(payload(Refusal(**STAMP, **SHOWN, reason="budget")), [KEY]), data))


def test_an_apps_reply_to_a_step_with_anything_else_is_refused():
    assert check_step_reply(step_reply(b"line", b"shares")) == (b"shares", b"line")
    config = {"line": b"line", "payload": b"shares"}
    for bad in (
        {"config": ConfigRecord({**config, "rows": 5000})},
        {"config": ConfigRecord({**config, "payload": "customer 7"})},
        {"config": ConfigRecord({"line": b"line"})},
        {"config": ConfigRecord(config), "metrics": MetricRecord({"loss": 0.5})},
        {"config": ConfigRecord(config), "values": ArrayRecord({"flat": Array(np.array([1]))})},
    ):
        with pytest.raises(Refused, match="may not leave") as caught:
            check_step_reply(RecordDict(bad))
        assert caught.value.code == "REPLY" and all(caught.value.lines())


def test_a_member_says_on_the_log_what_is_listed_and_never_what_it_predicted(budget):
    said = Refusal(**STAMP, **SHOWN, reason="budget")
    Egress(budget).check("statement", "POST", "/v1/statements", {"entry": sealed(said)})
    commits = dict.fromkeys(("agreement", "model", "votes", "input_commit", "output_commit"), NOTHING)
    receipt = Receipt(**STAMP, **commits, seen=SHOWN["seen"])
    refused(budget, "statement", "POST", "/v1/statements", {"entry": sealed(receipt)})
    assert {one.kind for one in KINDS if not issubclass(one, OffLog)} >= STATEMENTS


def test_a_word_about_the_rows_leaves_by_a_kind_of_its_own_that_only_a_command_uses(budget):
    word = {"entry": sealed(Comparison(**STAMP, **SHOWN, verdict="better"))}
    Egress(budget).check("declaration", "POST", "/v1/statements", word)
    refused(budget, "statement", "POST", "/v1/statements", word)
    refused(
        budget, "declaration", "POST", "/v1/statements", {"entry": sealed(Refusal(**STAMP, **SHOWN, reason="budget"))}
    )
    callers = [p.name for p in (ROOT / "client_node").rglob("*.py") if ".declare(" in p.read_text(encoding="utf-8")]
    assert callers == ["results.py"], "a person's command; no running node"


def record(excess, error, alone=0.2, shared=0.1):
    return Record(units=40, alone=alone, shared=shared, used=0.1, excess=excess, error=error)


@pytest.mark.parametrize(
    ("held", "word"),
    [
        (record(-0.03, 0.01), "better"),
        (record(-0.02, 0.01), "tie"),
        (record(0.0, 0.0), "tie"),
        (record(0.02, 0.01), "tie"),
        (record(0.03, 0.01), "worse"),
        (record(-0.03, 0.01, alone=None), None),
        (record(-0.03, 0.01, shared=None), None),
    ],
)
def test_the_word_is_a_tie_within_two_standard_errors_and_nothing_where_rows_are_few(held, word):
    assert verdict(held) == word


def test_every_message_in_the_code_is_on_the_list_and_every_one_on_the_list_is_sent():
    sent = set()
    for path in (ROOT / "client_node").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "ask":
                sent.add(node.args[0].value)
    assert sent == set(ALLOWED)
    clients = [p.name for p in (ROOT / "client_node").rglob("*.py") if "make_client(" in p.read_text(encoding="utf-8")]
    others = [p.name for p in (ROOT / "client_node").rglob("*.py") if "httpx.Client(" in p.read_text(encoding="utf-8")]
    assert (clients, others) == (["uplink.py"], []), "one way out"


def test_every_kind_has_its_class_and_its_reason_and_the_documented_table_is_this_list():
    assert {kind.group for kind in ALLOWED.values()} <= {"noised", "exact under the secure sum", "no data", "declared"}
    assert all(len(kind.why) > 20 for kind in ALLOWED.values())
    assert [name for name, kind in ALLOWED.items() if kind.group == "declared"] == ["declaration"]
    exact = [name for name, kind in ALLOWED.items() if kind.group == "exact under the secure sum"]
    assert not exact, "such a message needs a consent of its own and a rule for the least cohort first"
    written = runpy.run_path(str(ROOT / "docs" / "write_egress.py"))["page"]()
    assert written == (ROOT / "docs" / "reference" / "egress.md").read_text(encoding="utf-8"), "run: make docs"


def test_a_refusal_has_a_reason_from_the_closed_list_whoever_refuses():
    """No reason is made up where a node says no, and the guard, which decides before anything is read, sees no row."""
    allowed, used = set(get_args(Refusal.model_fields["reason"].annotation)), set(node_app._REASONS.values())
    for path in (ROOT / "client_node").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
                used.add(node.value.value)
    assert {"log", "plan", "bundle", "ledger"} <= used <= allowed
    asked = {
        "state",
        "member",
        "run",
        "open_index",
        "witnessed",
        "since",
        "bundle",
        "limits",
        "withdrawn",
        "now",
    }
    assert set(signature(authorise).parameters) == {*asked, "budget"}, "log, ledger and limits; no row"


@pytest.fixture
def permit():
    start = digest(model_artefact("risk", array("d", [0.0] * 4)).to_bytes())
    return SimpleNamespace(
        run=SimpleNamespace(run=NOTHING, order=SimpleNamespace(task="risk", plan=plan(), bundle=NOTHING)),
        record=SimpleNamespace(open_index=9, opened=SimpleNamespace(round=1, model_in=start)),
    )


def reply(values=(1, 2, 3, 4), dtype="int64", line=None, **more):
    fields = {"open": 9, "round": 1, "payload": NOTHING, "model_in": NOTHING, "bundle": NOTHING}
    signed = seal(payload(Contribution(**STAMP, **SHOWN, **fields | more.pop("said", {}))), [KEY])
    arrays = {"flat": Array(np.array(values, dtype=dtype))} | more.pop("arrays", {})
    config = {"line": signed if line is None else line} | more.pop("config", {})
    return RecordDict({"values": ArrayRecord(arrays), "config": ConfigRecord(config), **more})


def test_the_apps_reply_passes_if_it_is_one_vector_of_the_plan_and_its_line(permit):
    values, line = check_reply(permit, reply())
    assert list(values) == [1, 2, 3, 4] and line


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": MetricRecord({"loss": 0.5})},
        {"config": {"rows": 5000}},
        {"config": {"note": "customer 7"}},
        {"arrays": {"more": Array(np.array([1]))}},
        {"values": (1.0, float("nan"), 2.0, 3.0), "dtype": "float64"},
        {"values": (1, 2, 3, 4), "dtype": "int32"},
        {"values": (1, 2, 3, 4, 5)},
        {"values": ()},
        {"values": ((1, 2), (3, 4))},
        {"line": "text"},
        {"line": b"no envelope"},
        {"said": {"bundle": "sha256:" + "1" * 64}},
    ],
    ids=["metric", "count", "string", "array", "nan", "dtype", "longer", "empty", "matrix", "text", "line", "bundle"],
)
def test_an_apps_reply_with_anything_else_is_refused(permit, changes):
    with pytest.raises(Refused, match="may not leave") as caught:
        check_reply(permit, reply(**changes))
    assert caught.value.code == "REPLY" and all(caught.value.lines())


def test_a_question_with_another_field_or_for_another_step_is_refused_and_ends_nothing():
    good = {"id": NAME, "run": NOTHING, "round": 1, "open": 9, "step": "train", "size": 10, "message": to_base64(b"x")}
    assert read_question(json.dumps(good).encode()).content() == b"x"
    for bad in ({"clip": 9}, {"round": "1"}, {"run": "customer 7"}, {"id": "../7"}, {"message": None}):
        with pytest.raises(Refused) as caught:
            read_question(json.dumps(good | bad).encode())
        assert caught.value.code == "QUESTION" and all(caught.value.lines())
    for bad in ({"step": "evaluate"}, {"step": "query.rows"}, {"message": "no base64"}):
        with pytest.raises(Refused) as caught:
            read_question(json.dumps(good | bad).encode()).content()
        assert (caught.value.code, caught.value.values["reason"]) == ("GUARD", "log")
    with pytest.raises(Refused):
        read_question(b"\x80\x04K\x01.")


def test_a_message_that_asks_for_anything_else_than_the_logged_round_is_refused(permit):
    good = pack(invitation(RoundRequest(NOTHING, 1, 9), array("d", [0.0] * 4)))
    check_invitation(permit, good)
    five = array("d", [0.0] * 5)
    permit.record.opened.model_in = digest(model_artefact("risk", five).to_bytes())
    with pytest.raises(Refused, match="another length than the plan"):
        check_invitation(permit, pack(invitation(RoundRequest(NOTHING, 1, 9), five)))
    permit.record.opened.model_in = digest(model_artefact("risk", array("d", [0.0] * 4)).to_bytes())
    for bad in (
        pack(invitation(RoundRequest(NOTHING, 2, 9), array("d", [0.0] * 4))),
        pack(invitation(RoundRequest("sha256:" + "1" * 64, 1, 9), array("d", [0.0] * 4))),
        pack(invitation(RoundRequest(NOTHING, 1, 9), array("d", [0.0] * 5))),
        pack(invitation(RoundRequest(NOTHING, 1, 9), array("d", [0.5] * 4))),
        good.replace(b'"round":1', b'"clip":9,"round":1'),
        good.replace(b'"round":1', b'"metrics":["loss"],"round":1'),
        good[:-3],
        pack(invitation(RoundRequest(NOTHING, 1, 9))),
        b"\x80\x04K\x01.",
    ):
        with pytest.raises(Refused) as caught:
            check_invitation(permit, bad)
        assert (caught.value.code, caught.value.values["reason"]) == ("GUARD", "log")
