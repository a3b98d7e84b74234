"""The node's side of a round: rows, clipped sum, noise, ledger, signature. The only node file that knows Flower."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context, RecordDict

from client_node.ledger.ledger import Budget
from client_node.rounds.guard import Permit
from client_node.rounds.masking import Masking, SumRound
from client_node.rounds.messages import check_invitation, check_reply, check_step_reply
from client_node.rounds.training_data import OwnRows
from contracts.envelope import digest, seal
from contracts.errors import Malformed, Refused
from contracts.fields import new_id, time_text
from contracts.rules.state import RunRecord
from contracts.statements.artefact import of_round
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.statements import Seen
from contracts.wording import N_
from engine.bundle import bundle_digest
from engine.rounds import TRAIN, RoundRequest, client_app, invitation, message_of, metadata, unpack
from privacy.mechanisms import LatticeGaussian


class NodeSide:
    """See engine.rounds.Side. One permit is in force at a time; without one nothing is computed."""

    def __init__(self, member: str, key: Ed25519PrivateKey, budget: Budget, rows: OwnRows):
        self._member, self._key, self._budget, self._rows = member, key, budget, rows
        self._noise: dict[str, LatticeGaussian] = {}
        self._permit: Permit | None = None
        self._seen: Seen | None = None
        self._about: SumRound | None = None
        self._masking = Masking(member, key, budget)
        self._app = client_app(self)

    def take_part(
        self, permit: Permit, seen: Seen, message: bytes, *, step: str = TRAIN, about: SumRound | None = None
    ) -> tuple[bytes, bytes]:
        """(payload, line) of one message of a round; `about` is the round as a secure sum, None if none is agreed.

        A contribution is reserved in the ledger before rows are summed and noise is put on them, masked before it is
        stored, and stored before this returns.
        """
        if step != TRAIN:
            try:
                content = invitation(*unpack(message))
            except Malformed as error:
                raise _not_agreed() from error
            return check_step_reply(self._run(permit, seen, content, step, about))
        asked, model = check_invitation(permit, message)
        if about is None and asked.parts:
            raise _not_agreed()
        if about is not None:
            self._masking.take_step(about, step, asked.parts)
        order, opened = permit.run.order, permit.record.opened
        kept = self._budget.reserve(order.plan.spend(permit.run.run, opened.round), permit.caps)
        if kept:
            return kept.payload, kept.line
        values, line = check_reply(permit, self._run(permit, seen, invitation(asked, model), step, about))
        data = of_round("contribution", permit.run.run, opened.round, values).to_bytes()
        self._budget.publish(permit.run.run, opened.round, data, line)
        return data, line

    def _run(self, permit: Permit, seen: Seen, content: RecordDict, step: str, about: SumRound | None) -> RecordDict:
        self._permit, self._seen, self._about = permit, seen, about
        group = str(permit.record.opened.round)
        try:
            return self._app(
                message_of(content, metadata(1, group=group, ttl=3600.0, message_type=step)),
                Context(run_id=0, node_id=1, node_config={}, state=RecordDict(), run_config={}),
            ).content
        finally:
            self._permit = self._seen = self._about = None

    def _permitted(self, asked: RoundRequest) -> tuple[Permit, Seen]:
        permit, seen = self._permit, self._seen
        if (
            permit is None
            or seen is None
            or (asked.run, asked.round, asked.open_index)
            != (permit.run.run, permit.record.opened.round, permit.record.open_index)
        ):
            raise Refused(N_("the message is not for the round that was permitted"), code="GUARD", reason="log")
        return permit, seen

    def take_step(self, step: str, asked: RoundRequest) -> tuple[bytes, bytes]:
        """(line, payload) of one step of a secure sum; see client_node.rounds.masking."""
        self._permitted(asked)
        if self._about is None:
            raise _not_agreed()
        return self._masking.take_step(self._about, step, asked.parts)

    def contribute(self, asked: RoundRequest, model: array[float]) -> tuple[array[int], bytes]:
        """The noised clipped sum for the permitted round, masked if that is agreed, and the signed line over it."""
        permit, seen = self._permitted(asked)
        run, round, open_index = asked.run, asked.round, asked.open_index
        order, model_in = permit.run.order, permit.record.opened.model_in
        total = self._rows.sum(order, model, round)
        values = self._mechanism(permit.run).release(total)
        if self._about is not None:
            values = self._masking.mask(self._about, values)
        said = Contribution(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=self._member,
            order=run,
            open=open_index,
            round=round,
            payload=digest(of_round("contribution", run, round, values).to_bytes()),
            model_in=model_in,
            seen=seen,
            bundle=bundle_digest(),
            ledger=self._budget.head(),
        )
        return values, seal(payload(said), [self._key])

    def draw_ahead(self, run: RunRecord) -> None:
        """Draw the noise of a run's next round while the node waits for it; forget a run that has none left."""
        if run.next_round() <= run.order.plan.releases:
            self._mechanism(run).draw_ahead()
        else:
            self._noise.pop(run.run, None)

    def _mechanism(self, run: RunRecord) -> LatticeGaussian:
        if run.run not in self._noise:
            self._noise.setdefault(run.run, LatticeGaussian(run.order.plan))  # the log's thread may have been first
        return self._noise[run.run]


def _not_agreed() -> Refused:
    return Refused(
        N_("the message does not combine contributions as the agreement says"),
        why=N_("whether a secure sum hides this member's totals is agreed, not chosen round by round"),
        do=N_("nothing was sent; tell the chamber"),
        code="SUM_AGREED",
    )
