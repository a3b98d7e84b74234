"""What a member gets on its own machine: rows scored with reasons and a receipt, files, a local interface, pages."""

import io
import json
import re
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import polars as pl
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from client_node.commands import results
from client_node.data.formats import MOST_UNPACKED
from client_node.data.scored_rows import frame_of, read_rows
from client_node.home import create_home
from client_node.ledger.ledger import Budget
from client_node.link.mirror import read_documents
from client_node.serving import prepared as desks
from client_node.serving.predict import canonical_line, prepare
from client_node.serving.prepared import PreparedModels, own_token
from client_node.serving.result_files import write_result
from client_node.web.server import listen, make_app
from client_node.web.uploads import MOST_BYTES
from contracts.envelope import canonical, digest, from_base64, open_entry
from contracts.errors import Malformed, Refused
from contracts.log.receipts import output_commitment
from contracts.statements.closed_list import parse
from contracts.statements.statements import Seen
from contracts.terms.agreement import TaskTerms
from engine.ensemble import ResultLine
from engine.task import load
from receivables import CLIENTS, clients
from simulator import NOTHING, Trust

MEMBER = "urn:uuid:12345678-1234-4234-8234-123456789abc"
SALES = load("demand").schema()


RECENT = pl.col("period") >= "2023-09"  # less than two years: no season is fitted, which takes long


def sales():
    random = np.random.default_rng(0)
    rows = [
        (f"P{s:02d}", f"{2023 + t // 12}-{t % 12 + 1:02d}", round(float(1000 * random.lognormal(0, 0.1)), 2))
        for s in range(24)
        for t in range(30)
    ]
    return pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row")


def terms(schema):
    fields = ("task", "dataset", "purpose", "row_meaning", "unit", "max_units", "max_rows_per_unit")
    told = {name: getattr(schema, name) for name in fields}
    return TaskTerms(schema_digest=schema.digest(), personal_data=False, **told)


@pytest.fixture
def node(tmp_path, fits):
    """(settings, mirror, budget) of a member whose chamber has agreed on both tasks and released nothing."""
    data = tmp_path / "data"
    data.mkdir()
    clients(800).write_csv(data / "clients.csv")
    sales().write_csv(data / "sales.csv")
    settings = create_home(tmp_path / "home", data)
    (settings.home / "cache").symlink_to(fits)
    (settings.home / "invite.json").write_text(json.dumps({"member": MEMBER}), encoding="utf-8")
    for schema in (CLIENTS, SALES):
        (read_documents(settings.home) / schema.digest().removeprefix("sha256:")).write_bytes(schema.to_bytes())
    trust = Trust(1, tasks=(terms(CLIENTS), terms(SALES)))
    mirror = SimpleNamespace(state=trust.state, seen=lambda: Seen(size=1, root=NOTHING))
    return settings, mirror, Budget(settings.home / "ledger.db")


@pytest.fixture
def risk(node):
    return prepare(*node, None, "risk")


@pytest.fixture
def web(node, monkeypatch):
    """A client of the local interface that knows the token."""
    monkeypatch.setattr(desks, "local", lambda home: node)
    token = own_token(node[0].home)
    client = TestClient(
        make_app(PreparedModels(node[0].home), token), base_url="http://127.0.0.1", follow_redirects=False
    )
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.mark.parametrize(
    ("kind", "whose", "said"), [("good", {"own", "public"}, ""), ("broken", {"own"}, "no public model")]
)
def test_a_public_model_has_a_vote_and_one_that_cannot_be_read_is_left_out_in_words(
    node, monkeypatch, kind, whose, said
):
    settings, mirror, budget = node
    rows = clients(3000, seed=9).rename({one: c.name for c in CLIENTS.columns for one in c.aliases})
    data = load("risk").fit_public(rows, CLIENTS, "published") if kind == "good" else b"{}"
    (read_documents(settings.home) / digest(data).removeprefix("sha256:")).write_bytes(data)
    agreed = Trust(1, tasks=(terms(CLIENTS).model_copy(update={"public_model": digest(data)}),))
    there = settings, SimpleNamespace(state=agreed.state, seen=mirror.seen), budget
    ready = prepare(*there, None, "risk")
    assert {vote.whose for vote in ready.voted.votes.votes} == whose
    assert said in str(ready.left_out or "") and (ready.left_out is None) == (kind == "good")
    monkeypatch.setattr(desks, "local", lambda home: there)
    page = TestClient(
        make_app(PreparedModels(settings.home), own_token(settings.home)), base_url="http://127.0.0.1"
    ).get("/tasks/risk?lang=en", headers={"Authorization": f"Bearer {own_token(settings.home)}"})
    assert ("cannot be used here" in page.text) == (kind == "broken") and page.status_code == 200


