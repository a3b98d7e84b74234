"""A member forecasts on its own machine before the chamber has released anything."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from client_node.home import create_home
from client_node.ledger.ledger import Budget
from client_node.link.mirror import read_documents
from client_node.serving.predict import prepare
from contracts.envelope import digest, from_base64
from contracts.errors import Refused
from contracts.statements.statements import Seen
from contracts.terms.agreement import TaskTerms
from engine.ensemble import Ensemble
from engine.task import load
from simulator import NOTHING, Trust

SCHEMA = load("demand").schema()


@pytest.fixture
def node(tmp_path, fits):
    """(settings, mirror, budget) of a member whose chamber has agreed on demand and released nothing."""
    data = tmp_path / "data"
    data.mkdir()
    random = np.random.default_rng(0)
    rows = [
        (f"P{s:02d}", f"{2023 + t // 12}-{t % 12 + 1:02d}", round(float(1000 * random.lognormal(0, 0.1)), 2))
        for s in range(24)
        for t in range(30)
    ]
    pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row").write_csv(data / "sales.csv")
    settings = create_home(tmp_path / "home", data)
    (settings.home / "cache").symlink_to(fits)
    (settings.home / "invite.json").write_text(json.dumps({"member": "urn:uuid:" + MEMBER}), encoding="utf-8")
    (read_documents(settings.home) / SCHEMA.digest().removeprefix("sha256:")).write_bytes(SCHEMA.to_bytes())
    task = TaskTerms(
        task="demand",
        dataset="sales",
        schema_digest=SCHEMA.digest(),
        purpose="demand-forecast",
        row_meaning="sales",
        personal_data=False,
        unit="series",
        max_units=5000,
        max_rows_per_unit=24,
    )
    trust = Trust(1, tasks=(task,))
    mirror = SimpleNamespace(state=trust.state, seen=lambda: Seen(size=1, root=NOTHING))
    return settings, mirror, Budget(settings.home / "ledger.db")


def serve(*node, **how):
    return prepare(*node, **how).own()


MEMBER = "12345678-1234-4234-8234-123456789abc"


def test_a_member_forecasts_from_day_one_and_its_receipt_names_the_votes(node):
    said = []
    result = serve(*node, None, "demand", progress=lambda *at: said.append(at))
    assert len(result.lines) == 24 and said[-1][0] == said[-1][1] > 0
    record = result.votes.record
    assert record.units == 24 and None not in (record.alone, record.shared, record.used)
    kept = (node[0].home / "votes" / "demand.json").read_bytes()
    assert Ensemble.model_validate_json(kept) == result.votes and digest(kept) == result.votes.digest()
    envelope = json.loads(from_base64(json.loads(result.receipt.read_text(encoding="utf-8"))["statement"]))
    said_in_receipt = json.loads(from_base64(envelope["payload"]))["predicate"]
    assert said_in_receipt["votes"] == result.votes.digest() and said_in_receipt["model"] is None


def test_forecasting_again_fits_nothing_again_and_says_the_same(node):
    first = serve(*node, None, "demand")
    kept = {path: path.stat().st_mtime_ns for path in (node[0].home / "cache").iterdir()}
    second = serve(*node, None, "demand")
    assert kept and {path: path.stat().st_mtime_ns for path in (node[0].home / "cache").iterdir()} == kept
    assert second.lines == first.lines and second.votes.digest() == first.votes.digest()


def test_a_task_outside_the_agreement_is_refused(node):
    with pytest.raises(Refused, match="no active agreement"):
        serve(*node, None, "risk")
