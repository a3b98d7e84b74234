"""Noise is drawn while the node waits, for the first round too, and never for a run that it would refuse."""

from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import client_node.rounds.node as app
from client_node.rounds.flower_app import NodeSide
from client_node.rounds.guard import Limits, awaited
from privacy.mechanisms import LatticeGaussian
from simulator import Trust

LIMITS = Limits(10**12, 10**12, 10**12, "1e-6")
NOW = "2026-01-05T12:00:00Z"


@pytest.fixture
def trust():
    made = Trust()
    for firm in made.firms:
        made.consent(firm)
    made.order()
    return made


@pytest.fixture
def drawn(monkeypatch):
    """The length of every noise that is drawn."""
    draw, lengths = LatticeGaussian._draw, []
    monkeypatch.setattr(LatticeGaussian, "_draw", lambda self: lengths.append(self._plan.length()) or draw(self))
    return lengths


def side_of(trust):
    return NodeSide(trust.firms[0].member, Ed25519PrivateKey.generate(), None, None)


def test_a_run_is_awaited_from_its_order_until_its_first_round(trust):
    me = trust.firms[0].member
    assert [run.run for run in awaited(trust.state, me, LIMITS, NOW)] == [trust.run.run]
    assert awaited(trust.state, "urn:uuid:another", LIMITS, NOW) == []
    assert awaited(trust.state, me, Limits(1, 1, 1, "1e-6"), NOW) == [], "dearer than this member allows"
    assert awaited(trust.state, me, LIMITS, "2026-12-05T12:00:00Z") == [], "the order has expired"
    trust.open()
    assert awaited(trust.state, me, LIMITS, NOW) == []


def test_whoever_has_withdrawn_or_refused_draws_nothing(trust):
    trust.consent(trust.firms[0], "withdraw")
    trust.refuse(trust.firms[1], "schema")
    assert [len(awaited(trust.state, firm.member, LIMITS, NOW)) for firm in trust.firms] == [0, 0, 1]


def test_the_node_draws_for_the_first_round_when_it_learns_of_the_order(trust, drawn, monkeypatch, tmp_path):
    node = object.__new__(app.Node)
    node._mirror = SimpleNamespace(
        state=trust.state, follow=lambda *words: None, witness=SimpleNamespace(has_memory=lambda: True)
    )
    node._settings = SimpleNamespace(member=trust.firms[0].member, home=tmp_path)
    node._limits, node._check, node._warned = LIMITS, None, SimpleNamespace(look=lambda *words: None)
    node._uplink, node._side, node._receipted = None, side_of(trust), trust.state.size
    monkeypatch.setattr(app.consents, "is_withdrawn", lambda settings: False)
    monkeypatch.setattr(app, "fetch_needed", lambda *words: None)
    monkeypatch.setattr(app, "time_text", lambda moment: NOW)
    node._follow_log()
    node._follow_log()
    assert drawn == [4], "once, however often the log is read"
    assert node._side._mechanism(trust.run)._ahead and drawn == [4], "the round uses what is there"


def test_after_the_last_round_nothing_is_drawn_and_the_run_is_forgotten(trust, drawn):
    side = side_of(trust)
    for round in range(1, 4):
        trust.open()
        side.draw_ahead(trust.run)
        side._noise.get(trust.run.run, SimpleNamespace(_ahead=[]))._ahead.clear()
        trust.close()
        assert len(drawn) == min(round, 2)
    assert side._noise == {}
