"""The member's own word on the shared model: one of three, and only by an explicit command."""

from __future__ import annotations

from datetime import UTC, datetime

from client_node.ledger.ledger import read_ledger
from client_node.link.mirror import Mirror
from client_node.settings import Settings
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.rules.state import RunRecord
from contracts.statements.statements import Comparison, ComparisonVerdict
from contracts.wording import N_
from engine.ensemble import Record

_BAND = 2.0  # standard errors: within them one row more or less could turn the word
WORDS: dict[ComparisonVerdict, str] = {
    "better": N_("with the trust better than alone"),
    "tie": N_("with the trust as good as alone"),
    "worse": N_("with the trust worse than alone"),
}


def verdict(record: Record) -> ComparisonVerdict | None:
    """Of the shared vote on this member's held-out rows; None where there is no shared vote or too little to tell."""
    if record.alone is None or record.shared is None:
        return None
    if abs(record.excess) <= _BAND * record.error:
        return "tie"
    return "better" if record.excess < 0 else "worse"


def declaration(
    settings: Settings, mirror: Mirror, run: RunRecord | None, found: ComparisonVerdict | None
) -> Comparison:
    """The statement for the log; Refused (COMPARISON) where nothing can be said, or it was said already."""
    if run is None or found is None:
        raise Refused(
            N_("there is nothing to declare"),
            why=N_("no shared model serves, or this member's held-out rows are too few to tell"),
            do=N_("look again after the next release"),
            code="COMPARISON",
        )
    if settings.member in dict(run.compared):
        raise Refused(
            N_("this member has declared this model already"),
            why=N_("once a model: each further word would tell more about its rows"),
            do=N_("wait for the next release"),
            code="COMPARISON",
        )
    return Comparison(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=settings.member,
        order=run.run,
        verdict=found,
        seen=mirror.seen(),
        ledger=read_ledger(settings).head(),
    )
