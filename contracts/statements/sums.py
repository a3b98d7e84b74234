"""What a secure sum says in signed bytes: keys, survivors, and the document from which it can be done again.

The arithmetic is `privacy/secure_sum.py`; who may say what, and when, is `client_node/rounds/masking.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from contracts.envelope import canonical, from_base64, load_public, strict_json, to_base64
from contracts.errors import Invalid, Malformed
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.signed import read_statement
from contracts.wording import N_
from privacy.plan import ReleasePlan

Said = TypeVar("Said", SumKeys, SumSurvivors)


def context(agreement: str, order: str, round: int) -> bytes:
    """What every key of a sum is bound to."""
    return canonical([agreement, order, round])


def limit_steps(plan: ReleasePlan) -> int:
    """No number of one contribution passes this: every unit's share of it, and twenty standard deviations of noise."""
    return plan.max_units * plan.sensitivity_steps() + 20 * plan.sigma_steps


def read_keys(line: bytes, node_keys: Mapping[str, str], *, agreement: str, order: str, round: int) -> SumKeys:
    """Keys that a member of `node_keys` (member -> public key) signed for just this round; Invalid otherwise."""
    said = signed_part(line, SumKeys, node_keys)
    if (said.agreement, said.order, said.round) != (agreement, order, round):
        raise Invalid(N_("the keys of {member} were made for another round"), code="UPDATE_REPLAY", member=said.member)
    return said


def read_survivors(line: bytes, node_keys: Mapping[str, str], expected: bytes) -> SumSurvivors:
    """A signature of a member of `node_keys` under just the `expected` list, as `list_of`
    gives it; Invalid otherwise."""
    said = signed_part(line, SumSurvivors, node_keys)
    if list_of(said) != expected:
        raise Invalid(N_("{member} signed another list of survivors"), code="SUM_SURVIVORS", member=said.member)
    return said


def list_of(said: SumSurvivors) -> bytes:
    """What all signers of one list have in common."""
    return canonical(said.model_dump(mode="json", exclude={"record_id", "issued_at", "member"}))


def signed_part(line: bytes, kind: type[Said], node_keys: Mapping[str, str]) -> Said:
    """What a member of `node_keys` signed, of this kind; Invalid or Malformed otherwise."""
    statement = read_statement(line)
    said = statement.of(kind)
    if said.member not in node_keys or not statement.envelope.holds_for(load_public(node_keys[said.member])):
        raise Invalid(N_("a part of the secure sum is not signed by its member"), code="UPDATE_SIGNATURE")
    return said


def by_member(lines: list[bytes], read: Callable[[bytes], Said]) -> dict[str, Said]:
    """Statements by member; Invalid if one member speaks twice."""
    said = [read(line) for line in lines]
    if len({one.member for one in said}) != len(said):
        raise Invalid(N_("a member speaks twice in one secure sum"), code="UPDATE_REPLAY")
    return {one.member: one for one in said}


@dataclass(frozen=True, slots=True)
class Unmasking:
    """With the masked contributions this gives the sum again: signed keys of the masking set, signatures under the
    list of survivors, the seed of each survivor and the private mask key of each of the others, 32 bytes each.

    It opens no single contribution: pairwise masks of survivors, and self-masks of the others, stay closed.
    """

    keys: tuple[bytes, ...]
    survivors: tuple[bytes, ...]
    seeds: Mapping[str, bytes]
    mask_keys: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical(
            {
                "keys": [to_base64(line) for line in self.keys],
                "survivors": [to_base64(line) for line in self.survivors],
                "seeds": _coded(self.seeds),
                "mask_keys": _coded(self.mask_keys),
            }
        )


def _coded(secrets: Mapping[str, bytes]) -> dict[str, str]:
    return {member: to_base64(secret) for member, secret in secrets.items()}


def read_unmasking(data: bytes) -> Unmasking:
    """The document of `to_bytes`; Malformed otherwise."""
    match strict_json(data):
        case {
            "keys": list(keys),
            "survivors": list(survivors),
            "seeds": dict(seeds),
            "mask_keys": dict(mask_keys),
            **more,
        } if not more:
            return Unmasking(
                tuple(from_base64(str(line)) for line in keys),
                tuple(from_base64(str(line)) for line in survivors),
                {member: from_base64(str(text)) for member, text in seeds.items()},
                {member: from_base64(str(text)) for member, text in mask_keys.items()},
            )
    raise Malformed(N_("this document does not say how a secure sum was unmasked"))
