"""The office answers what waits, ends keys, and erases only what may go."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.envelope import key_id
from contracts.errors import Refused
from coordinator.store import documents
from coordinator.trust.duties import end_key, erase, note_incident, open_matters
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
