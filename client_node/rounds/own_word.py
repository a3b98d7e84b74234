"""What this member has signed elsewhere: contributions of another ledger, looked up in the lists of their rounds.

A node stops only before a head of its ledger that stands under its own signature. What the office repeats of it in a
round's record is the office's word; the list of contributions that the record names shows whether the member said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from client_node.ledger.ledger import Budget
from client_node.link.mirror import document
from client_node.link.uplink import Uplink
from client_node.rounds.guard import other_ledger
from client_node.settings import Settings
from contracts.errors import Refused, TrustError
from contracts.fields import time_text
from contracts.log.contribution_list import MOST_MEMBERS, read_list
from contracts.rules.state import Repeated, TrustState
from contracts.statements.statements import LedgerHead
from contracts.wording import N_
from shell.log_lines import log_event


class OwnWord:
    """Each doubtful round is looked up once; what its list does not show is an open matter of the office."""

    def __init__(self, settings: Settings, uplink: Uplink, budget: Budget):
        self._settings, self._uplink, self._budget = settings, uplink, budget
        self._told: set[tuple[str, int]] = set()

    def check(self, state: TrustState) -> None:
        """Refused (GUARD, reason ledger) if a list shows this member's signature under what
        this ledger does not know."""
        for said in doubtful(state, self._settings.member, self._budget):
            if (said.order, said.round) in self._told:
                continue
            shown = self._shown(state, said)
            if shown is not None and not self._budget.knows(shown):
                raise other_ledger()
            self._tell(said)

    def _shown(self, state: TrustState, said: Repeated) -> LedgerHead | None:
        member = self._settings.member
        keys = [key.public for key in state.keys.values() if (key.member, key.role) == (member, "node")]
        try:
            listed = read_list(document(self._settings, self._uplink, said.document), MOST_MEMBERS)
            line = listed.signed_by(member, keys)
        except TrustError as error:
            log_event.warning("list of contributions not shown", round=said.round, what=str(error))
            return None
        of_round = line is not None and (line.order, line.round, line.open) == (said.order, said.round, said.open_index)
        return line.ledger if line is not None and of_round else None

    def _tell(self, said: Repeated) -> None:
        """To the member, once while this process lives; the node goes on."""
        self._told.add((said.order, said.round))
        owed = Refused(
            N_("the chamber says of this node's ledger, in round {round}, what this member has not signed"),
            why=N_("the list of contributions that would show it is absent, or shows something else"),
            do=N_("ask the chamber for it, and tell an auditor; the node goes on"),
            code="LEDGER_UNPROVEN",
            round=said.round,
        )
        self._budget.note_refused(time_text(datetime.now(UTC)), owed)
        log_event.warning("ledger unproven", round=said.round, order=said.order)


def doubtful(state: TrustState, member: str, budget: Budget) -> Iterator[Repeated]:
    """What the office says of a member's ledger and the ledger does not know: the head that was repeated last, and
    every round that this ledger has not contributed to."""
    last = state.repeated.get(member)
    if last is not None and not budget.knows(last.ledger):
        yield last
    sent = budget.sent()
    for run in state.runs.values():
        for record in run.rounds:
            closed = record.closed
            if closed is None or closed.list_document is None or member not in closed.contributors:
                continue
            if (run.run, closed.round) not in sent:
                yield Repeated(_NONE, closed.list_document, run.run, closed.round, record.open_index)


_NONE = LedgerHead(head="sha256:" + "0" * 64, rho_total_nano=0)
