"""A coordinator may lose a refusal. The node says it again until the log shows it, and its member knows meanwhile."""

import threading
import time
from types import SimpleNamespace

import pytest

from client_node.ledger.ledger import Budget
from client_node.membership import refusals
from contracts.envelope import from_base64
from contracts.errors import Unavailable
from contracts.statements.statements import Seen
from simulator import NOTHING, Trust


class Deaf:
    """A coordinator that hears nothing until it is told to."""

    def __init__(self, trust):
        self.trust, self.heard, self.listens = trust, [], False

    def ask(self, kind, method, path, body):
        assert (kind, path) == ("statement", "/v1/statements")
        if not self.listens:
            raise Unavailable("no answer")
        assert self.trust.append(from_base64(body["entry"])) == ()
        self.heard.append(body["entry"])
        return SimpleNamespace(proof=True)


@pytest.fixture
def node(tmp_path, monkeypatch):
    trust = Trust()
    for firm in trust.firms:
        trust.consent(firm)
    trust.order()
    firm = trust.firms[0]
    settings = SimpleNamespace(home=tmp_path, member=firm.member, node_key=firm.node)
    Budget(tmp_path / "ledger.db")
    monkeypatch.setattr(refusals.consents, "_index", lambda mirror, entry, answer: 0)  # proofs: tests/journeys
    mirror = SimpleNamespace(
        seen=lambda: Seen(size=0, root=NOTHING), state=trust.state, entries=lambda start: trust.entries[start:]
    )
    return trust, settings, mirror, Deaf(trust)


def say(node, **changes):
    trust, settings, mirror, office = node
    words = {"order": trust.run.run, "reason": "budget", "open": None} | changes
    refusals.say(settings, mirror, office, **words)


def test_what_is_heard_at_once_leaves_nothing_behind(node):
    node[3].listens = True
    say(node)
    assert refusals.kept(node[1]) == [] and node[1].member in node[0].run.refused


def test_what_is_not_heard_is_kept_said_again_and_then_forgotten(node):
    trust, settings, mirror, office = node
    with pytest.raises(Unavailable):
        say(node)
    [kept] = refusals.kept(settings)
    assert (kept.order, kept.reason) == (trust.run.run, "budget")
    refusals.send_kept(settings, mirror, office)
    assert refusals.kept(settings) == [kept], "still deaf, and nothing else stops for that"
    office.listens = True
    refusals.send_kept(settings, mirror, office)
    assert refusals.kept(settings) == [] and settings.member in trust.run.refused


def test_a_lost_answer_is_no_lost_refusal(node):
    trust, settings, mirror, office = node
    with pytest.raises(Unavailable):
        say(node)
    trust.refuse(trust.firms[0], "budget")
    mirror.state, office.listens = trust.state, True
    refusals.send_kept(settings, mirror, office)
    assert refusals.kept(settings) == [] and office.heard == [], "it stands there once"


def test_a_refusal_of_one_round_is_said_again_too(node):
    _trust, settings, mirror, office = node
    with pytest.raises(Unavailable):
        say(node, reason="restarted", open=7)
    office.listens = True
    refusals.send_kept(settings, mirror, office)
    assert refusals.kept(settings) == [] and len(office.heard) == 1


def test_a_node_that_was_killed_before_it_knew_says_a_refusal_of_one_round_once(node):
    """Killed after the log took it: the file is still there, and the round is asked again."""
    _trust, settings, mirror, office = node
    office.listens = True
    say(node, reason="restarted", open=7)
    kept = refusals.Unheard(order=node[0].run.run, reason="restarted", open=7, since="2026-01-05T08:00:00Z")
    (settings.home / "refusals" / "left.json").write_text(kept.model_dump_json(), encoding="ascii")
    refusals.send_kept(settings, mirror, office)
    say(node, reason="restarted", open=7)
    assert refusals.kept(settings) == [] and len(office.heard) == 1
    say(node, reason="restarted", open=9)
    assert len(office.heard) == 2, "another round is another matter"


def test_a_refusal_that_is_kept_is_not_said_beside_it(node):
    _trust, settings, _mirror, _office = node
    with pytest.raises(Unavailable):
        say(node, reason="restarted", open=7)
    say(node, reason="restarted", open=7)
    assert len(refusals.kept(settings)) == 1


def test_two_threads_of_a_node_say_one_refusal_once(node, monkeypatch):
    """A node says no in the thread that works; the one that follows the log sends what is kept."""
    _, settings, mirror, office = node
    office.listens, said = True, threading.Event()
    ask = office.ask

    def slowly(*words):
        said.set()
        time.sleep(0.2)
        return ask(*words)

    monkeypatch.setattr(office, "ask", slowly)
    worker = threading.Thread(target=say, args=(node,))
    worker.start()
    assert said.wait(10)
    refusals.send_kept(settings, mirror, office)
    worker.join(10)
    assert len(office.heard) == 1 and refusals.kept(settings) == []


def test_a_refusal_that_was_sent_meanwhile_is_not_sent_again(node, monkeypatch):
    _, settings, mirror, office = node
    with pytest.raises(Unavailable):
        say(node)
    before, office.listens = refusals._kept(settings), True
    refusals.send_kept(settings, mirror, office)
    monkeypatch.setattr(refusals, "_kept", lambda _: before)
    refusals.send_kept(settings, mirror, office)
    assert len(office.heard) == 1
