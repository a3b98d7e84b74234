"""What nobody has foreseen: it passes, or it ends the node with a word and a code; it never
ends a thread in silence."""

import sqlite3
import threading
from collections import deque
from types import SimpleNamespace

import pytest
from polars.exceptions import PanicException

import client_node.rounds.node as app
from contracts.errors import Unavailable
from engine.rounds import SHARES, TRAIN
from simulator import NOTHING


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setattr(app, "RETRY_S", (0.0,))
    made = object.__new__(app.Node)
    made._stop, made._fault, made._done = threading.Event(), None, deque()
    made.told, made.refusals = [], []
    made._budget = SimpleNamespace(note_refused=lambda at, error: made.told.append(error))
    made._refuse = lambda question, reason: made.refusals.append((question.id, reason))
    return made


FAILURES = [
    OSError(28, "no space left"),
    sqlite3.DatabaseError("disk image is malformed"),
    ValueError("a bug"),
    KeyError(),
    PanicException("a library written in Rust"),  # which is no Exception
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("times", [1, app.TRIES])
def test_what_passes_is_tried_again(node, failure, times):
    left = iter([failure] * times)

    def work():
        for one in left:
            raise one
        node._stop.set()

    node._loop(work)
    assert node._fault is None


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_does_not_pass_ends_the_node_with_three_lines(node, failure):
    def work():
        raise failure

    node._loop(work)
    assert node._stop.is_set() and isinstance(node._fault, Unavailable) and all(node._fault.lines())


def question(step):
    return SimpleNamespace(id="q", round=1, step=step, run=NOTHING, open=3)


@pytest.mark.parametrize("kind", [ZeroDivisionError, PanicException])
@pytest.mark.parametrize(("step", "reason"), [(TRAIN, "plan"), (SHARES, "secure-sum")])
def test_a_message_that_breaks_a_kernel_is_refused_and_the_node_goes_on(node, monkeypatch, step, reason, kind):
    def broken(asked):
        raise kind("whatever a model or a peer made of it")

    node._answer = broken
    node._uplink = SimpleNamespace(ask=lambda *words: SimpleNamespace(status_code=200, content=b""))
    monkeypatch.setattr(app, "read_question", lambda data: question(step))
    node._take_task()
    assert node.refusals == [("q", reason)] and set(node._done) == {"q"} and not node._stop.is_set()
    assert kind.__name__ in str(node.told[0]), "and the member can read that it was so"


def test_a_sampler_that_is_broken_is_told_in_three_lines(monkeypatch):
    def broken():
        raise RuntimeError("no noise")

    monkeypatch.setattr(app, "self_test", broken)
    with pytest.raises(Unavailable, match="noise sampler") as error:
        app._test_noise()
    assert all(error.value.lines())
