"""The member's side of the secure sum: which secrets it shows, to whom, and what it never says twice.

The coordinator is not believed. Who may be in a sum, and how many must stay, follows from this node's own copy
of the log; everything else is signed by members. The secrets of a round live in memory only: a node that was
killed, or started from a restored backup or a copied disk, has nothing to reveal and drops out of the rounds
that it had begun. What was said is written down before it leaves (`Budget.pledge`) and never said otherwise.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.ledger.ledger import Budget
from contracts.envelope import canonical, digest, from_base64, seal, strict_json, to_base64
from contracts.errors import Malformed, Refused, TrustError, Unavailable
from contracts.fields import new_id, time_text
from contracts.rules.groups import whole
from contracts.rules.state import RoundRecord, RunRecord, TrustState
from contracts.statements.closed_list import parse, payload
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.sums import by_member, context, limit_steps, list_of, read_keys, read_survivors
from contracts.wording import N_
from engine import rounds
from privacy.secure_sum import (
    LEAST,
    SHARE_DIGITS,
    Group,
    PublicKeys,
    Secrets,
    Shares,
    SumError,
    check_keys,
    fits,
    mask,
    new_secrets,
    split,
    unseal,
)
from privacy.secure_sum import seal as seal_shares

_UNFIT = N_("what the members show for this sum does not fit together")


@dataclass(frozen=True, slots=True)
class SumRound:
    """What this node's own copy of the log says about a round: who was asked, with which keys, in which groups if the
    terms group members, and who is gone."""

    agreement: str
    run: str
    round: int
    open_index: int
    node_keys: Mapping[str, str]
    withdrawn: frozenset[str]
    least: int
    limit: int
    size: int
    groups: tuple[tuple[str, ...], ...]

    def group(self) -> Group:
        """Everyone who was asked. Refused if their numbers might not fit the range of the sum."""
        if not fits(len(self.node_keys), self.limit):
            raise _no("SUM_RANGE", N_("the numbers of so many members might not fit the range of the sum"))
        try:
            return Group(context(self.agreement, self.run, self.round), tuple(sorted(self.node_keys)))
        except SumError as error:
            raise _no("SUM_SET", N_("the members of this sum are too few, or this one is not among them")) from error

    def enough(self) -> int:
        """How many must be in the sum: three, the order's minimum, or two thirds of those asked."""
        return max(LEAST, self.least, self.group().threshold)


def sum_round(state: TrustState, ordered: RunRecord, record: RoundRecord) -> SumRound:
    """The round as `state` has it."""
    order, members = ordered.order, [member for member, _ in record.opened.members]
    keys = {member: found[1].public for member in members if (found := state.live_key(member, "node"))}
    last = {member: state.consent(member, order.agreement) for member in members}
    gone = {m for m, event in last.items() if event is None or event.consent.event in ("withdraw", "expire")}
    return SumRound(
        order.agreement,
        ordered.run,
        record.opened.round,
        record.open_index,
        {member: keys.get(member, "") for member in members},
        frozenset(gone),
        order.min_members,
        limit_steps(order.plan),
        state.size,
        record.groups,
    )


@dataclass(slots=True)
class _Held:
    """One round's secrets and what was said with them; forgotten when the node ends."""

    secrets: Secrets | None
    keys_line: bytes
    asked: dict[str, bytes] = field(default_factory=dict)  # step -> what it was asked with
    keys: dict[str, PublicKeys] = field(default_factory=dict)
    shares: dict[str, Shares] = field(default_factory=dict)  # of whom this node holds shares; its own too
    masked: tuple[str, ...] = ()
    said: SumSurvivors | None = None
    replies: dict[str, bytes] = field(default_factory=dict)  # step -> reply, for when it is asked again


