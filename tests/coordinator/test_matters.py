"""The office answers what waits, ends keys, and erases only what may go."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import get_args

import pytest
from typer.testing import CliRunner

from contracts.envelope import key_id
from contracts.errors import Refused
from contracts.statements.statements import DropReason, Refusal
from coordinator.cli import app
from coordinator.store import documents
from coordinator.trust.duties import end_key, erase, note_incident, open_matters
from coordinator.trust.reasons import DROPPED, REFUSED, left_out, matter_in_words
from offices import found


@pytest.fixture
def office(tmp_path):
    made = found(tmp_path)
    yield made
    made.database.close()


def test_a_compromised_key_waits_for_an_answer_and_is_late_after_a_month(office):
    now = datetime.now(UTC)
    index = end_key(office, key_id(office.settings.agreement_key.public_key()), compromised=True, now=now)
    assert [(m.index, late) for m, late in open_matters(office.log.state(), now)] == [(index, False)]
    assert [late for _, late in open_matters(office.log.state(), now + timedelta(days=31))] == [True]
    with pytest.raises(Refused, match="nothing that waits"):
        note_incident(office, "?", about=0, category="key", phase="answered", now=now)
    note_incident(office, "a new key follows", about=index, category="key", phase="answered", now=now)
    assert open_matters(office.log.state(), now) == []
    with pytest.raises(Refused, match="not a live key"):
        end_key(office, key_id(office.settings.agreement_key.public_key()), compromised=False, now=now)


def test_a_document_goes_only_when_it_may_and_its_digest_stays(office):
    now = datetime.now(UTC)
    index = note_incident(office, "the line was down", about=None, category="availability", phase="open", now=now)
    [name] = [n for n, d in office.log.state().documents.items() if d.index == index]
    assert b"the line was down" in documents.read(office.database, name).data
    with pytest.raises(Refused, match="must still be kept"):
        erase(office, name, contributions=False, ground="retention-ended", now=now)
    assert documents.read(office.database, name) is not None, "a refused erasure deletes nothing"
    assert erase(office, name, contributions=False, ground="authority", now=now) == 1
    assert documents.read(office.database, name) is None
    assert (name, "document") in office.log.state().erased and name in office.log.state().documents


def test_what_waits_is_said_in_words_with_what_to_do(office):
    now = datetime.now(UTC)
    key = key_id(office.settings.agreement_key.public_key())
    end_key(office, key, compromised=True, now=now)
    note_incident(office, "the line was down", about=None, category="availability", phase="open", now=now)
    told = [matter_in_words(office, matter, str) for matter, _ in open_matters(office.log.state(), now)]
    assert [what for what, _ in told] == [f"a key was reported as compromised: {key}", "an incident: the line was down"]
    assert all("--about" in do for _, do in told)


def test_every_reason_of_a_refusal_or_a_drop_has_its_words():
    assert set(REFUSED) == set(get_args(Refusal.model_fields["reason"].annotation))
    assert set(DROPPED) == set(get_args(DropReason))


def test_who_is_not_in_a_round_is_named_with_the_reason_and_the_remedy():
    closed = SimpleNamespace(dropped=(("m1", "no-reply"), ("m2", "withdrawn"), ("m3", "no-reply")))
    first, second = left_out(closed, {"m1": "恒锐机械", "m3": "新桥精工"}, str)
    assert (
        first == "恒锐机械, 新桥精工: did not reply in time; ask the member whether its node runs: client-node status"
    )
    assert second.startswith("m2: has withdrawn")


def test_no_is_no_success(office):
    key = key_id(office.settings.agreement_key.public_key())
    done = CliRunner().invoke(app, ["end-key", key, "--home", str(office.settings.home)], input="n\n")
    assert isinstance(done.exception, Refused) and done.exception.code == "DECLINED"
    assert office.log.state().keys[key].ended is None
