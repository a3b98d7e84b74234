"""Serving at home: the released model on this member's own rows, beside the member's own model, with a receipt."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from client_node.app import schema_of
from client_node.budget import Budget
from client_node.mirror import Mirror, document
from client_node.settings import Settings
from client_node.sources import read_table
from client_node.uplink import Uplink
from contracts.artefact import read_artefact
from contracts.envelope import canonical, digest, seal, to_base64
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.rules.state import RunRecord
from contracts.statements import Receipt, payload
from contracts.wording import N_
from engine.task import Model, Served, load

MIN_UNITS, MIN_POSITIVES = 20, 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Loss on held-out rows at home: mine alone, shared, and which of them is used. None: too little to tell."""

    alone: float | None
    shared: float | None
    used: str
    units: int


@dataclass(frozen=True, slots=True)
class Result:
    """What is shown, and the receipt file that stands behind it."""

    comparison: Comparison
    lines: list[Served]
    receipt: Path


def serve(settings: Settings, mirror: Mirror, budget: Budget, uplink: Uplink | None, task: str) -> Result:
    """Score the member's file. Works without the coordinator once the model was fetched."""
    run = mirror.state.released(task)
    if run is None or run.release is None:
        raise Refused(
            N_("no model for {task} has been released yet"),
            do=N_("wait for a run of the chamber; client-node status"),
            code="NO_MODEL",
            task=task,
        )
    schema, loaded = schema_of(settings, uplink, run.order.schema_digest), load(task)
    values = read_artefact(document(settings, uplink, run.release.model), "model", "d").values
    shared = Model(run.order.plan.shape, values)
    frame = read_table(settings.data, schema)
    train, held = loaded.split(loaded.prepare(frame, schema), budget.unit_key())
    own = loaded.fit_alone(train, schema)
    mine, ours = loaded.evaluate(own, held, schema), loaded.evaluate(shared, held, schema)
    enough = mine["units"] >= MIN_UNITS and mine.get("positives", MIN_POSITIVES) >= MIN_POSITIVES
    better_alone = enough and mine["loss"] < ours["loss"]
    comparison = Comparison(
        mine["loss"] if enough else None,
        ours["loss"] if enough else None,
        "alone" if better_alone else "shared",
        int(mine["units"]),
    )
    lines = loaded.serve(own if better_alone else shared, frame, schema)
    return Result(comparison, lines, _receipt(settings, mirror, run, frame.write_csv().encode(), lines))


def _receipt(settings: Settings, mirror: Mirror, run: RunRecord, data: bytes, lines: list[Served]) -> Path:
    """A signed statement that chains served numbers to model, run and agreement; salted, and kept on this machine."""
    salt = secrets.token_bytes(16)
    assert run.release is not None
    output = json.dumps([asdict(line) for line in lines], ensure_ascii=False).encode()
    said = Receipt(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=settings.member,
        agreement=run.order.agreement,
        order=run.run,
        model=run.release.model,
        seen=mirror.seen(),
        input_commit=digest(salt + data),
        output_commit=digest(salt + output),
    )
    folder = settings.home / "receipts"
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.order.task}-{said.record_id[-12:]}.json"
    path.write_bytes(
        canonical({"statement": to_base64(seal(payload(said), [settings.node_key])), "salt": to_base64(salt)})
    )
    return path
