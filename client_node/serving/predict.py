"""Serving at home: the member's votes on its own rows, with a receipt."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from client_node.data.member_table import MemberTable, read_table
from client_node.data.scored_rows import frame_of
from client_node.ledger.ledger import Budget
from client_node.link.mirror import Mirror, document
from client_node.link.uplink import Uplink
from client_node.membership.receipts import keep_served
from client_node.rounds.training_data import schema_of
from client_node.settings import Settings
from contracts.envelope import digest
from contracts.errors import Refused, TrustError
from contracts.fields import new_id, time_text
from contracts.log.receipts import output_commitment
from contracts.rules.state import RunRecord
from contracts.statements.artefact import read_artefact
from contracts.statements.off_log import Receipt
from contracts.wording import N_, some_of
from engine.drift import Drift, drift
from engine.ensemble import AtHome, Ensemble, EnsembleResult, ResultLine, Scorer
from engine.table import TableSchema
from engine.task import FromPublic, Model, load

OFFERS = {
    None: N_("No promotions or prices are given beside the sales: what they will change is not foreseen."),
    False: N_(
        "Promotions and prices are given, but the newest sales would have been foreseen better without them: "
        "they are not used."
    ),
    True: N_(
        "Promotions and prices to come are those of the table; where none is named, no promotion and the latest price."
    ),
}  # as engine.ensemble.EnsembleResult says it
RISKIEST = 0.08  # of a member's own rows: those that a person can look after lie above the line


@dataclass(frozen=True, slots=True)
class Result:
    """What is shown, and the receipt file that stands behind it; `ahead`, `note` and `offers` as in
    engine.ensemble.EnsembleResult."""

    votes: Ensemble
    lines: Sequence[ResultLine]
    receipt: Path
    total: ResultLine | None = None
    ahead: tuple[str, ...] = ()
    families: tuple[ResultLine, ...] = ()
    note: str = ""
    offers: bool | None = None

    def all_lines(self) -> list[ResultLine]:
        """The lines, then their totals: what the receipt commits to and files hold."""
        return [*self.lines, *self.families, *([] if self.total is None else [self.total])]

    @property
    def receipt_id(self) -> str:
        """The name of the receipt, as it stands beside each row of a file."""
        return self.receipt.name.removesuffix(".result.json")


@dataclass(frozen=True, slots=True)
class Ready:
    """A task's votes, decided on this member's own rows, and all that a receipt of their numbers names."""

    settings: Settings
    mirror: Mirror
    run: RunRecord | None
    agreement: str
    schema: TableSchema
    table: MemberTable
    voted: EnsembleResult
    left_out: TrustError | None = None  # why the agreement's public model has no vote, where it cannot be used

    def own(self) -> Result:
        """The results of the member's own file."""
        voted = self.voted
        receipt = self._receipt(self.table.present, voted.all_lines())
        return Result(
            voted.votes,
            voted.lines,
            receipt,
            total=voted.total,
            ahead=voted.ahead,
            families=voted.families,
            note=voted.note,
            offers=voted.offers,
        )

    @property
    def panel(self) -> Scorer:
        """What scores rows; Refused if the task serves series."""
        if self.voted.panel is None:
            raise Refused(
                N_("{task} serves the member's own series, not single rows"),
                do=N_("client-node forecast"),
                code="NO_ROWS",
                task=self.schema.task,
            )
        return self.voted.panel

    def frame(self, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        """Rows given by name, checked; Refused if the task serves series."""
        return frame_of(rows, self.panel.schema)

    def score(self, frame: pl.DataFrame) -> Result:
        """Results of other rows of the task's table."""
        lines = self.panel.score(frame)
        return Result(self.voted.votes, lines, self._receipt(frame, lines), note=self.voted.note)

    def drift(self, frame: pl.DataFrame | None = None) -> tuple[Drift, ...]:
        """How rows to be scored (the member's own of today), or its series, differ from those that taught."""
        if self.voted.panel is None:
            return self.voted.drift
        today = self.table.present if frame is None else frame
        return drift(self.table.training, today, self.schema)

    def line(self) -> float:
        """The probability above which lie the riskiest of the member's own rows."""
        chances = sorted(line.outcome["probability"] for line in self.voted.lines)
        return chances[int((1 - RISKIEST) * (len(chances) - 1))] if chances else 1.0

    def foremost(self, lines: Sequence[ResultLine]) -> list[ResultLine]:
        """What is shown first: the largest numbers; of the member's own months, the newest."""
        if self.schema.unit == "member":
            return list(lines)
        return sorted(lines, key=lambda line: -max(line.outcome.values()))

    def row(self, name: str) -> pl.DataFrame:
        """The one row of today's table of that name (or month); Refused if there is none."""
        [column] = [c.name for c in self.schema.of_kind("id") or self.schema.of_kind("period")] or [""]
        own = {name: pseudonym for pseudonym, name in self.table.names.items()}
        found = self.table.present.filter(pl.col(column) == own.get(name, name)) if column else pl.DataFrame()
        if found.is_empty() or name not in {line.id for line in self.voted.lines}:
            raise Refused(
                N_("today's table has no row {name}"),
                why=N_("unknown, faulty, with too few documents, or in default already; there are: {known}"),
                do=N_("name one of these; client-node score and warn list them"),
                code="NO_LINE",
                name=name,
                known=some_of(line.id for line in self.voted.lines),
            )
        return found.head(1)

    def named(self, row: pl.DataFrame) -> pl.DataFrame:
        """The row under its own name again, for the member's eyes."""
        return self.table.named(row)

    def _receipt(self, frame: pl.DataFrame, lines: Sequence[ResultLine]) -> Path:
        return _receipt(self, frame.write_csv().encode(), lines)


def prepare(
    settings: Settings,
    mirror: Mirror,
    budget: Budget,
    uplink: Uplink | None,
    task: str,
    *,
    progress: Callable[[int, int], None] = lambda done, every: None,
) -> Ready:
    """Let the votes on the member's file. Works without the coordinator once the model was fetched, and before
    anything was released from the member's own models and the public start alone."""
    run = mirror.state.released(task)
    agreement, schema_digest = _terms(mirror, run, task)
    schema, loaded = schema_of(settings, uplink, schema_digest), load(task)
    table = read_table(settings.data, schema, key=budget.unit_key(), home=settings.home, tick=progress).with_rows()
    public, left_out = _public(settings, mirror, uplink, schema)
    home = AtHome(budget.unit_key(), settings.home / "cache", progress, table.present, public)
    voted = loaded.vote(_released(settings, uplink, run), table.training, schema, home)
    voted = replace(voted, lines=[replace(line, id=table.names.get(line.id, line.id)) for line in voted.lines])
    _keep(settings.home, voted.votes)
    return Ready(settings, mirror, run, agreement, schema, table, voted, left_out)


def _terms(mirror: Mirror, run: RunRecord | None, task: str) -> tuple[str, str]:
    """(agreement, schema) of the released model, or of the active agreement."""
    if run is not None:
        return run.order.agreement, run.order.schema_digest
    active = mirror.state.active_agreement()
    terms = mirror.state.agreements[active].terms.for_task(task) if active else None
    if active is None or terms is None:
        raise Refused(
            N_("no active agreement covers task {task}"),
            why=N_("it names the table that results are made from; covered are: {known}"),
            do=N_("name one of these, or wait for an agreement that covers it"),
            known=some_of(one.task for one in mirror.state.agreements[active].terms.tasks) if active else "-",
            code="NO_MODEL",
            task=task,
        )
    return active, terms.schema_digest


def _public(
    settings: Settings, mirror: Mirror, uplink: Uplink | None, schema: TableSchema
) -> tuple[bytes | None, TrustError | None]:
    """(the public model that the active agreement names for this very table, what keeps it from being used). A member's
    results do not hang on what the office names: without it they are those of the other votes."""
    active = mirror.state.active_agreement()
    terms = mirror.state.agreements[active].terms.for_task(schema.task) if active else None
    if terms is None or terms.public_model is None or terms.schema_digest != schema.digest():
        return None, None
    task = load(schema.task)
    try:
        data = document(settings, uplink, terms.public_model)
        if isinstance(task, FromPublic):
            task.check_public(data, schema)
            return data, None
    except TrustError as error:
        return None, error
    return None, None


def _released(settings: Settings, uplink: Uplink | None, run: RunRecord | None) -> Model | None:
    if run is None or run.release is None:
        return None
    values = read_artefact(document(settings, uplink, run.release.model), "model", "d").values
    return Model(run.order.plan.shape, values)


def _keep(home: Path, votes: Ensemble) -> None:
    """One file a task, replaced as a whole: a reader sees the old set or the new one."""
    folder = home / "votes"
    folder.mkdir(exist_ok=True)
    new = folder / f"{votes.task}.json.{os.getpid()}.new"
    new.write_bytes(votes.to_bytes())
    os.replace(new, folder / f"{votes.task}.json")


def _receipt(ready: Ready, data: bytes, lines: Sequence[ResultLine]) -> Path:
    """A signed statement that chains served numbers to votes, model, run and agreement;
    salted, kept on this machine."""
    salt, texts, run = secrets.token_bytes(16), [canonical_line(line) for line in lines], ready.run
    said = Receipt(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=ready.settings.member,
        agreement=ready.agreement,
        order=run.run if run else None,
        model=run.release.model if run and run.release else None,
        votes=ready.voted.votes.digest(),
        seen=ready.mirror.seen(),
        input_commit=digest(hmac.digest(salt, b"input", "sha256") + data),
        output_commit=output_commitment(texts, salt),
    )
    return keep_served(ready.settings, said, texts, salt)


def canonical_line(line: ResultLine) -> str:
    """One result in the one spelling that its receipt commits to; numbers as text, rounded to six places. Its level
    stands there where lines have totals.

    The bytes of RFC 8785: where every value is text and every key plain ASCII, the standard library writes them too,
    six times as fast, which is most of what a long file takes.
    """
    reasons = [[name, f"{weight:.6f}"] for name, weight in line.reasons]
    outcome = {name: f"{value:.6f}" for name, value in line.outcome.items()}
    level = {} if line.level == "row" else {"level": line.level}
    return _plain({"id": line.id, "outcome": outcome, "reasons": reasons, **level})


_plain = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
