"""The status page tells everybody what was promised about privacy, and says so where nothing was spent."""

from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from coordinator.web.server import make_app
from offices import found
from simulator import Trust


@pytest.fixture
def office(tmp_path):
    made = found(tmp_path)
    yield made
    made.database.close()


def page(office, lang):
    return TestClient(make_app(office), base_url="https://testserver").get(f"/?lang={lang}").text


def test_before_the_first_round_nothing_is_said_to_be_spent(office):
    assert "Nothing was spent yet." in page(office, "en") and "尚未花费任何额度" in page(office, "zh")


def test_four_sentences_stand_on_the_page_in_both_languages_worst_case_first(office, monkeypatch):
    trust = Trust(members=4, secure_sum="required")
    trust.now = trust.now.replace(year=datetime.now(UTC).year)
    trust.whole_run()
    monkeypatch.setattr(office.log, "state", lambda: trust.state)
    english, chinese = page(office, "en"), page(office, "zh")
    starts = (
        "If everybody else conspires: epsilon",
        "If at least 3 of the companies",
        "Someone who guesses",
        "This protects",
    )
    places = [english.index(words) for words in starts]
    assert places == sorted(places) and english.count("<li>") == 4
    assert "即使其他各方全部串通" in chinese and "If everybody" not in chinese


@pytest.mark.parametrize(
    "address, zh, en",
    [("/agreement", "尚未发布协议", "no agreement is published yet"), ("/models/none", "none", "0 released models")],
)
def test_an_address_asked_in_vain_answers_people_with_a_page_in_their_language(office, address, zh, en):
    client = TestClient(make_app(office), base_url="https://testserver")
    for lang, words in (("zh", zh), ("en", en)):
        told = client.get(f"{address}?lang={lang}")
        assert told.status_code == 404 and words in told.text and "<main>" in told.text
