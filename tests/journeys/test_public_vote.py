"""A public model over real processes: made by the office, named in the agreement, one more
vote at a member, no budget."""

import json

import pytest

from client_node.link.mirror import read_documents
from contracts.envelope import digest
from demo.cluster import StepFailed
from engine.risk import public
from receivables import CLIENTS, clients
from warm import WarmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_office_makes_one_a_member_keeps_its_vote_and_nothing_is_spent(tmp_path):
    (tmp_path / "schema.json").write_bytes(CLIENTS.to_bytes())
    names = {alias: column.name for column in CLIENTS.columns for alias in column.aliases}
    clients(4000, seed=11).rename(names).write_csv(tmp_path / "public.csv")
    with WarmCluster(tmp_path, "en") as chamber:

        def office(*words):
            return chamber.command("coordinator", *words, home="chamber")

        def agreement(*words):
            return chamber.command("coordinator", "agreement", *words)

        model, draft, told = tmp_path / "model.json", tmp_path / "agreement.json", ("--source", "published statements")
        given = ("--schema", tmp_path / "schema.json", "--out", model)
        agreement("public-model", tmp_path / "public.csv", *told, *given)
        with pytest.raises(StepFailed, match="column order_trend"):
            (tmp_path / "bad.csv").write_text(
                "counterparty,overdue_share,order_trend,defaulted\nK1,0.1,up,0\n", "utf-8"
            )
            agreement("public-model", tmp_path / "bad.csv", *told, *given)
        office("init", "--name", "商会", "--domain", "localhost", "--url", chamber.url)
        terms = ("--task", "risk", "--schema", tmp_path / "schema.json", "--out", draft)
        with pytest.raises(StepFailed, match="no public model of the table"):
            office("agreement", "draft", *terms, "--public-model", tmp_path / "schema.json")
        with pytest.raises(StepFailed, match="no public model of a task in this agreement"):
            office("agreement", "draft", *terms, "--public-model", tmp_path / "bad.csv")
        office("agreement", "draft", *terms, "--public-model", model)
        office("agreement", "publish", draft, "--yes")
        name = digest(model.read_bytes())
        assert f"public model of task risk (of rows that belong to no member; it costs no budget): {name}" in office(
            "agreement", "show"
        )

        chamber.serve()
        data = tmp_path / "data"
        data.mkdir()
        clients(150, seed=2).write_csv(data / "clients.csv")
        home = chamber.join(1, "甲公司", data)
        with_it = chamber.json("client_node", "score", home=home)
        votes = {vote["whose"]: vote for vote in with_it["votes"]["votes"]}
        forest = public.forest(public.read(model.read_bytes(), CLIENTS), CLIENTS)
        assert votes["public"]["model"] == digest(forest.text.encode())
        said = (
            f"public model {votes['public']['weight']:.0%}"
            if votes["public"]["weight"]
            else "the public one has no vote"
        )  # the member's split is its own
        assert said in chamber.command("client_node", "score", home=home)
        chamber.stop("coordinator")
        assert chamber.json("client_node", "score", home=home)["lines"] == with_it["lines"], "without the coordinator"
        kept = read_documents(chamber.home(home)) / name.removeprefix("sha256:")
        kept.write_bytes(json.dumps(json.loads(kept.read_bytes()) | {"source": "others"}).encode())
        without = chamber.json("client_node", "score", home=home)
        assert not any(vote["whose"] == "public" for vote in without["votes"]["votes"]), "other bytes have no vote"
        assert not chamber.json("client_node", "status", home=home).get("spent")
