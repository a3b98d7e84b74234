"""Sizes and times of what leaves a node: the same for a shop of ten rows, a mill of fifty
thousand, and an empty file."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.data.member_table import read_table
from client_node.ledger.chain import Caps
from client_node.ledger.ledger import Budget
from client_node.link.uplink import GRAIN, padded
from client_node.rounds import node as node_app
from client_node.rounds.flower_app import NodeSide
from client_node.rounds.guard import Permit
from client_node.rounds.send_delay import FIRST_S, STEADY_S, SendSlots
from client_node.rounds.training_data import OwnRows
from contracts.envelope import digest, to_base64
from contracts.errors import Malformed, Refused
from contracts.statements.artefact import model
from contracts.statements.statements import Seen
from engine.rounds import TRAIN, RoundRequest, invitation, pack
from engine.task import load, plan_for
from simulator import NOTHING, Trust

TASK = load("risk")


def ledger(rows, kind="plain"):
    """A training table of the shipped receivables schema."""
    draw = np.random.default_rng(rows)
    frame = {}
    for column in TASK.schema().columns:
        if column.kind == "number":
            values = draw.normal(0, 1e4, rows)
            frame[column.name] = np.full(rows, np.nan) if kind == "nan" else values
        elif column.kind == "label":
            frame[column.name] = (draw.random(rows) < 0.1).astype(float)
        else:
            frame[column.name] = [f"C{n}" for n in range(rows)]
    return pl.DataFrame(frame, schema={c.name: _type(c) for c in TASK.schema().columns})


def _type(column):
    return pl.Float64 if column.kind in ("number", "label") else pl.String


MEMBERS = {
    "ten rows": lambda: ledger(10),
    "fifty thousand rows": lambda: ledger(50_000),
    "no rows": lambda: ledger(0),
    "nothing but NaN": lambda: ledger(200, "nan"),
}


class Round:
    """One permitted round of a real order over the shipped task, and a member's whole side of it."""

    def __init__(self, folder, frame, monkeypatch, release=1):
        schema = TASK.schema()
        self.plan = plan_for(TASK, schema, family="trees", releases=12, rho_nano=24_000_000, delta="1e-6", members=3)
        monkeypatch.setattr("client_node.rounds.training_data.schema_of", lambda *_given: schema)
        monkeypatch.setattr("client_node.rounds.training_data.read_table", frame)
        monkeypatch.setattr("client_node.rounds.flower_app.bundle_digest", lambda: NOTHING)
        (folder / "data").mkdir()
        budget, settings = Budget(folder / "ledger.db"), SimpleNamespace(data=folder / "data", home=folder)
        agreed = SimpleNamespace(terms=SimpleNamespace(totals=None))
        mirror = SimpleNamespace(state=SimpleNamespace(agreements={NOTHING: agreed}))
        self.rows = OwnRows(settings, None, mirror, budget)
        self.side = NodeSide(Trust().firms[0].member, Ed25519PrivateKey.generate(), budget, self.rows)
        start = TASK.start(schema, "trees")
        order = SimpleNamespace(
            task="risk",
            agreement=NOTHING,
            plan=self.plan,
            bundle=NOTHING,
            schema_digest=NOTHING,
            evaluates=None,
            model_start=NOTHING,
        )
        opened = SimpleNamespace(round=release, model_in=digest(model("risk", start).to_bytes()))
        self.permit = Permit(
            SimpleNamespace(run=NOTHING, order=order),
            SimpleNamespace(open_index=9, opened=opened),
            Caps(10**9, 10**9, 10**9, "2026", "2026-05-01T08:00:00Z"),
        )
        self.message = pack(invitation(RoundRequest(NOTHING, release, 9), start))

    def contribution(self):
        """(payload, line) as they would be sent."""
        self.rows.ready(self.permit.run.order)
        return self.side.take_part(self.permit, Seen(size=20, root=NOTHING), self.message, step=TRAIN)


