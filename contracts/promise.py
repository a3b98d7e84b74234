"""What is promised about privacy, in four sentences and in one order: status, receipts, pages and audits use these.

Epsilon comes from the caller's curve (the node's and the office's by OpenDP, the auditor's by its own arithmetic); the
words are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

from contracts.errors import Invalid
from contracts.log.receipts import EntryAndLine, Logged
from contracts.rules.state import Account, RunRecord, TrustState
from contracts.statements.off_log import Contribution
from contracts.statements.signed import Statement, read_statement
from contracts.statements.statements import AgreementPublished, Consent, Round, RoundOpen, RunOrder, Scope
from contracts.terms.agreement import Terms
from contracts.wording import N_, filled
from privacy.plan import PlanError
from privacy.spend import charged_to, insider_recognition, seen_by_sum

Curve = Callable[[int, str], float]  # (nano-rho, delta) -> epsilon

UNITS = {
    "row": N_("row"),
    "counterparty": N_("counterparty"),
    "series": N_("product series"),
    "member": N_("member"),
}
_PARTITIONS = {"train": N_("in training"), "holdout": N_("held out")}
VOUCHED = N_(
    "Who else is in a round is not shown to members under this agreement; that they are real companies is what "
    "the chamber vouches for."
)
MOST = N_("Of the member that was charged most:")
_EVERYBODY = {
    "year": N_(
        "If everybody else conspires: epsilon {epsilon:.2f} at delta {delta}, for adding or removing one {unit} of "
        "{dataset} ({partition}), over {period}."
    ),
    "run": N_(
        "If everybody else conspires: epsilon {epsilon:.2f} at delta {delta}, for adding or removing one {unit} of "
        "{dataset} ({partition}), by this run alone ({period})."
    ),
    "round": N_(
        "If everybody else conspires: epsilon {epsilon:.2f} at delta {delta}, for adding or removing one {unit} of "
        "{dataset} ({partition}), by this round alone ({period})."
    ),
}
_INSIDERS = N_(
    "Someone who guesses whether one {unit} was used, and is wrong about 1 % of outsiders, recognises at most "
    "{recognised:.1%} of insiders."
)
Totals = Literal[
    "groups", "weighted", "sum"
]  # how an agreement hides the totals of a member; "sum" by nothing more than a sum
_TOTALS = {
    "groups": N_(
        "This protects single records, not your company's totals; those are summed with its whole group or not at "
        "all, and no difference of sums is of fewer companies. A company far larger than the rest of its group still "
        "shows in their sum."
    ),
    "weighted": N_(
        "This protects single records, not your company's totals; your node multiplies them by a secret factor of "
        "its own, so that they can be told to about ± 25 % only, even if everybody else conspires. The price: a "
        "contribution counts 67 % on average."
    ),
    "sum": N_(
        "This protects single records, not your company's totals; a secure sum hides those, but the difference of "
        "two sums, with your company and without it, can show them."
    ),
    "none": N_(
        "This protects single records, not your company's totals; no secure sum was in force, so the coordinator can "
        "estimate those."
    ),
}
_NONE_AGREED = N_(
    "This protects single records, not your company's totals; no secure sum is agreed, so the coordinator can "
    "estimate those."
)
_BESIDE = N_(
    "{dataset} is also released by {beside}. That is not in these numbers: it hides less than one {unit}, and what "
    "it tells of one has no bound."
)


@dataclass(frozen=True, slots=True)
class Promise:
    """Of one account in one period, or of one run or round of it.

    `seen_by_sum` and `honest` are None where no secure sum was in force throughout, 0 where one was and no sum was
    made. `beside` are units by which the dataset was released too, and which do not hide this one. `totals` is the
    weakest way in which an agreement hid those.
    """

    dataset: str
    unit: str
    partition: str
    period: str
    delta: str
    epsilon: float
    recognised: float
    seen_by_sum: float | None = None
    honest: int | None = None
    of: Literal["year", "run", "round"] = "year"
    beside: tuple[str, ...] = ()
    totals: Totals = "sum"

    def sentences(self, translate: Callable[[str], str] = str) -> list[str]:
        """If everybody else conspires; if enough are honest; who recognises an insider; what is not protected; and what
        is not counted, if anything."""
        told = [_EVERYBODY[self.of]]
        if self.honest == 0:
            told.append(N_("Whoever sees only the sums has seen nothing: no sum was made."))
        elif self.honest:
            told.append(
                N_(
                    "If at least {honest} of the companies in the final sum are honest, this one included: epsilon "
                    "{seen_by_sum:.2f} for whoever sees only the sums."
                )
            )
        told += [_INSIDERS, _TOTALS["none" if self.seen_by_sum is None and self.totals == "sum" else self.totals]]
        return _filled(self, told, translate)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a consent lets a year cost one dataset. What whoever sees only sums learns
    depends on who is in them."""

    dataset: str
    unit: str
    delta: str
    epsilon: float
    recognised: float
    secure_sum: Literal["required", "none"]
    beside: tuple[str, ...] = ()
    totals: Totals = "sum"

    def sentences(self, translate: Callable[[str], str] = str) -> list[str]:
        """Those of a `Promise`, of what is yet to come."""
        told = [
            N_(
                "If everybody else conspires: epsilon at most {epsilon:.2f} at delta {delta}, for adding or removing "
                "one {unit} of {dataset} (in training or held out), over a year."
            )
        ]
        if self.secure_sum == "required":
            told.append(
                N_(
                    "How much less it is for whoever sees only the sums depends on the companies in each: the "
                    "receipt of a round says it, and client-node status."
                )
            )
        open_to_all = self.secure_sum == "none" and self.totals == "sum"
        return _filled(self, [*told, _INSIDERS, _NONE_AGREED if open_to_all else _TOTALS[self.totals]], translate)