class Masking:
    """The secure sums of one node, round by round. Every refusal is a Refused with a code that begins with SUM_,
    or BURNT for a round whose secrets are gone; nothing has left then."""

    def __init__(self, member: str, key: Ed25519PrivateKey, budget: Budget):
        self._member, self._key, self._budget = member, key, budget
        self._rounds: dict[tuple[str, int], _Held] = {}

    def take_step(self, about: SumRound, step: str, parts: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """(line, payload) that answer one message of a sum; of TRAIN only what comes before the contribution."""
        one = parts[0] if len(parts) == 1 else b""
        match step:
            case rounds.KEYS:
                return self.keys(about), b""
            case rounds.SHARES:
                return b"", self.shares(about, list(parts))
            case rounds.TRAIN:
                return b"", self.fix_set(about, one)
            case rounds.SURVIVORS:
                return self.survivors(about, one), b""
        return b"", self.reveal(about, list(parts))

    def keys(self, about: SumRound) -> bytes:
        """This node's signed keys for the round: one set of keys a round, ever."""
        about.group()
        held = self._rounds.get((about.run, about.round))
        if held is None:
            held = self._begin(about)
        return held.keys_line

    def _begin(self, about: SumRound) -> _Held:
        if self._budget.pledged(about.run, about.round):
            raise _burnt(about)
        fresh = new_secrets()
        shown = fresh.public()
        said = SumKeys(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=self._member,
            agreement=about.agreement,
            order=about.run,
            round=about.round,
            mask=to_base64(shown.mask),
            share=to_base64(shown.share),
            seed="sha256:" + shown.seed.hex(),
        )
        line = seal(payload(said), [self._key])
        self._budget.pledge(about.run, about.round, {"keys": digest(line)})
        self._rounds = {name: held for name, held in self._rounds.items() if name[0] != about.run}
        self._rounds[about.run, about.round] = held = _Held(fresh, line)
        return held

    def shares(self, about: SumRound, lines: list[bytes]) -> bytes:
        """This node's secrets in shares, each sealed for one of the members whose signed `lines` these are."""
        held, group = self._held(about), about.group()

        def answer(own: Secrets) -> bytes:
            said = by_member(lines, lambda line: read_keys(line, about.node_keys, **_names(about)))
            held.keys = {member: public_keys(one) for member, one in said.items()}
            for shown in held.keys.values():
                check_keys(shown)
            if len(held.keys) < about.enough() or held.keys.get(self._member) != own.public():
                raise _no("SUM_SET", N_("the members of this sum are too few, or this one is not among them"))
            parts = split(group, own)
            held.shares[self._member] = parts[self._member]
            peers = sorted(held.keys.keys() - {self._member})
            sealed = {p: seal_shares(group, self._member, own, p, held.keys[p], parts[p]) for p in peers}
            return canonical({peer: to_base64(data) for peer, data in sealed.items()})

        return self._once(held, "shares", canonical([digest(line) for line in lines]), answer)

    def fix_set(self, about: SumRound, sealed: bytes) -> bytes:
        """Agree to mask for those whose shares are in `sealed`, and for nobody else in this round, ever."""
        held = self._held(about)

        def answer(own: Secrets) -> bytes:
            carried = _carried(sealed)
            names = tuple(sorted([*carried, self._member]))
            if len(names) < about.enough() or not set(names) <= set(held.keys) or self._member in carried:
                raise _no("SUM_SET", N_("the members of this sum are too few, or not those who shared secrets"))
            self._budget.pledge(about.run, about.round, {"set": digest(canonical(list(names)))})
            for peer, data in carried.items():
                try:
                    held.shares[peer] = unseal(about.group(), self._member, own, peer, held.keys[peer], data)
                except SumError:
                    continue  # this node cannot help to recover that peer; enough others may
            held.masked = names
            return b""

        return self._once(held, "set", sealed, answer)

    def mask(self, about: SumRound, values: array[int]) -> array[int]:
        """`values` under the masks of the fixed set."""
        held = self._held(about)
        if not held.masked or held.secrets is None:
            raise _no("SUM_SET", N_("no set of members is fixed for this sum"))
        keys = {name: held.keys[name] for name in held.masked}
        try:
            return mask(about.group(), self._member, held.secrets, keys, values)
        except SumError as error:
            raise _no("SUM_SET", _UNFIT) from error

    def survivors(self, about: SumRound, proposed: bytes) -> bytes:
        """This node's signature under the list of whose numbers are in the sum: one list a round, ever."""
        held = self._held(about)

        def answer(_own: Secrets) -> bytes:
            said = self._statement(about, proposed)
            self._check_list(about, held, said)
            self._budget.pledge(about.run, about.round, {"survivors": digest(list_of(said))})
            held.said = said
            return seal(payload(said), [self._key])

        return self._once(held, "survivors", proposed, answer)

    def _statement(self, about: SumRound, proposed: bytes) -> SumSurvivors:
        match strict_json(proposed):
            case {"cutoff": int(cutoff), "masked": list(masked), "survivors": list(survivors), **more} if not more:
                pass
            case _:
                raise Malformed(N_("this is not a list of survivors"))
        said = SumSurvivors(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            member=self._member,
            order=about.run,
            open=about.open_index,
            round=about.round,
            cutoff=cutoff,
            masked=tuple(map(str, masked)),
            survivors=tuple(map(str, survivors)),
        )
        parse(payload(said))
        return said

    def _check_list(self, about: SumRound, held: _Held, said: SumSurvivors) -> None:
        if not held.masked or said.masked != held.masked:
            raise _no("SUM_SET", N_("the list of survivors is for another set than this node masked for"))
        if list(said.survivors) != sorted(set(said.survivors)) or not set(said.survivors) <= set(said.masked):
            raise _no("SUM_SURVIVORS", N_("the list of survivors names a member twice, or one who did not mask"))
        if len(said.survivors) < about.enough() or self._member not in said.survivors:
            raise _no("SUM_SURVIVORS", N_("the survivors are too few, or this member is not among them"))
        if not about.open_index < said.cutoff <= about.size:
            raise _no("SUM_SURVIVORS", N_("the cut-off of this sum is not in this node's copy of the log"))
        self._check_members(about, said)

    def _check_members(self, about: SumRound, said: SumSurvivors) -> None:
        """By the newest log: nobody who has withdrawn, and of each group that was asked everyone or nobody."""
        survivors = set(said.survivors)
        if about.withdrawn & survivors:
            raise _no("SUM_SURVIVORS", N_("the list of survivors names a member who has withdrawn"))
        if about.groups and survivors != whole(about.groups, survivors):
            raise _no("SUM_SURVIVORS", N_("the list of survivors names a member without its whole group"))

    def reveal(self, about: SumRound, lines: list[bytes]) -> bytes:
        """Shares of each survivor's seed and of each other's mask key, once enough survivors signed the same list."""
        held = self._held(about)

        def answer(_own: Secrets) -> bytes:
            said = held.said
            if said is None:
                raise _no("SUM_SURVIVORS", N_("this node has signed no list of survivors"))
            expected = list_of(said)
            signed = by_member(lines, lambda line: read_survivors(line, about.node_keys, expected))
            if len(signed.keys() & set(said.survivors)) < about.group().threshold:
                raise _no("SUM_SIGNATURES", N_("too few survivors have signed the list"))
            self._check_members(about, said)
            alive = set(said.survivors)
            kinds = {peer: "seed" if peer in alive else "mask" for peer in said.masked if peer in held.shares}
            self._budget.pledge(about.run, about.round, {f"reveal {peer}": kind for peer, kind in kinds.items()})
            shown = {p: held.shares[p].seed if k == "seed" else held.shares[p].mask for p, k in kinds.items()}
            return canonical({peer: f"{share:0{SHARE_DIGITS}x}" for peer, share in shown.items()})

        told = self._once(held, "reveal", b"", answer)  # whichever signatures it is asked with: the same shares
        held.secrets, held.shares = None, {}
        return told

    def _held(self, about: SumRound) -> _Held:
        held = self._rounds.get((about.run, about.round))
        if held is None:
            raise _burnt(about)
        return held

    def _once(self, held: _Held, step: str, asked: bytes, answer: Callable[[Secrets], bytes]) -> bytes:
        """The same question gets the same bytes; another one at a step that was answered is refused."""
        if step in held.replies:
            if held.asked[step] != asked:
                raise _no("SUM_TWICE", N_("a step of this secure sum is asked again with other words"))
            return held.replies[step]
        if held.secrets is None:
            raise _no("SUM_TWICE", N_("this secure sum is over"))
        try:
            reply = answer(held.secrets)
        except SumError as error:
            raise _no("SUM_SET", _UNFIT) from error
        except (Refused, Unavailable):
            raise
        except TrustError as error:
            raise _no("SUM_SIGNATURES", N_("a part of this sum is not signed by its member for this round")) from error
        held.asked[step], held.replies[step] = asked, reply
        return reply


def public_keys(said: SumKeys) -> PublicKeys:
    """The keys that a statement shows."""
    return PublicKeys(from_base64(said.mask), from_base64(said.share), bytes.fromhex(said.seed.removeprefix("sha256:")))


def _names(about: SumRound) -> dict[str, Any]:
    return {"agreement": about.agreement, "order": about.run, "round": about.round}


def _carried(sealed: bytes) -> dict[str, bytes]:
    """{sender: sealed shares}."""
    carried = strict_json(sealed)
    if not isinstance(carried, dict):
        raise Malformed(N_("these are not shares by sender"))
    return {str(sender): from_base64(str(text)) for sender, text in carried.items()}


def _burnt(about: SumRound) -> Refused:
    return Refused(
        N_("the secrets of round {round} are gone with the process that made them"),
        why=N_("they are kept in memory only, so that a restored backup cannot open what was masked"),
        do=N_("nothing: the node goes on with the next round"),
        code="BURNT",
        round=about.round,
    )


def _no(code: str, what: str) -> Refused:
    return Refused(
        what,
        why=N_("a secure sum hides this member's totals only while every member keeps its rules"),
        do=N_("nothing was sent; tell the chamber, and other members if it goes on"),
        code=code,
    )