@pytest.mark.parametrize("name", MEMBERS)
def test_the_bytes_of_a_contribution_have_one_size_whatever_the_rows(tmp_path, monkeypatch, name):
    table = MEMBERS[name]()
    payload, line = Round(tmp_path, lambda *_a, **_k: SimpleNamespace(training=table), monkeypatch).contribution()
    body = padded({"line": to_base64(line), "payload": to_base64(payload)})
    small = ledger(3)
    (tmp_path / "small").mkdir()
    other = Round(tmp_path / "small", lambda *_a, **_k: SimpleNamespace(training=small), monkeypatch).contribution()
    assert (len(payload), len(line)) == (len(other[0]), len(other[1])), "signed line and vector, before any filling"
    assert len(body) % GRAIN == 0 and json.loads(body)["line"] == to_base64(line)


def test_a_round_with_more_digits_has_the_same_size(tmp_path, monkeypatch):
    sizes = set()
    for release in (1, 9, 10, 12):
        folder = tmp_path / str(release)
        folder.mkdir()
        made = Round(folder, lambda *_a, **_k: SimpleNamespace(training=ledger(10)), monkeypatch, release)
        payload, line = made.contribution()
        sizes.add(len(padded({"line": to_base64(line), "payload": to_base64(payload)})))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Malformed("invoices.csv lacks the column amount", code="COLUMN"), "COLUMN"),
        (PermissionError("/data/erp is locked"), "UNAVAILABLE"),
        (pl.exceptions.ComputeError("could not parse `secret`"), "UNAVAILABLE"),
        (pl.exceptions.PanicException("index out of secret"), "UNAVAILABLE"),
        (MemoryError(), "UNAVAILABLE"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else one,
)
def test_a_member_whose_files_cannot_be_read_sends_noise_alone_and_is_told(tmp_path, monkeypatch, error, code):
    def broken(*_given, **_more):
        raise error

    made = Round(tmp_path, broken, monkeypatch)
    payload, _ = made.contribution()
    (tmp_path / "other").mkdir()
    ten = ledger(10)
    good = Round(tmp_path / "other", lambda *_a, **_k: SimpleNamespace(training=ten), monkeypatch).contribution()
    assert len(payload) == len(good[0]), "a contribution leaves all the same"
    told = made.rows._budget.refused()
    assert [row[1] for row in told] == [code] and "secret" not in repr(told)


def test_a_share_that_is_not_mounted_is_a_reason_to_send_noise_alone(tmp_path, monkeypatch):
    made = Round(tmp_path, read_table, monkeypatch)
    (tmp_path / "data").rmdir()
    payload, _ = made.contribution()
    assert len(payload) > 0 and [row[1] for row in made.rows._budget.refused()] == ["UNAVAILABLE"]


def test_rows_that_cannot_be_prepared_are_a_reason_to_send_noise_alone(tmp_path, monkeypatch):
    rows = ledger(10).drop("owed")
    made = Round(tmp_path, lambda *_a, **_k: SimpleNamespace(training=rows), monkeypatch)
    payload, _ = made.contribution()
    assert len(payload) > 0 and [row[1] for row in made.rows._budget.refused()] == ["UNAVAILABLE"]


@pytest.mark.parametrize("error", [ValueError("secret"), MemoryError(), IndexError("secret")], ids=repr)
def test_rows_that_cannot_be_summed_are_a_reason_to_send_noise_alone(tmp_path, monkeypatch, error):
    """The round is reserved by then: an end of the node would tell something about the row that caused it."""
    ten = ledger(10)
    made = Round(tmp_path, lambda *_a, **_k: SimpleNamespace(training=ten), monkeypatch)

    def broken(*_given, **_more):
        raise error

    monkeypatch.setattr(type(TASK), "contribute", broken)
    payload, _ = made.contribution()
    told = made.rows._budget.refused()
    assert len(payload) > 0 and [row[1] for row in told] == ["UNAVAILABLE"] and "secret" not in repr(told)


def test_what_a_member_decides_about_its_files_counts_in_the_next_run(tmp_path, monkeypatch):
    read = []
    made = Round(tmp_path, lambda *_a, **_k: read.append(1) or SimpleNamespace(training=ledger(10)), monkeypatch)
    order = made.permit.run.order
    made.rows.ready(order), made.rows.ready(order)
    assert len(read) == 1
    (tmp_path / "data.toml").write_text("closed_on = 2025-12-31", encoding="utf-8")
    made.rows.ready(order)
    (tmp_path / "data" / "a.csv").write_text("a", encoding="utf-8")
    made.rows.ready(order)
    (tmp_path / "data" / "a.csv").unlink()
    made.rows.ready(order)
    assert len(read) == 4, "a file that came, and one that went"