def test_rows_of_a_file_are_scored_and_one_receipt_stands_behind_them_all(risk, tmp_path):
    path = tmp_path / "prospects.csv"
    clients(50, seed=3).drop("违约").write_csv(path)
    checked = read_rows(path, CLIENTS)
    result = risk.score(checked.frame.drop("row"))
    assert [line.id for line in result.lines] == [f"K{i:04d}" for i in range(50)] and not checked.findings
    held = json.loads(result.receipt.read_bytes())
    said = parse(open_entry(from_base64(held["statement"])).payload)
    assert said.output_commit == output_commitment(held["lines"], from_base64(held["salt"]))
    assert json.loads(held["lines"][7])["outcome"] == {"probability": f"{result.lines[7].outcome['probability']:.6f}"}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_results_go_into_files_of_every_kind_with_the_receipt_beside_each_row(risk, tmp_path, kind):
    path, out = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    frame = clients(30, seed=3).drop("违约")
    {"csv": frame.write_csv, "xlsx": frame.write_excel, "parquet": frame.write_parquet}[kind](path)
    result = risk.score(read_rows(path, CLIENTS).frame.drop("row"))
    write_result(result, out)
    read = {"csv": pl.read_csv, "xlsx": pl.read_excel, "parquet": pl.read_parquet}[kind](out)
    assert read["id"].to_list() == frame["客户"].to_list() and set(read["receipt"]) == {result.receipt_id}
    assert (result.receipt.parent / f"{read['receipt'][0]}.result.json").exists()
    assert {"probability", "reason_1", "weight_1", "reason_2", "weight_2"} <= set(read.columns)
    with pytest.raises(Malformed, match="not written"):
        write_result(result, tmp_path / "out.doc")


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_customers_name_hides_nothing_in_a_file_of_results(risk, tmp_path, kind):
    frame = clients(30, seed=3).drop("违约").with_columns(客户=pl.concat_str("客户", pl.lit("\u202e\x1b[31m")))
    frame.write_parquet(tmp_path / "in.parquet")
    write_result(risk.score(read_rows(tmp_path / "in.parquet", CLIENTS).frame.drop("row")), tmp_path / f"out.{kind}")
    read = {"csv": pl.read_csv, "xlsx": pl.read_excel}[kind](tmp_path / f"out.{kind}")
    assert all(name.endswith("[U+202E][U+001B][31m") for name in read["id"])


