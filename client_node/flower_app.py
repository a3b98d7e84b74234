"""The node's side of a round: rows, clipped sum, noise, ledger, signature. The only node file that knows Flower."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context, Message, RecordDict

from client_node.budget import Budget
from client_node.exchange import check_invitation, check_reply
from client_node.guard import Permit
from client_node.rows import OwnRows
from contracts.artefact import of_round
from contracts.envelope import digest, seal
from contracts.errors import Invalid
from contracts.fields import new_id, time_text
from contracts.statements import Contribution, Seen, payload
from contracts.wording import N_
from engine.bundle import bundle_digest
from engine.rounds import client_app, metadata, unpack
from privacy.mechanisms import LatticeGaussian


class NodeSide:
    """See engine.rounds.Side. One permit is in force at a time; without one nothing is computed."""

    def __init__(self, member: str, key: Ed25519PrivateKey, budget: Budget, rows: OwnRows):
        self._member, self._key, self._budget, self._rows = member, key, budget, rows
        self._noise: dict[str, LatticeGaussian] = {}
        self._permit: Permit | None = None
        self._seen: Seen | None = None
        self._app = client_app(self)

    def take_part(self, permit: Permit, seen: Seen, message: bytes) -> tuple[bytes, bytes]:
        """(payload, line) of one round, reserved in the ledger before the noise exists and kept before it returns."""
        check_invitation(permit, message)
        order, opened = permit.run.order, permit.record.opened
        kept = self._budget.reserve(order.plan.spend(permit.run.run, opened.round), permit.caps)
        if kept:
            return kept.payload, kept.line
        self._permit, self._seen = permit, seen
        try:
            reply = self._app(
                Message(unpack(message), metadata=metadata(1, group=str(opened.round), ttl=3600.0)),
                Context(run_id=0, node_id=1, node_config={}, state=RecordDict(), run_config={}),
            )
        finally:
            self._permit = None
        values, line = check_reply(permit, reply.content)
        data = of_round("contribution", permit.run.run, opened.round, values).to_bytes()
        self._budget.publish(permit.run.run, opened.round, data, line)
        return data, line

    def contribute(self, run: str, round: int, open_index: int, model: array[float]) -> tuple[array[int], bytes]:
        """The noised clipped sum for the permitted round, and the signed line over its bytes."""
        permit, seen = self._permit, self._seen
        if (
            permit is None
            or seen is None
            or (run, round, open_index) != (permit.run.run, permit.record.opened.round, permit.record.open_index)
        ):
            raise Invalid(N_("the message is not for the round that was permitted"), code="GUARD")
        order, model_in = permit.run.order, permit.record.opened.model_in
        total = self._rows.sum(order, model, round)
        if run not in self._noise:
            self._noise[run] = LatticeGaussian(order.plan)
        values = self._noise[run].release(total)
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

    def draw_ahead(self, run: str) -> None:
        """Draw the next round's noise while the node waits."""
        if run in self._noise:
            self._noise[run].draw_ahead()
