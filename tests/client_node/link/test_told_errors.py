"""What the coordinator says of a message is its word: it puts none into this node's mouth, and
ends nothing by its form."""

import json
from collections import deque
from types import SimpleNamespace

import httpx
import pytest

from client_node.link.uplink import CoordinatorRefused, _error_of, answered
from client_node.rounds import node as node_app
from client_node.rounds.node import Node
from contracts.envelope import to_base64
from contracts.errors import Refused, TrustError, Unavailable
from simulator import NOTHING

SAID = {"what": "no", "why": "", "do": "", "code": "GUARD", "values": {"reason": "budget"}}
QUESTION = {"id": "0" * 64, "run": NOTHING, "round": 1, "open": 9, "step": "train", "size": 10}


def node(monkeypatch, answer):
    """A node that was asked to contribute, and what it said on the log."""
    asked = json.dumps(QUESTION | {"message": to_base64(b"x")}).encode()
    noted, said, made = [], [], object.__new__(Node)
    made._budget = SimpleNamespace(note_refused=lambda at, error: noted.append(error.code))
    made._uplink = SimpleNamespace(ask=lambda *_message: SimpleNamespace(status_code=200, content=asked))
    made._settings = made._mirror = None
    made._done, made._answer = deque(), answer
    monkeypatch.setattr(node_app.refusals, "say", lambda *_given, order, reason, open: said.append(reason))
    return made, said


def raising(error):
    def answer(_question):
        raise error

    return answer


@pytest.mark.parametrize("code", ["GUARD", "OVER_BUDGET", "EGRESS", "REPLY", "SUM_TWICE", "BURNT", "SIZE"])
def test_a_refusal_of_the_coordinators_is_never_said_on_the_log_as_this_nodes_own(monkeypatch, code):
    told = _error_of(httpx.Response(403, json=SAID | {"code": code}))
    made, said = node(monkeypatch, raising(told))
    with pytest.raises(Refused):
        made._take_task()
    assert isinstance(told, CoordinatorRefused) and said == [] and not made._done


def test_this_nodes_own_refusal_is_and_a_round_that_is_over_is_only_done(monkeypatch):
    made, said = node(monkeypatch, raising(Refused("no", code="GUARD", reason="plan")))
    made._take_task()
    assert said == ["plan"] and list(made._done) == [QUESTION["id"]]
    made, said = node(monkeypatch, raising(_error_of(httpx.Response(403, json=SAID | {"code": "LATE"}))))
    made._take_task()
    assert said == [] and list(made._done) == [QUESTION["id"]]
    made, said = node(monkeypatch, raising(Refused("over", code="LATE", reason="expired")))
    made._take_task()
    assert said == [] and list(made._done) == [QUESTION["id"]]


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("status", [403, 422, 500])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(SAID | {"code": 7}).encode(),
        json.dumps(SAID | {"code": "customer 7"}).encode(),
        json.dumps(SAID | {"what": "{who}"}).encode(),
        json.dumps(SAID | {"what": "{reason[9]}"}).encode(),
        json.dumps(SAID | {"why": "{who}"}).encode(),
        json.dumps(SAID | {"do": ["{who}"]}).encode(),
        json.dumps(SAID | {"values": {"code": "LATE"}}).encode(),
        json.dumps(SAID | {"values": 7}).encode(),
        json.dumps(SAID | {"what": "{reason:>999999999}"}).encode(),
        json.dumps(SAID | {"why": "{reason.__class__}"}).encode(),
        json.dumps(SAID | {"do": "{reason!r}"}).encode(),
        b"[]",
        b"no",
        DEEP,
    ],
    ids=[
        "code",
        "words",
        "value",
        "item",
        "why",
        "list",
        "twice",
        "values",
        "width",
        "inside",
        "form",
        "array",
        "text",
        "deep",
    ],
)
def test_an_error_that_cannot_be_told_on_is_an_answer_that_cannot_be_read(status, body):
    error = _error_of(httpx.Response(status, content=body))
    assert type(error) is Unavailable and all(isinstance(line, str) for line in error.lines())
    with pytest.raises(TrustError):
        answered(httpx.Response(200, content=body), "proof")


@pytest.mark.parametrize("where", ["what", "why", "do", "value"])
def test_a_coordinator_cannot_write_lines_or_terminal_codes_into_what_a_node_says(where):
    said = "no\n✔ signed and in the log\x1b[1A\u202e" + "x" * 10_000
    told = SAID | ({"what": "{reason}", "values": {"reason": said}} if where == "value" else {where: said})
    error = _error_of(httpx.Response(403, json=told))
    lines = error.lines()
    assert all(line.isprintable() and len(line) <= 2100 for line in lines) and "[U+000A]✔" in "".join(lines)
    assert str(error).isprintable()
