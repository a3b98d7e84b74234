"""What a member reads about its own privacy: the four sentences, from its own copy of the log."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import client_node.cli as cli
from shell.language import translator
from simulator import Trust


@pytest.fixture
def member(monkeypatch, tmp_path):
    trust = Trust(members=4, secure_sum="required")
    trust.now = trust.now.replace(year=datetime.now(UTC).year)
    trust.whole_run()
    budget = SimpleNamespace(head=lambda: SimpleNamespace(rho_total_nano=0), gone=list, refused=list)
    settings = SimpleNamespace(member=trust.firms[0].member, home=tmp_path)
    monkeypatch.setattr("client_node.home.local", lambda home: (settings, SimpleNamespace(state=trust.state), budget))
    return trust


@pytest.mark.parametrize(
    "lang, first", [("en", "If everybody else conspires: epsilon"), ("zh", "即使其他各方全部串通")]
)
def test_status_says_what_is_promised_worst_case_first(member, capsys, monkeypatch, lang, first):
    monkeypatch.setattr(cli, "_", translator("client_node", lang))
    assert cli.status() == 0
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert len(told) == 4 and told[0].startswith(first) and "1e-6" in told[0]
