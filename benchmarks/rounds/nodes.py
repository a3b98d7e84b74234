"""A chamber and its members as real processes, each member on its own table, driven by the public commands."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from client_node.home import local
from client_node.link.mirror import document
from contracts.statements.artefact import read_artefact
from demo.cluster import Cluster
from engine.table import TableSchema
from engine.task import Model, load, plan_for
from privacy.accounting import rho_cap
from privacy.plan import ReleasePlan


def plan_of(schema: TableSchema, members: int, epsilon: str) -> ReleasePlan:
    """What a run in the task's own family with its own number of rounds releases."""
    task, rho_nano = load(schema.task), rho_cap(epsilon, "1e-6")
    family = task.families[0]
    return plan_for(task, schema, family=family, releases=0, rho_nano=rho_nano, delta="1e-6", members=members)


@contextmanager
def chamber(
    schema: TableSchema, tables: Mapping[str, pl.DataFrame], *, epsilon: str = "1", secure_sum: str = "required"
) -> Iterator[Cluster]:
    """A coordinator that serves an agreement over this schema, and one running node a table, all consented."""
    with tempfile.TemporaryDirectory() as place, Cluster(Path(place), "en") as cluster:
        folder, draft = Path(place), Path(place) / "agreement.json"
        (folder / "schema.json").write_bytes(schema.to_bytes())
        own = ("--name", "Bench", "--domain", "localhost", "--url", cluster.url)
        cluster.command("coordinator", "init", *own, home="chamber")
        words = ("--task", schema.task, "--schema", folder / "schema.json", "--epsilon-run", epsilon, "--out", draft)
        cluster.command("coordinator", "agreement", "draft", *words, home="chamber")
        terms = json.loads(draft.read_text(encoding="utf-8")) | {"secure_sum": secure_sum}
        draft.write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        cluster.command("coordinator", "agreement", "publish", draft, "--yes", home="chamber")
        cluster.serve()
        for number, (name, table) in enumerate(tables.items(), 1):
            data = folder / f"data-{number}"
            data.mkdir()
            known = [column.name for column in schema.columns if column.name in table.columns]  # not all are needed
            table.select(known).write_csv(data / schema.file)
            cluster.run_node(cluster.join(number, name, data, epsilon_run=epsilon))
        yield cluster


def released(schema: TableSchema, tables: Mapping[str, pl.DataFrame], epsilon: str) -> Model:
    """The model of one run over TrustGrid in the task's own family, as the first node holds it."""
    with chamber(schema, tables, epsilon=epsilon) as cluster:
        order = ("order", schema.task, "--epsilon", epsilon, "--yes", "--spend-anyway", "--untold", "release", "--wait")
        cluster.command("coordinator", *order, home="chamber")
        cluster.command("client_node", "forecast" if schema.task == "demand" else "score", home="node-01")
        settings, mirror, _ = local(cluster.home("node-01"))
        run = next(run for run in mirror.state.runs_in_order() if run.release)
        values = read_artefact(document(settings, None, run.release.model), "model", "d").values
    return Model(run.order.plan.shape, values)