def test_faulty_rows_are_named_without_their_values_and_the_others_are_scored(risk, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("客户,逾期占比,趋势\nA,0.3,\nB,many,0.1\n,0.2,0.1\n", encoding="utf-8")
    checked = read_rows(path, CLIENTS)
    assert {(f.row, f.rule) for f in checked.findings} == {(3, "not-a-number"), (4, "empty")}
    assert [line.id for line in risk.score(checked.frame.drop("row")).lines] == ["A"]
    with pytest.raises(Malformed, match="cannot be scored") as error:
        frame_of([{"counterparty": "A", "overdue_share": "many"}], CLIENTS)
    assert "many" not in " ".join(error.value.lines(str))


def test_the_node_says_what_would_change_a_score_under_the_members_own_names(risk):
    riskiest = max(risk.voted.lines, key=lambda line: line.outcome["probability"])
    row = risk.row(riskiest.id)
    assert risk.named(row)["counterparty"][0] == riskiest.id != row["counterparty"][0]
    change = risk.voted.panel.change(row, risk.line())
    assert change.probability < risk.line() and change.moves[0][0] == "overdue_share"
    with pytest.raises(Refused, match="no row nobody"):
        risk.row("nobody")


def test_demand_scores_no_rows_and_says_so(node):
    with pytest.raises(Refused, match="own series"):
        prepare(*node, None, "demand").score(pl.DataFrame())


def test_the_local_interface_scores_explains_and_describes_itself(web):
    assert web.get("/v1/tasks").json() == ["risk", "demand"]
    row = {"counterparty": "new", "overdue_share": 0.9, "order_trend": None}
    told = web.post("/v1/tasks/risk/score", json={"rows": [row, row | {"overdue_share": 0.01}]}).json()
    high, low = (line["outcome"]["probability"] for line in told["lines"])
    assert high > 0.5 > low and told["receipt"]
    why = web.post("/v1/tasks/risk/explain", json={"row": row}).json()
    assert why["change"]["probability"] < why["line"] and why["lines"][0]["reasons"]
    assert web.post("/v1/tasks/risk/score", json={"rows": [{"nobody": 1}]}).status_code == 422
    assert web.post("/v1/tasks/demand/score", json={"rows": [row]}).status_code == 409
    described = web.get("/openapi.json").json()
    assert "/v1/tasks/{task}/score" in described["paths"]


@pytest.fixture
def served(node, monkeypatch):
    """The local interface on a real port: a client that knows the token."""
    monkeypatch.setattr(desks, "local", lambda home: node)
    token, listener = own_token(node[0].home), listen(0)
    app = make_app(PreparedModels(node[0].home), token)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False) as c:
        yield c
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(("kind", "to"), [("csv", "parquet"), ("xlsx", "csv"), ("parquet", "xlsx")])
def test_programs_send_a_file_and_get_one_back_with_the_receipt_beside_each_row(served, node, kind, to):
    frame, buffer = clients(30, seed=3).drop("违约"), io.BytesIO()
    {"csv": frame.write_csv, "xlsx": frame.write_excel, "parquet": frame.write_parquet}[kind](buffer)
    answer = served.post(f"/v1/tasks/risk/file?kind={kind}&to={to}", content=buffer.getvalue())
    assert answer.status_code == 200 and f'filename="risk.{to}"' in answer.headers["content-disposition"]
    read = {"csv": pl.read_csv, "xlsx": pl.read_excel, "parquet": pl.read_parquet}[to](io.BytesIO(answer.content))
    assert read["id"].to_list() == frame["客户"].to_list() and read["probability"].is_between(0, 1).all()
    [receipt] = set(read["receipt"])
    assert (node[0].home / "receipts" / f"{receipt}.result.json").exists()


