"""A chamber and its members as real processes, each member on its own table, driven by the public commands."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from contracts.artefact import read_artefact
from demo.cluster import Cluster
from engine.table import TableSchema
from engine.task import Model, load


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
            table.select([column.name for column in schema.columns]).write_csv(data / schema.file)
            cluster.run_node(cluster.join(number, name, data))
        yield cluster


def released(schema: TableSchema, tables: Mapping[str, pl.DataFrame], epsilon: str) -> Model:
    """The model of one run over TrustGrid in the task's own family, as the first node holds it."""
    with chamber(schema, tables, epsilon=epsilon) as cluster:
        order = ("order", schema.task, "--epsilon", epsilon, "--yes", "--wait")
        cluster.command("coordinator", *order, home="chamber")
        (newest, *_) = cluster.json("client_node", "status", home="node-01")["released"]
        path = cluster.home("node-01") / "documents" / newest["model"].removeprefix("sha256:")
        task = load(schema.task)
        shape = task.design(schema, task.families[0], 0).shape
        return Model(shape, read_artefact(path.read_bytes(), "model", "d").values)
