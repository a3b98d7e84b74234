"""A name with a hidden clause comes into no office, no invite and no register, and no page
shows one as its own words."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from client_node.membership.joining import read_invite
from contracts.envelope import canonical
from contracts.errors import Refused
from coordinator.trust import agreements, members
from coordinator.web.server import make_app
from demo.cluster import company_code
from firm import Firm
from offices import found

CLAUSE = "示例商会\n\n11. 会员放弃一切权利"
NAMES = [CLAUSE, "a\u202eb", "a\u200bb", " x", "e\u0301", ""]


@pytest.fixture
def office(tmp_path):
    made = found(tmp_path / "office")
    yield made
    made.database.close()


@pytest.mark.parametrize("name", NAMES)
def test_init_and_invite_refuse_it_in_three_lines_and_make_nothing(tmp_path, run_command, office, name):
    done = run_command(
        "coordinator", "init", "--name", name, "--domain", "localhost", "--home", str(tmp_path / "new"), "--lang", "en"
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 3 and "[TEXT]" in done.stderr
    assert not (tmp_path / "new").exists()
    with pytest.raises(Refused) as refused:
        members.invite(
            office.database,
            office.settings,
            name=name,
            code=company_code(1),
            approved=True,
            genesis="",
            now=datetime.now(UTC),
        )
    assert refused.value.code == "TEXT" and members.names(office.database) == {}


@pytest.mark.parametrize("field", ["chamber", "name", "code", "origin"])
def test_a_node_takes_no_invite_that_holds_one(tmp_path, office, field):
    with TestClient(make_app(office)) as client:
        invite = Firm(office, client).invite
    path = tmp_path / "good.invite"
    path.write_text(json.dumps(invite))
    assert read_invite(path) == invite
    path.write_text(json.dumps(invite | {field: CLAUSE}))
    with pytest.raises(Refused, match=r"\[U\+000A\]"):
        read_invite(path)


def test_a_member_cannot_register_under_one(office, monkeypatch):
    with TestClient(make_app(office), base_url="https://testserver") as client:
        firm = Firm(office, client)
        monkeypatch.setattr("firm.canonical", lambda value: canonical(value | {"name": CLAUSE}))
        ask = firm.ask
        firm.ask = lambda method, path, body: ask(
            method, path, body | {"register": body["register"] | {"name": CLAUSE}}
        )
        answer = firm.join()
    assert (answer.status_code, answer.json()["code"]) == (403, "TEXT") and members.waiting(office.database) == []


def test_no_draft_becomes_terms_with_one(office):
    with pytest.raises(Refused) as refused:
        agreements.complete(office.log.state(), {"tasks": [{"row_meaning": CLAUSE}], "dispute": ""})
    assert refused.value.code == "TEXT"


def test_pages_show_as_a_number_what_an_older_office_is_called(office):
    older = replace(office, settings=replace(office.settings, name="商会\u202e\x1b[31m"))
    shown = TestClient(make_app(older), base_url="https://testserver").get("/?lang=en").text
    assert "商会[U+202E][U+001B][31m" in shown and "\u202e" not in shown and "\x1b" not in shown
