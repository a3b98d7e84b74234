"""What a member sees of itself: months in order, reasons, what would help, and everywhere
that the prior is simulated."""

import json
from types import SimpleNamespace

import polars as pl
import pytest
from fastapi.testclient import TestClient

from client_node.commands import results
from client_node.home import create_home
from client_node.ledger.ledger import Budget
from client_node.link.mirror import read_documents
from client_node.serving import prepared as desks
from client_node.serving.predict import prepare
from client_node.serving.prepared import PreparedModels, own_token
from client_node.web.server import make_app
from contracts.errors import Malformed, Refused
from contracts.statements.statements import Seen
from contracts.terms.agreement import TaskTerms
from engine.task import load
from engine.warning.firms import simulate
from simulator import NOTHING, Trust

SCHEMA = load("warning").schema()
SIMULATED = "made from simulated firms, not checked on real ones"
IN_CHINESE = "由模拟企业得出，未在真实企业上检验"


def firm():
    """A firm that came into distress, its books in Chinese headings up to some months after."""
    made = simulate(60, 72, 4)
    at = next(i for i, onset in enumerate(made.onset) if onset > 30)
    names = {column.name: column.aliases[0] for column in SCHEMA.columns}
    return made.tables(72)[at].rename(names), int(made.onset[at])


@pytest.fixture
def node(tmp_path):
    """(settings, mirror, budget) of a member whose chamber has agreed on early warning and released nothing."""
    table, onset = firm()
    data = tmp_path / "data"
    data.mkdir()
    table.head(onset).write_csv(data / "firm.csv")
    settings = create_home(tmp_path / "home", data)
    (settings.home / "invite.json").write_text(
        json.dumps({"member": "urn:uuid:12345678-1234-4234-8234-123456789abc"}), encoding="utf-8"
    )
    (read_documents(settings.home) / SCHEMA.digest().removeprefix("sha256:")).write_bytes(SCHEMA.to_bytes())
    fields = ("task", "dataset", "purpose", "row_meaning", "unit", "max_units", "max_rows_per_unit")
    told = {name: getattr(SCHEMA, name) for name in fields}
    trust = Trust(1, tasks=(TaskTerms(schema_digest=SCHEMA.digest(), personal_data=False, **told),))
    mirror = SimpleNamespace(state=trust.state, seen=lambda: Seen(size=1, root=NOTHING))
    return settings, mirror, Budget(settings.home / "ledger.db")


@pytest.fixture
def web(node, monkeypatch):
    """A client of the local interface that knows the token."""
    monkeypatch.setattr(desks, "local", lambda home: node)
    token = own_token(node[0].home)
    client = TestClient(make_app(PreparedModels(node[0].home), token), base_url="http://127.0.0.1")
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def test_command_programs_and_files_serve_the_newest_month_first_and_say_that_the_prior_is_simulated(
    node, web, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(results, "_ready", lambda home, task: prepare(*node, None, task))
    newest = firm()[0]["月份"][firm()[1] - 1]
    out = tmp_path / "months.csv"
    assert results.warn(out=out, home=node[0].home) == 0
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if "probability" in line]
    assert lines[0].split()[0] == newest and len(lines) == 10
    assert IN_CHINESE in said.err and IN_CHINESE in said.out, "beside JSON too, and in the votes"
    read = pl.read_csv(out)
    assert read["id"][0] == newest and SIMULATED in read["note"][0]
    told = web.get("/v1/tasks/warning").json()
    assert told["lines"][0]["id"] == newest and SIMULATED in told["note"] and len(told["lines"][0]["reasons"]) == 3


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", [SIMULATED, "Month by month", "runway months"]), ("zh", [IN_CHINESE, "逐月", "现金可撑月数"])],
)
def test_the_page_explains_the_newest_month_and_says_that_the_prior_is_simulated(web, lang, words):
    page = web.get(f"/tasks/warning?lang={lang}").text
    newest = firm()[0]["月份"][firm()[1] - 1]
    assert f'<h2 id="case">{newest}:' in page
    assert [word for word in words if word not in page] == []
    assert "Customer" not in page and "客户" not in page


def test_a_month_is_explained_and_one_of_distress_is_refused_in_words(node):
    table, onset = firm()
    table.head(onset + 3).write_csv(node[0].data / "firm.csv")
    ready = prepare(*node, None, "warning")
    calm, late = table["月份"][onset - 1], table["月份"][onset]
    assert ready.score(ready.row(calm)).lines[0] == ready.voted.lines[0]
    with pytest.raises(Refused, match=late) as error:
        ready.row(late)
    assert "in default already" in str(error.value.lines(str))


def test_a_file_that_lacks_a_column_or_a_value_that_the_rule_needs_says_which(node):
    table, _onset = firm()
    table.drop("应付最长逾期天数").write_csv(node[0].data / "firm.csv")
    with pytest.raises(Malformed, match="own_overdue_days / 应付最长逾期天数"):
        prepare(*node, None, "warning")
    table.with_columns(应付最长逾期天数=pl.lit(None, dtype=pl.Float64)).write_csv(node[0].data / "firm.csv")
    with pytest.raises(Malformed, match="no rows that can be used"):
        prepare(*node, None, "warning")
