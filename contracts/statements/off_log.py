"""Statements that never reach the log: lines of a round's documents, and what stands behind a served result.

The log names the documents of a round by their digests; nothing about predictions leaves a member at all.
"""

from __future__ import annotations

from contracts.fields import Count, Digest, Index, KeyText, MemberId
from contracts.statements.statements import LedgerHead, MemberStatement, Seen


class OffLog(MemberStatement):
    """What a member signs, and no log may hold."""


class Contribution(OffLog):
    """The signed line of one contribution. Never on the log: it stands in the round's off-log list."""

    kind = "contribution"
    order: Digest
    open: Index
    round: Count
    payload: Digest
    model_in: Digest
    bundle: Digest
    seen: Seen
    ledger: LedgerHead

    def subject(self) -> tuple[str, str]:
        return "contribution", self.payload


class SumKeys(OffLog):
    """What a member shows before a secure sum: X25519 keys of its masks and shares, and what binds it to its seed.

    Signed by the node key, for one round of one run under one agreement. Never on the log: see `Round.unmasking`.
    """

    kind = "sum-keys"
    agreement: Digest
    order: Digest
    round: Count
    mask: KeyText
    share: KeyText
    seed: Digest

    def subject(self) -> tuple[str, str]:
        return "order", self.order


class SumSurvivors(OffLog):
    """Whose numbers are in a secure sum: of those in `masked`, who masked for one another, the `survivors`.

    Each of them signs it with its node key, one list a round for ever, before any secret is revealed. Those who
    withdrew below `cutoff` are not survivors. Never on the log: see `Round.unmasking`.
    """

    kind = "sum-survivors"
    order: Digest
    open: Index
    round: Count
    cutoff: Index
    masked: tuple[MemberId, ...]
    survivors: tuple[MemberId, ...]

    def subject(self) -> tuple[str, str]:
        return "order", self.order


class Receipt(OffLog):
    """What stands behind a served result: the votes, and order and model if any was released. Never on the log:
    nothing about predictions leaves a member."""

    kind = "receipt"
    agreement: Digest
    order: Digest | None
    model: Digest | None
    votes: Digest
    seen: Seen
    input_commit: Digest
    output_commit: Digest

    def subject(self) -> tuple[str, str]:
        return "votes", self.votes