def test_programs_get_forecasts_of_the_members_own_file_as_a_file_with_the_receipt_beside_each_row(served):
    read = pl.read_csv(served.get("/v1/tasks/demand/file").content)
    told = served.get("/v1/tasks/demand").json()
    assert read.height == 25 and set(read["receipt"]) == {told["receipt"]}
    assert told["receipt"].startswith("R"), "422994096162 or 12e345678901 would become a number in a spreadsheet"
    assert read["level"].to_list() == ["series"] * 24 + ["member"]


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_the_total_is_the_same_in_command_page_and_file_and_its_median_that_of_all_series(
    node, web, tmp_path, monkeypatch, capsys, kind
):
    out = tmp_path / f"forecast.{kind}"
    monkeypatch.setattr(results, "_ready", lambda home, task: prepare(*node, None, task))
    assert results.forecast(out=out, home=node[0].home, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    read = {"csv": pl.read_csv, "xlsx": pl.read_excel, "parquet": pl.read_parquet}[kind](out)
    series, [total] = read.filter(level="series"), read.filter(level="member").to_dicts()
    page = web.get("/tasks/demand?lang=en").text
    assert series.height == len(told["lines"]) == 24 and total["id"] == told["total"]["id"] == "total"
    for step in (1, 2, 3):
        low, middle, high = (told["total"]["outcome"][f"{word}_{step}"] for word in ("low", "median", "high"))
        assert middle == pytest.approx(sum(line["outcome"][f"median_{step}"] for line in told["lines"]))
        assert middle == pytest.approx(series[f"median_{step}"].sum())
        assert (low, middle, high) == pytest.approx([total[f"{word}_{step}"] for word in ("low", "median", "high")])
        assert "".join(f'<td class="n">{value:,.0f}</td>' for value in (low, middle, high)) in page
        assert series[f"low_{step}"].sum() < low < middle < high < series[f"high_{step}"].sum(), "errors offset in part"
    held = json.loads(Path(told["receipt"]).read_bytes())
    assert json.loads(held["lines"][-1])["outcome"]["median_1"] == f"{total['median_1']:.6f}", "the receipt has it too"


def test_families_stand_in_file_receipt_and_page_and_a_family_called_like_a_series_is_another_line(node, monkeypatch):
    family = pl.when(pl.col("series") < "P06").then(pl.lit("P03")).when(pl.col("series") < "P20").then(pl.lit("食品"))
    sales().filter(RECENT).with_columns(family.alias("产品类别")).write_csv(node[0].data / "sales.csv")
    monkeypatch.setattr(desks, "local", lambda home: node)
    headers = {"Authorization": f"Bearer {own_token(node[0].home)}"}
    web = TestClient(
        make_app(PreparedModels(node[0].home), own_token(node[0].home)), base_url="http://127.0.0.1", headers=headers
    )
    told = web.get("/v1/tasks/demand").json()
    read = pl.read_csv(web.get("/v1/tasks/demand/file").content)
    assert [(one["level"], one["id"]) for one in told["families"]] == [("family", "P03"), ("family", "食品")]
    assert read["level"].to_list() == ["series"] * 24 + ["family"] * 2 + ["member"]
    for name, last in (("P03", "P06"), ("食品", "P20")):
        first = "P00" if name == "P03" else "P06"
        own = read.filter(
            pl.col("level") == "series", pl.col("id").is_between(pl.lit(first), pl.lit(last), closed="left")
        )
        [whole] = read.filter(level="family", id=name)["median_1"].to_list()
        assert whole == pytest.approx(own["median_1"].sum())
    held = json.loads((node[0].home / "receipts" / f"{told['receipt']}.result.json").read_bytes())
    assert [json.loads(line)["level"] for line in held["lines"]] == read["level"].to_list()
    pages = {at: web.get(f"/tasks/demand?lang=en&id={at}/P03").text for at in ("series", "family")}
    for level, page in pages.items():
        assert f'<option value="{level}/P03" selected>' in page and page.count(" selected>") == 1
        value = read.filter(level=level, id="P03")["median_1"].item()
        assert f'<td class="n">{value:,.0f}</td>' in page
    assert pages["series"] != pages["family"] and '<optgroup label="Families">' in pages["family"]


def test_page_command_file_and_programs_say_what_planned_offers_move(node, monkeypatch, capsys):
    random = np.random.default_rng(2)
    promoted = (random.random((24, 30)) < 0.25).astype(float)
    lift = pl.Series(np.exp(0.7 * promoted).ravel())
    past = sales().with_columns(pl.col("sales") * lift, promotion=pl.Series(promoted.ravel())).filter(RECENT)
    plan = [("P03", f"2025-0{month}", None, 1.0) for month in (7, 8, 9)]
    pl.concat([past, pl.DataFrame(plan, schema=past.schema, orient="row")]).write_csv(node[0].data / "sales.csv")
    monkeypatch.setattr(desks, "local", lambda home: node)
    headers = {"Authorization": f"Bearer {own_token(node[0].home)}"}
    web = TestClient(
        make_app(PreparedModels(node[0].home), own_token(node[0].home)), base_url="http://127.0.0.1", headers=headers
    )
    told = web.get("/v1/tasks/demand").json()
    assert told["offers"] is True and told["ahead"] == ["2025-07", "2025-08", "2025-09"]
    [line] = [line for line in told["lines"] if line["reasons"]]
    [[lever, share]] = line["reasons"]
    assert (line["id"], lever) == ("P03", "promotion") and 0.3 < share < 1.5
    read = pl.read_csv(web.get("/v1/tasks/demand/file").content)
    assert read.drop_nulls("reason_1").select("id", "reason_1").rows() == [("P03", "promotion")]
    for lang, word, moves in (("en", "promotion", "What is planned moves"), ("zh", "促销", "计划对本预测的影响")):
        page, other = (web.get(f"/tasks/demand?lang={lang}&id=series/{name}").text for name in ("P03", "P04"))
        assert moves in page and f"{word} {100 * share:+.0f} %" in page and moves not in other
    monkeypatch.setattr(results, "_ready", lambda home, task: prepare(*node, None, task))
    monkeypatch.setattr(results, "_SHOWN", 24)
    assert results.forecast(home=node[0].home) == 0
    said = capsys.readouterr().out
    assert f"促销 {share:+.0%}" in said and "今后的促销和价格以表中所列为准" in said


def test_a_file_that_is_faulty_too_large_or_of_no_rows_task_is_refused_in_words(served):
    text = "客户,逾期占比,趋势\nA,0.3,\nB,many,0.1\n,0.2,0.1\n".encode("gb18030")
    refused = served.post("/v1/tasks/risk/file", content=text)
    assert refused.status_code == 422 and "row 3, column 逾期占比: not a number" in refused.json()["why"]
    assert "row 4, column 客户: empty" in refused.json()["why"] and "many" not in refused.text
    others = served.post("/v1/tasks/risk/file?leave_out=true", content=text)
    assert others.headers["mengbang-left-out"] == "2" and pl.read_csv(others.content)["id"].to_list() == ["A"]
    assert served.post("/v1/tasks/risk/file", content=bytes(MOST_BYTES + 1)).status_code == 413
    assert served.post("/v1/tasks/risk/file", content=iter([text])).status_code == 411, "nobody knows how long it gets"
    assert served.post("/v1/tasks/risk/file?kind=xlsx", content=text).json()["error"] == "MALFORMED"
    assert served.post("/v1/tasks/demand/file", content=text).json()["error"] == "NO_ROWS"
    assert served.post("/v1/tasks/risk/file", content=text, headers={"Authorization": ""}).status_code == 401
    described = served.get("/openapi.json").json()["paths"]["/v1/tasks/{task}/file"]
    assert set(described) == {"get", "post"} and "application/octet-stream" in str(described["post"]["requestBody"])


def test_a_file_that_cannot_be_read_is_named_as_its_sender_named_it_and_the_next_one_is_answered(served):
    text = "客户,逾期占比,趋势\nA,0.3,\n".encode("gb18030")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        book.writestr("xl/worksheets/sheet1.xml", bytes(MOST_UNPACKED + 1))
    refused = {
        "MALFORMED": ("xlsx", text),
        "TOO_LARGE": ("xlsx", packed.getvalue()),
        "ENCODING": ("csv", b"\x00\x01"),
        "COLUMN": ("csv", "客户,趋势\nA,1\n".encode()),
        "ROWS": ("csv", "客户,逾期占比,趋势\nA,many,\n".encode()),
    }
    for code, (kind, body) in refused.items():
        answer = served.post(f"/v1/tasks/risk/file?kind={kind}&name=意向客户.{kind}", content=body)
        said = answer.json()
        assert answer.status_code == 422 and said["error"] == code and said["do"]
        assert f"意向客户.{kind}" in said["what"] + said["why"] and "tmp" not in answer.text
    assert "rows.parquet" in served.post("/v1/tasks/risk/file?kind=parquet", content=text).json()["what"]
    for name in ("../x", "a\\b", "x" * 61, "a\x00"):
        answer = served.post("/v1/tasks/risk/file", params={"name": name}, content=text)
        assert answer.status_code == 422 and "detail" in answer.json()
    assert served.post("/v1/tasks/risk/file?name=意向客户.csv", content=text).status_code == 200


def test_a_product_is_not_explained_and_a_line_is_a_probability(node, monkeypatch):
    sales().filter(RECENT).write_csv(node[0].data / "sales.csv")
    monkeypatch.setattr(results, "_ready", lambda home, task: prepare(*node, None, task))
    with pytest.raises(Refused, match="not single rows"):
        results.explain("P01", task="demand", home=node[0].home)
    for line in (float("nan"), 0.0, 1.0, 20.0):
        with pytest.raises(Malformed, match="no probability"):
            results.explain("K0001", line=line, home=node[0].home)


def test_what_is_no_text_or_says_nothing_is_refused_and_not_a_fault_of_the_node(served):
    wrong = served.post("/v1/tasks/risk/score", content=b"\xff\xfe")
    assert wrong.status_code == 422 and wrong.json()["detail"][0]["loc"][0] == "body"
    for path, body in (
        ("explain", {"row": {}}),
        ("score", {"rows": [{"客户": "A"}]}),
        ("score", {"rows": [{"{x}": 1}]}),
    ):
        refused = served.post(f"/v1/tasks/risk/{path}", json=body)
        assert refused.status_code == 422 and refused.json()["error"] == "ROW" and refused.json()["why"]


def test_without_the_token_or_under_another_name_nothing_is_answered(web):
    token = web.headers.pop("Authorization").removeprefix("Bearer ")
    for path in ("/", "/v1/tasks", "/tasks/risk"):
        assert web.get(path).status_code == 401
        assert web.get(path, headers={"Authorization": f"Bearer {token[:-1]}"}).status_code == 401
    elsewhere = {"Authorization": f"Bearer {token}", "Host": "evil.example"}
    assert web.get("/v1/tasks", headers=elsewhere).status_code == 400, "a name pointed at this machine"
    opened = web.get(f"/tasks/risk?token={token}&lang=en")
    assert opened.status_code == 303 and opened.headers["location"] == "/tasks/risk?lang=en"
    assert (
        "httponly" in opened.headers["set-cookie"].lower() and "samesite=strict" in opened.headers["set-cookie"].lower()
    )
    assert web.get("/tasks/risk").status_code == 200, "the cookie opens the pages"


@pytest.mark.parametrize(("lang", "word"), [("en", "Do the probabilities come true?"), ("zh", "概率准不准？")])
def test_the_page_of_risk_shows_reliability_reasons_and_three_columns(web, lang, word):
    riskiest = web.get("/v1/tasks/risk").json()["lines"]
    name = max(riskiest, key=lambda line: line["outcome"]["probability"])["id"]
    page = web.get(f"/tasks/risk?lang={lang}&id={name}")
    assert word in page.text and name in page.text and page.text.count("<svg") == 1
    assert ("逾期占比" in page.text) == (lang == "zh"), "columns are called as the member calls them"
    assert "default-src 'none'" in page.headers["content-security-policy"] and "<script" not in page.text
    assert "style=" not in page.text and len(page.content) < 40_000


def test_the_page_of_demand_shows_history_and_band_of_any_series(web):
    whole, one = web.get("/tasks/demand?lang=en").text, web.get("/tasks/demand?lang=en&id=series/P03").text
    assert whole.count('class="band"') == one.count('class="band"') == 1 and whole != one
    points = one.partition('class="past" points="')[2].partition('"')[0].split()
    assert len(points) == 30, "every month that was sold"
    assert "2025-09</text>" in one, "periods to come have their name"


def test_pages_in_chinese_name_tasks_and_votes_in_chinese(web):
    page = web.get("/tasks/demand?lang=zh").text
    assert "<h1>需求预测 · 预测</h1>" in page and "上年同期 (" in page and ">风险预警</a>" in page
    assert "seasonal naive" not in page and ">demand<" not in page


def test_pages_say_what_votes_before_a_release_and_offer_all_results_as_a_file(web, node):
    demand, risk = (web.get(f"/tasks/{task}?lang=en").text for task in ("demand", "risk"))
    assert "No shared model was released yet. Until then the shared vote is the public start." in demand
    assert "No shared model was released yet.</p>" in risk, "risk has no public start"
    [link] = re.findall(r'href="(/v1/tasks/demand/file\?to=csv)"', demand)
    assert pl.read_csv(web.get(link).content)["level"].to_list()[-1] == "member"


def test_where_there_is_too_little_to_tell_no_page_says_that_own_models_were_better(node, monkeypatch):
    sales().filter(pl.col("series") < "P05").write_csv(node[0].data / "sales.csv")
    monkeypatch.setattr(desks, "local", lambda home: node)
    token = own_token(node[0].home)
    few = TestClient(make_app(PreparedModels(node[0].home), token), base_url="http://127.0.0.1")
    page = few.get("/tasks/demand?lang=en", headers={"Authorization": f"Bearer {token}"}).text
    assert "Too little to tell." in page and "your own models were better" not in page


@pytest.mark.parametrize(
    ("lang", "said", "prices"),
    [
        ("en", ["2025-07", "2025-08", "2025-09"], "No promotions or prices are given"),
        ("zh", ["2025 年 7 月", "2025 年 8 月", "2025 年 9 月"], "没有促销和价格"),
    ],
)
def test_the_page_of_demand_says_the_months_to_come_and_what_is_no_input(web, lang, said, prices):
    page = web.get(f"/tasks/demand?lang={lang}").text
    shown = re.findall(r'<th scope="row"><time>(.*?)</time></th>', page)
    assert shown == said and prices in page
    assert web.get("/v1/tasks/demand").json()["ahead"] == ["2025-07", "2025-08", "2025-09"]
    assert set(pl.read_csv(web.get("/v1/tasks/demand/file").content)["first_period"]) == {"2025-07"}


def test_page_programs_and_command_of_demand_warn_where_sales_are_not_what_was_learned_from(
    node, web, monkeypatch, capsys
):
    monkeypatch.setattr(results, "_ready", lambda home, task: prepare(*node, None, task))
    assert 'role="alert"' not in web.get("/tasks/demand?lang=en").text, "nothing moved yet"
    assert results.forecast(home=node[0].home) == 0 and "▲" not in capsys.readouterr().err
    random = np.random.default_rng(1)
    sold = pl.Series(random.random(24 * 30) < 0.3)
    late = (pl.col("period") >= "2024-07") & ~sold
    sales().with_columns(sales=pl.when(late).then(0.0).otherwise("sales")).write_csv(node[0].data / "sales.csv")
    assert results.forecast(home=node[0].home, as_json=True) == 0
    told = capsys.readouterr()
    assert "▲ 无销售期间的占比 与模型学习时不同：当时中位数 0，" in told.err
    assert json.loads(told.out)["total"], "the warning stands beside JSON, not in it"
    app = make_app(PreparedModels(node[0].home), own_token(node[0].home))
    fresh = TestClient(app, base_url="http://127.0.0.1", headers=web.headers)
    page = fresh.get("/tasks/demand?lang=zh").text
    assert 'role="alert"' in page and "无销售期间的占比" in page and "可信度降低" in page
    moved = [one["column"] for one in fresh.get("/v1/tasks/demand").json()["drift"] if one["index"] > 0.1]
    assert "share of periods without sales" in moved


def test_a_page_about_nobody_says_what_to_do(web):
    page = web.get("/tasks/risk?lang=en&id=<b>nobody</b>")
    assert page.status_code == 409 and "no row" in page.text and "<b>nobody" not in page.text


def test_results_are_made_anew_when_the_data_change_and_kept_when_nothing_does(node, monkeypatch):
    monkeypatch.setattr(desks, "local", lambda home: node)
    desk = PreparedModels(node[0].home)
    first, receipt = desk.ready("risk"), desk.own("risk").receipt
    desk.look_again()
    assert desk.ready("risk").voted is first.voted and desk.own("risk").receipt == receipt
    clients(900, seed=5).write_csv(node[0].data / "clients.csv")
    desk.look_again()
    assert len(desk.ready("risk").voted.lines) == 900 and desk.own("risk").receipt != receipt


def test_files_that_cannot_be_read_for_a_moment_do_not_end_the_looking(node, monkeypatch):
    monkeypatch.setattr(desks, "local", lambda home: node)
    desk, looks = PreparedModels(node[0].home), []

    def look():
        looks.append(1)
        raise (PermissionError("/data/erp is locked"), pl.exceptions.ComputeError("could not parse `secret`"))[
            len(looks) % 2
        ]

    monkeypatch.setattr(desk, "look_again", look)
    told = []
    monkeypatch.setattr(desks.log_event, "error", lambda *words, **values: told.append(values))
    desk.watch(SimpleNamespace(wait=lambda seconds: len(looks) == 2))
    assert len(looks) == len(told) == 2 and "secret" not in repr(told) and "ComputeError" in repr(told)


def test_the_token_is_the_owners_alone(node):
    home = node[0].home
    assert own_token(home) == own_token(home) and len(own_token(home)) >= 32
    (home / "serve.token").chmod(0o644)
    with pytest.raises(Exception, match="read by others"):
        own_token(home)


@given(st.text(), st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.floats(-9, 9)), max_size=3))
def test_a_line_has_the_bytes_of_rfc_8785_whatever_its_names(name, reasons):
    name = name.encode("utf-8", "ignore").decode()
    line = ResultLine(name, {"probability": 0.25, "low_1": 3.0}, tuple(reasons))
    told = canonical_line(line).encode()
    assert told == canonical(json.loads(told)) and json.loads(told)["id"] == name
