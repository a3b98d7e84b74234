"""Serving at home: the member's votes on its own rows, with a receipt."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from client_node.budget import Budget
from client_node.mirror import Mirror, document
from client_node.receipts import keep_served
from client_node.rows import schema_of
from client_node.settings import Settings
from client_node.sources import read_table
from client_node.uplink import Uplink
from contracts.artefact import read_artefact
from contracts.envelope import canonical, digest
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.off_log import Receipt
from contracts.receipts import output_commitment
from contracts.rules.state import RunRecord
from contracts.wording import N_
from engine.task import Model, Served, load
from engine.votes import AtHome, Voted, VoteSet


@dataclass(frozen=True, slots=True)
class Result:
    """What is shown, and the receipt file that stands behind it."""

    votes: VoteSet
    lines: list[Served]
    total: Served | None
    receipt: Path


def serve(
    settings: Settings,
    mirror: Mirror,
    budget: Budget,
    uplink: Uplink | None,
    task: str,
    *,
    progress: Callable[[int, int], None] = lambda done, every: None,
) -> Result:
    """Results for the member's file by its votes. Works without the coordinator once the model was fetched, and
    before anything was released from the member's own models and the public start alone."""
    run = mirror.state.released(task)
    agreement, schema_digest = _terms(mirror, run, task)
    schema, loaded = schema_of(settings, uplink, schema_digest), load(task)
    table = read_table(settings.data, schema, key=budget.unit_key(), home=settings.home).with_rows()
    home = AtHome(budget.unit_key(), settings.home / "cache", progress, table.present)
    voted = loaded.vote(_released(settings, uplink, run), table.training, schema, home)
    voted = replace(voted, lines=[replace(line, id=table.names.get(line.id, line.id)) for line in voted.lines])
    _keep(settings.home, voted.votes)
    return Result(
        voted.votes,
        voted.lines,
        voted.total,
        _receipt(settings, mirror, run, agreement, table.present.write_csv().encode(), voted),
    )


def _terms(mirror: Mirror, run: RunRecord | None, task: str) -> tuple[str, str]:
    """(agreement, schema) of the released model, or of the active agreement."""
    if run is not None:
        return run.order.agreement, run.order.schema_digest
    active = mirror.state.active_agreement()
    terms = mirror.state.agreements[active].terms.for_task(task) if active else None
    if active is None or terms is None:
        raise Refused(
            N_("no active agreement covers task {task}"),
            why=N_("it names the table that results are made from"),
            do=N_("client-node status"),
            code="NO_MODEL",
            task=task,
        )
    return active, terms.schema_digest


def _released(settings: Settings, uplink: Uplink | None, run: RunRecord | None) -> Model | None:
    if run is None or run.release is None:
        return None
    values = read_artefact(document(settings, uplink, run.release.model), "model", "d").values
    return Model(run.order.plan.shape, values)


def _keep(home: Path, votes: VoteSet) -> None:
    """One file a task, replaced as a whole: a reader sees the old set or the new one."""
    folder = home / "votes"
    folder.mkdir(exist_ok=True)
    new = folder / f"{votes.task}.json.new"
    new.write_bytes(votes.to_bytes())
    os.replace(new, folder / f"{votes.task}.json")


def _receipt(
    settings: Settings, mirror: Mirror, run: RunRecord | None, agreement: str, data: bytes, voted: Voted
) -> Path:
    """A signed statement that chains served numbers to votes, model, run and agreement; salted, kept on this machine."""
    salt, texts = secrets.token_bytes(16), [canonical_line(line) for line in voted.lines]
    said = Receipt(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=settings.member,
        agreement=agreement,
        order=run.run if run else None,
        model=run.release.model if run and run.release else None,
        votes=voted.votes.digest(),
        seen=mirror.seen(),
        input_commit=digest(hmac.digest(salt, b"input", "sha256") + data),
        output_commit=output_commitment(texts, salt),
    )
    return keep_served(settings, said, texts, salt)


def canonical_line(line: Served) -> str:
    """One result in the one spelling that its receipt commits to; numbers as text, rounded to six places."""
    reasons = [[name, f"{weight:.6f}"] for name, weight in line.reasons]
    outcome = {name: f"{value:.6f}" for name, value in line.outcome.items()}
    return canonical({"id": line.id, "outcome": outcome, "reasons": reasons}).decode("utf-8")
