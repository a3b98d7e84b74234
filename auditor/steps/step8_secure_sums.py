"""A round's secure sum again, from masked contributions and what was revealed. Opens no single contribution."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from contracts.envelope import from_base64
from contracts.errors import Invalid, TrustError
from contracts.fields import new_id
from contracts.rules.state import Closing, RoundRecord, RunRecord
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.sums import Unmasking, by_member, context, list_of, read_keys, read_survivors, read_unmasking
from contracts.wording import N_
from privacy.secure_sum import Group, PublicKeys, SumError, unmask


def secure_total(
    data: bytes,
    node_keys: Mapping[str, str],
    run: RunRecord,
    record: RoundRecord,
    closed: Closing,
    masked: Mapping[str, array[int]],
) -> array[int]:
    """The exact sum of the contributions under their masks in `masked`, by what the document in `data` reveals.

    Invalid (SECURE_SUM) if keys or survivors are not signed as the protocol demands, if a secret is not the one
    that its member committed to, or if the sum is not over just those whom the log names.
    """
    try:
        held = read_unmasking(data)
        group = Group(context(run.order.agreement, run.run, closed.round), tuple(m for m, _ in record.opened.members))
        keys = _keys(held, node_keys, run, closed)
        _check_survivors(held, node_keys, run, record, closed, tuple(sorted(keys)), group)
        return unmask(group, keys, masked, held.seeds, held.mask_keys)
    except SumError as error:
        raise Invalid(
            N_("what was revealed for round {round} does not lead to a sum"), code="SECURE_SUM", round=closed.round
        ) from error
    except TrustError as error:
        raise Invalid(error.what, code="SECURE_SUM", **error.values) from error  # type: ignore[arg-type]


def _keys(held: Unmasking, node_keys: Mapping[str, str], run: RunRecord, closed: Closing) -> dict[str, PublicKeys]:
    def read(line: bytes) -> SumKeys:
        return read_keys(line, node_keys, agreement=run.order.agreement, order=run.run, round=closed.round)

    return {
        member: PublicKeys(
            from_base64(said.mask), from_base64(said.share), bytes.fromhex(said.seed.removeprefix("sha256:"))
        )
        for member, said in by_member(list(held.keys), read).items()
    }


def _check_survivors(
    held: Unmasking,
    node_keys: Mapping[str, str],
    run: RunRecord,
    record: RoundRecord,
    closed: Closing,
    masked: tuple[str, ...],
    group: Group,
) -> None:
    """Two thirds of those asked, all survivors, signed one list: just those whom the log names as contributors."""
    said = SumSurvivors(
        record_id=new_id(),
        issued_at=record.opened.issued_at,
        member=masked[0] if masked else new_id(),
        order=run.run,
        open=record.open_index,
        round=closed.round,
        cutoff=closed.cutoff,
        masked=masked,
        survivors=closed.contributors,
    )
    expected = list_of(said)
    signed = by_member(list(held.survivors), lambda line: read_survivors(line, node_keys, expected))
    if not set(signed) <= set(closed.contributors) or len(signed) < group.threshold:
        raise Invalid(
            N_("round {round}: {n} survivors signed the list, {least} are needed"),
            round=closed.round,
            n=len(signed),
            least=group.threshold,
        )