def _filled(of: Promise | Limit, told: list[str], translate: Callable[[str], str]) -> list[str]:
    values = {name: getattr(of, name) for name in of.__slots__} | {"unit": translate(UNITS[of.unit])}
    values["beside"] = ", ".join(translate(UNITS[unit]) for unit in of.beside)
    told = [*told, _BESIDE] if of.beside else told
    if isinstance(of, Promise):
        values["partition"] = translate(_PARTITIONS.get(of.partition, of.partition))
    return [filled(translate(text), values) for text in told]


def promises(state: TrustState, year: str, curve: Curve, member: str | None = None) -> list[Promise]:
    """Of every account that a calendar year has charged to a member; without one, of whoever was charged most."""
    deltas = {run.order.dataset: run.order.plan.delta for run in state.runs_in_order()}
    most: dict[tuple[str, str, str], tuple[int, Account]] = {}
    for account, rho_nano in state.charges.items():
        who, dataset, unit, partition, period = account
        if rho_nano and period == year and member in (None, who):
            key = dataset, partition, unit
            most[key] = max(most.get(key, (0, account)), (rho_nano, account))
    return [
        replace(
            _promise(account, rho_nano, deltas[account[1]], sum_view(state, account), curve),
            beside=_not_hiding(account[2], _released_by(state, account)),
            totals=_weakest(state, account),
        )
        for _, (rho_nano, account) in sorted(most.items())
    ]


def _released_by(state: TrustState, account: Account) -> set[str]:
    """Units by which a member's dataset was released in the year of an account."""
    return {str(run.order.plan.unit) for run in _asking(state, account)}


def _asking(state: TrustState, account: Account) -> Iterator[RunRecord]:
    """Runs that asked a member for its dataset in the year of an account."""
    member, dataset, _, _, year = account
    for run in state.runs_in_order():
        asked = (r.opened for r in run.rounds if r.opened.issued_at[:4] == year)
        if run.order.dataset == dataset and any(member in dict(opened.members) for opened in asked):
            yield run


def _weakest(state: TrustState, account: Account) -> Totals:
    """How the least hiding of the agreements under which a member's dataset was released in a year hid its totals."""
    ways = {hidden(state.agreements[run.order.agreement].terms) for run in _asking(state, account)}
    return "sum" if "sum" in ways else "weighted" if "weighted" in ways else "groups"


def hidden(terms: Terms) -> Totals:
    """How terms hide the totals of a member."""
    return terms.totals.rule if terms.totals else "sum"


def _not_hiding(unit: str, released_by: Iterable[str]) -> tuple[str, ...]:
    """Those of the units whose releases are not charged to `unit`: finer ones, and others that it does not lie in."""
    return tuple(sorted(one for one in released_by if unit not in charged_to(one)))


