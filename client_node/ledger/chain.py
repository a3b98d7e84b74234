"""What the rows of the ledger say: a fold over a chain of facts, and what may be added to it. No disk here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from contracts.envelope import canonical, digest
from contracts.errors import Invalid, Refused
from contracts.fields import moment
from contracts.statements.requests import MAX_SKEW_S
from contracts.statements.statements import LedgerHead
from contracts.wording import N_
from privacy.spend import PARTITIONS, Spend, charged_to

EMPTY = LedgerHead(head="sha256:" + "0" * 64, rho_total_nano=0)
Account = tuple[str, str, str, str]  # dataset, unit, partition, calendar year


@dataclass(frozen=True, slots=True)
class Caps:
    """What a release must stay within: nano-rho of its run, of each account in `year`, and of train and holdout
    of one unit together. `at` is the present time, RFC 3339."""

    run: int
    account: int
    ceiling: int
    year: str
    at: str


@dataclass(slots=True)
class Book:
    """What the verified rows say."""

    seq: int = 0
    head: LedgerHead = EMPTY
    totals: dict[str, int] = field(default_factory=lambda: {EMPTY.head: 0})  # every head so far -> its total
    accounts: dict[Account, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    reserved: set[tuple[str, int]] = field(default_factory=set)
    published: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    pledges: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    released_by: set[tuple[str, str]] = field(default_factory=set)  # dataset, unit
    latest: str = "2000-01-01T00:00:00Z"
    year: str = ""

    def add(self, seq: int, body: str, head: str) -> None:
        """Take one more row; Invalid unless it follows from the rows before it."""
        if seq != self.seq + 1 or head != row_head(self.head.head, body):
            raise altered(seq)
        row = json.loads(body)
        match row["fact"]:
            case "spend":
                self._spend(row)
            case "published":
                self.published[row["run"], row["round"]] = row["payload"], row["line"]
            case "pledge":
                self.pledges.setdefault((row["run"], row["round"]), {})[row["about"]] = row["said"]
            case "secret":
                self.secrets[row["name"]] = row["digest"]
        total = self.head.rho_total_nano + row.get("rho_nano", 0)
        self.seq, self.head, self.totals[head] = seq, LedgerHead(head=head, rho_total_nano=total), total

    def _spend(self, row: dict[str, Any]) -> None:
        for unit, factor in charged_to(row["unit"]).items():
            account = row["dataset"], str(unit), row["partition"], row["year"]
            self.accounts[account] = self.accounts.get(account, 0) + factor * row["rho_nano"]
        self.runs[row["run"]] = self.runs.get(row["run"], 0) + row["rho_nano"]
        self.released_by.add((row["dataset"], row["unit"]))
        self.reserved.add((row["run"], row["round"]))
        self.latest, self.year = max(self.latest, row["at"]), max(self.year, row["year"])


def burnt(round: int) -> Refused:
    """The answer to a release that was begun and whose bytes are not there."""
    return Refused(
        N_("round {round} was begun before and not finished"),
        why=N_("its budget is spent; fresh noise would be a second look"),
        do=N_("nothing: the node goes on with the next round"),
        code="BURNT",
        round=round,
    )


def check_time(book: Book, caps: Caps) -> None:
    """Refuse a clock that was set back, and a year that is over: both would open budget that is spent."""
    if moment(caps.at) < moment(book.latest) - timedelta(seconds=MAX_SKEW_S) or caps.year < book.year:
        raise Refused(
            N_("the time {at} lies before the last row of the ledger, {latest}"),
            why=N_("a clock that was set back would count this year's spending to another year"),
            do=N_("set the clock (time service), then start the node again"),
            code="GUARD",
            reason="ledger",
            at=caps.at,
            latest=book.latest,
        )


def check_caps(book: Book, spend: Spend, caps: Caps) -> None:
    """Refuse if the run, an account, or train and holdout of one unit together would pass a cap.

    Caps hold for the units by which a dataset is released; a finer unit that it never was released by is charged
    too, but nobody was promised anything about it.
    """
    _check_cap(spend, book.runs.get(spend.run, 0), spend.rho_nano, caps.run)
    for unit, factor in charged_to(spend.unit).items():
        if unit != spend.unit and (spend.dataset, str(unit)) not in book.released_by:
            continue
        held = {p: book.accounts.get((spend.dataset, str(unit), p, caps.year), 0) for p in PARTITIONS}
        _check_cap(spend, held[spend.partition], factor * spend.rho_nano, caps.account)
        _check_cap(spend, sum(held.values()), factor * spend.rho_nano, caps.ceiling)


def _check_cap(spend: Spend, spent: int, cost: int, cap: int) -> None:
    if spent + cost > cap:
        raise Refused(
            N_("the privacy budget does not hold round {round}"),
            why=N_("spent {spent} of {cap} nano-rho"),
            do=N_("wait for the next year, or consent to a larger budget"),
            code="OVER_BUDGET",
            round=spend.round,
            spent=spent,
            cap=cap,
        )


def altered(seq: int) -> Invalid:
    return Invalid(
        N_("row {seq} of the ledger was altered"),
        why=N_("each row carries the digest of the one before it"),
        do=N_("stop the node and keep the file; this member's budget cannot be known: withdraw, ask the auditor"),
        code="LEDGER_ALTERED",
        seq=seq,
    )


def row_head(prev: str, body: str) -> str:
    return digest(canonical([prev, body]))
