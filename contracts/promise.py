"""What is promised about privacy, in four sentences and in one order: status, receipts and pages use these.

Numbers come from the caller (the node by OpenDP's curve, the auditor by its own arithmetic); the words are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.rules.state import Account, TrustState
from contracts.wording import N_
from privacy.spend import seen_by_sum

_UNITS = {
    "row": N_("row"),
    "counterparty": N_("counterparty"),
    "series": N_("product series"),
    "member": N_("member"),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """Of one account in one period. `seen_by_sum` and `honest` are None where no secure sum was in force throughout."""

    dataset: str
    unit: str
    partition: str
    period: str
    delta: str
    epsilon: float
    recognised: float
    seen_by_sum: float | None = None
    honest: int | None = None

    def sentences(self, translate: Callable[[str], str] = str) -> list[str]:
        """If everybody else conspires; if enough are honest; who recognises an insider; what is not protected."""
        told = [
            N_(
                "If everybody else conspires: epsilon {epsilon:.2f} at delta {delta}, for adding or removing one {unit} of "
                "{dataset} ({partition}), over {period}."
            )
        ]
        if self.seen_by_sum is not None:
            told.append(
                N_(
                    "If at least {honest} of the companies in the final sum are honest, this one included: epsilon {seen_by_sum:.2f} "
                    "for whoever sees only the sums."
                )
            )
        told.append(
            N_(
                "Someone who guesses whether one {unit} was used, and is wrong about 1 % of outsiders, recognises at most "
                "{recognised:.1%} of insiders."
            )
        )
        told.append(
            N_("This protects single records, not your company's totals; those are hidden by the secure sum.")
            if self.seen_by_sum is not None
            else N_(
                "This protects single records, not your company's totals; no secure sum was in force, so the coordinator can "
                "estimate those."
            )
        )
        values = {name: getattr(self, name) for name in Promise.__slots__} | {"unit": translate(_UNITS[self.unit])}
        return [translate(text).format_map(values) for text in told]


def sum_view(state: TrustState, account: Account) -> tuple[int, int] | None:
    """(nano-rho for whoever sees only the sums, h) of an account; None unless every round of it was a secure sum.

    h is two thirds of the members in the smallest sum, rounded up: so many must be honest. A round that ended
    without a sum showed none.
    """
    member, dataset, unit, partition, year = account
    rounds: list[tuple[int, list[int]]] = []
    for run in state.runs_in_order():
        plan = run.order.plan
        if (plan.dataset, str(plan.unit), plan.partition) != (dataset, unit, partition):
            continue
        for record in run.rounds:
            if member not in dict(record.opened.members) or record.opened.issued_at[:4] != year:
                continue
            if state.agreements[run.order.agreement].terms.secure_sum != "required":
                return None
            if record.closed and record.closed.contributors:
                survivors = [plan.sigma_steps] * len(record.closed.contributors)
                rounds.append((plan.sensitivity_steps(), survivors))
    if not rounds:
        return None
    honest = min(-(-2 * len(survivors) // 3) for _, survivors in rounds)
    return seen_by_sum([(reach, sorted(survivors)[:honest]) for reach, survivors in rounds]), honest