def of_run(
    member: str, order: RunOrder, terms: Terms, rounds: Iterable[tuple[RoundOpen, Round | None]], curve: Curve
) -> Promise:
    """What one run cost a member, from the statements alone; a round that it says it did not start counts too.

    Invalid if nothing can be said of its plan: only the log can tell that the rules have let it in.
    """
    plan = order.plan
    try:
        plan.check()
    except PlanError as error:
        raise Invalid(N_("the plan of this run contradicts itself"), code="NOISE") from error
    asked = [(opened, closed) for opened, closed in rounds if member in dict(opened.members)]
    survivors = [len(closed.contributors) for _, closed in asked if closed and closed.contributors]
    view = _seen([(plan.sensitivity_steps(), plan.sigma_steps, n) for n in survivors])
    period = asked[0][0].issued_at[:4] if asked else order.issued_at[:4]
    account = member, order.dataset, str(plan.unit), plan.partition, period
    promise = _promise(
        account, len(asked) * plan.rho_nano(), plan.delta, view if terms.secure_sum == "required" else None, curve
    )
    return replace(promise, of="run", totals=hidden(terms))


def of_receipt(receipt: Logged, said: EntryAndLine, curve: Curve) -> list[Promise] | list[Limit] | None:
    """What a receipt of a consent allows or one of a round cost: `said` is what it says, and the entries that it
    shows `beside` say the rest.

    [] of what costs nothing (a withdrawal, a refusal, a release), None where the receipt does not show what it takes.
    """
    beside = {one.index: read_statement(one.data) for one in receipt.beside}
    agreements = (one.said for one in beside.values() if isinstance(one.said, AgreementPublished))
    terms = {one.terms.digest(): one.terms for one in agreements}
    if isinstance(said.entry, Consent) and said.entry.scope:
        agreed = terms.get(said.entry.agreement)
        return _limits(said.entry.scope, agreed, curve) if agreed else None
    if isinstance(said.entry, Round) and said.line:
        return _of_round(said.entry, said.line, beside, terms, curve)
    return []


def _limits(scope: Scope, terms: Terms, curve: Curve) -> list[Limit]:
    rho_nano, delta = scope.rho_year_max_nano, scope.delta
    told = curve(rho_nano, delta), insider_recognition(rho_nano)
    units = {one.id: {other.unit for other in scope.datasets if other.id == one.id} for one in scope.datasets}
    return [
        Limit(one.id, one.unit, delta, *told, terms.secure_sum, _not_hiding(one.unit, units[one.id]), hidden(terms))
        for one in scope.datasets
    ]


def _of_round(
    said: Round, line: Contribution, beside: dict[int, Statement], terms: dict[str, Terms], curve: Curve
) -> list[Promise] | None:
    order = next((s.said for s in beside.values() if s.digest == said.order and isinstance(s.said, RunOrder)), None)
    opened = beside[said.open].said if said.open in beside else None
    if order is None or order.agreement not in terms or not isinstance(opened, RoundOpen):
        return None
    return [replace(of_run(line.member, order, terms[order.agreement], [(opened, said)], curve), of="round")]


def _promise(account: Account, rho_nano: int, delta: str, view: tuple[int, int] | None, curve: Curve) -> Promise:
    told = insider_recognition(rho_nano)
    seen, honest = (curve(view[0], delta), view[1]) if view else (None, None)
    return Promise(*account[1:], delta, curve(rho_nano, delta), told, seen, honest)


def sum_view(state: TrustState, account: Account) -> tuple[int, int] | None:
    """(nano-rho for whoever sees only the sums, h) of an account; None unless every round of it was a secure sum.

    h is two thirds of the members in the smallest sum, rounded up: so many must be honest. A round that ended
    without a sum showed none; both are 0 if none was made. A release by a coarser unit has twice the reach,
    where it is charged four times.
    """
    member, dataset, unit, partition, year = account
    rounds: list[tuple[int, int, int]] = []
    for run in state.runs_in_order():
        plan = run.order.plan
        factors = {str(finer): factor for finer, factor in charged_to(plan.unit).items()}
        if (plan.dataset, plan.partition) != (dataset, partition) or unit not in factors:
            continue
        for record in run.rounds:
            if member not in dict(record.opened.members) or record.opened.issued_at[:4] != year:
                continue
            if state.agreements[run.order.agreement].terms.secure_sum != "required":
                return None
            if record.closed and record.closed.contributors:
                reach = isqrt(factors[unit]) * plan.sensitivity_steps()
                rounds.append((reach, plan.sigma_steps, len(record.closed.contributors)))
    return _seen(rounds)


def _seen(rounds: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Of each round: reach, sigma of every survivor, how many survived."""
    honest = min((-(-2 * survivors // 3) for _, _, survivors in rounds), default=0)
    return seen_by_sum([(reach, [sigma] * honest) for reach, sigma, _ in rounds]), honest