def test_the_digits_of_public_numbers_do_not_show_in_the_size():
    sizes = {len(padded({"line": "x" * digits, "payload": "y" * 3000})) for digits in range(1500, 2500)}
    assert sizes == {3 * GRAIN}, "beside a vector that alone would lie just below a multiple"
    assert {len(padded({"wait": 25.0, "done": ["z" * 64] * n})) for n in range(50)} == {3 * GRAIN}


@pytest.mark.parametrize("elapsed", [0.0, 0.011, 0.09, 0.2499])
def test_a_contribution_leaves_at_a_fixed_time_after_its_question(elapsed):
    pace = SendSlots()
    assert elapsed + pace.left("run", elapsed) == FIRST_S, "the files are read in this time"
    for _ in range(3):
        assert elapsed + pace.left("run", elapsed) == pytest.approx(STEADY_S)


def test_what_takes_longer_shows_its_power_of_two_and_keeps_the_slot():
    pace = SendSlots()
    assert 3.1 + pace.left("run", 3.1) == 2 * FIRST_S
    assert [round(took + pace.left("run", took), 9) for took in (0.1, 0.3, 0.1, 0.7, 0.2)] == [0.25, 0.5, 0.5, 1, 1]
    assert 0.1 + pace.left("another", 0.1) == FIRST_S


class Clock:
    """Time that passes only where somebody works or waits."""

    def __init__(self):
        self.now, self.sent = 100.0, []

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds

    def ask(self, *_message):
        self.sent.append(self.now)


def node_whose_rows_take(seconds, clock):
    """A node's own loop around a side that works for so long."""
    node, order = object.__new__(node_app.Node), SimpleNamespace(agreement=NOTHING)
    terms = SimpleNamespace(terms=SimpleNamespace(secure_sum="none"))
    node._stop = node._uplink = clock
    node._pace, node._rows = SendSlots(), SimpleNamespace(ready=lambda _order: None)
    node._permit = lambda _question: SimpleNamespace(run=SimpleNamespace(order=order), record=None)
    node._mirror = SimpleNamespace(state=SimpleNamespace(agreements={NOTHING: terms}), seen=lambda: None)
    work = lambda *_a, **_k: clock.wait(seconds) or (b"payload", b"line")  # noqa: E731
    node._side = SimpleNamespace(take_part=work, draw_ahead=lambda _run: None)
    return node


def test_the_node_itself_keeps_the_pace(monkeypatch):
    question = node_app.Question(
        id="0" * 64, run=NOTHING, round=1, open=9, step=TRAIN, size=10, message=to_base64(b"x")
    )
    for took in (0.004, 0.21):  # ten rows, fifty thousand rows
        clock, began = Clock(), []
        monkeypatch.setattr(node_app, "time", clock)
        node = node_whose_rows_take(took, clock)
        for _ in range(3):
            began.append(clock.now)
            node._answer(question)
        offsets = [at - start for at, start in zip(clock.sent, began, strict=True)]
        assert offsets == pytest.approx([FIRST_S, STEADY_S, STEADY_S])


def test_what_is_not_allowed_any_more_when_the_work_is_done_does_not_leave(monkeypatch):
    """A consent that ends, or is withdrawn, while rows are summed."""
    question = node_app.Question(
        id="0" * 64, run=NOTHING, round=1, open=9, step=TRAIN, size=10, message=to_base64(b"x")
    )
    clock = Clock()
    monkeypatch.setattr(node_app, "time", clock)
    node = node_whose_rows_take(0.21, clock)
    permit = node._permit(question)

    def permitted(_question):
        if clock.now > 100:
            raise Refused("ended", code="GUARD", reason="consent")
        return permit

    node._permit = permitted
    with pytest.raises(Refused):
        node._answer(question)
    assert clock.sent == []
