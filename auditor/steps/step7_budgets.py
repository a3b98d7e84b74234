"""Step 7: every member's privacy loss again from the logged plans, in exact fractions, against what was consented."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

from auditor.findings import AuditStep, never_silent
from auditor.steps.epsilon import epsilon
from contracts.promise import promises
from contracts.rules.state import TrustState
from contracts.statements.statements import Scope
from contracts.terms.agreement import PrivacyTerms
from contracts.wording import N_
from privacy.plan import ReleasePlan

ROUNDING = 1e-6  # by which two ways to compute epsilon may differ
_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """What one member lost on one dataset and unit in a calendar year, and the most it ever consented to (nano-rho).

    `cap_nano` is None for a unit that no consent names and no run released by: it was charged as part of a coarser one.
    """

    member: str
    dataset: str
    unit: str
    partition: str
    year: str
    delta: str
    rho_nano: int
    cap_nano: int | None

    def key(self) -> _Key:
        """The name of the account in the fold."""
        return self.member, self.dataset, self.unit, self.partition, self.year

    def is_over(self) -> bool:
        """More was spent than any consent ever allowed."""
        return self.cap_nano is not None and self.rho_nano > self.cap_nano

    def epsilon(self) -> float:
        """The loss as people read it."""
        return curve(self.rho_nano, self.delta)


_FINER = {"member": ("counterparty", "series", "row"), "counterparty": ("row",), "series": ("row",), "row": ()}


@lru_cache(maxsize=1024)
def curve(rho_nano: int, delta: str) -> float:
    """The auditor's own epsilon, for the sentences that say what it means."""
    return epsilon(rho_nano / 1e9, float(delta))


def cost(plan: ReleasePlan) -> int:
    """Nano-rho of one release from the plan's logged fields: sensitivity^2 / (2 sigma^2), rounded up."""
    return ceil(Fraction(plan.sensitivity_steps() ** 2 * 10**9, 2 * plan.sigma_steps**2))


def charged(plan: ReleasePlan) -> dict[str, int]:
    """Unit -> nano-rho of one release. A row more or less turns its counterparty's or series' contribution into another
    one: twice the sensitivity, so four times the cost."""
    own, one = str(plan.unit), cost(plan)
    return {own: one} | {unit: 4 * one for unit in _FINER[own]}


def accounts(state: TrustState) -> list[Account]:
    """All accounts, from the logged plans alone."""
    spent: defaultdict[_Key, int] = defaultdict(int)
    deltas: dict[_Key, str] = {}
    for run in state.runs.values():
        plan, costs = run.order.plan, charged(run.order.plan)
        for record in run.rounds:
            for member in dict(record.opened.members).keys() - record.not_started:
                for unit, one in costs.items():
                    key = (member, plan.dataset, unit, plan.partition, record.opened.issued_at[:4])
                    spent[key] += one
                    deltas[key] = plan.delta
    released = {(run.order.dataset, str(run.order.plan.unit)) for run in state.runs.values()}
    return [
        Account(*key, deltas[key], spent[key], _consented(state, *key[:3], 0 if key[1:3] in released else None))
        for key in sorted(spent)
    ]


def _consented(state: TrustState, member: str, dataset: str, unit: str, otherwise: int | None) -> int | None:
    scopes = [event.consent.scope for event in state.consent_events(member)]
    return max(
        (s.rho_year_max_nano for s in scopes if s and (dataset, unit) in {(d.id, d.unit) for d in s.datasets}),
        default=otherwise,
    )


def check_budgets(state: TrustState) -> AuditStep:
    """Recompute all accounts; a difference, or an account above every consent of its member, is a finding."""
    step = AuditStep(7, N_("privacy budgets recomputed"))
    with never_silent(step):
        _check_words(state, step)
        _check_accounts(state, step)
        _tell_measured(state, step)
    return step


def _check_accounts(state: TrustState, step: AuditStep) -> None:
    held = accounts(state)
    if {a.key(): a.rho_nano for a in held} != {key: rho_nano for key, rho_nano in state.charges.items() if rho_nano}:
        step.add("BUDGET_REPORT", N_("the accounts of the replay and of the recomputation differ"))
    for account in held:
        if account.is_over():
            step.add(
                "OVER_BUDGET",
                N_("{member} spent {spent} nano-rho in {year}, at most {cap} were consented"),
                member=account.member,
                spent=account.rho_nano,
                year=account.year,
                cap=account.cap_nano,
            )
    worst = max(held, key=lambda a: a.rho_nano, default=None)
    if worst:
        step.detail = f"{len({a.member for a in held})}  max ε {worst.epsilon():.3f} (δ {worst.delta})"
        step.promises = promises(state, max(account.year for account in held), curve)


def _check_words(state: TrustState, step: AuditStep) -> None:
    """I19: no limit in rho amounts to more than the epsilon that people read beside it."""
    said: list[tuple[str, int, PrivacyTerms | Scope]] = [
        ("AGREEMENT_TERMS", one.index, one.terms.privacy) for one in state.agreements.values()
    ]
    said += [("SCOPE", e.index, e.consent.scope) for e in state.consent_events() if e.consent.scope]
    for code, index, limits in sorted(said, key=lambda one: one[1]):
        for text, rho_nano in (
            (limits.epsilon_run_max, limits.rho_run_max_nano),
            (limits.epsilon_year_max, limits.rho_year_max_nano),
        ):
            if curve(rho_nano, limits.delta) > float(text) * (1 + ROUNDING):
                step.add(
                    code,
                    N_("entry {index} says epsilon {epsilon}, but allows {rho} nano-rho, which amounts to {amounts}"),
                    index=index,
                    epsilon=text,
                    rho=rho_nano,
                    amounts=f"{curve(rho_nano, limits.delta):.4f}",
                )


def _tell_measured(state: TrustState, step: AuditStep) -> None:
    """What members' nodes say of their own release path: a signed claim, since no auditor was there."""
    members = state.members()
    checks = [state.privacy_checks[member][1] for member in members if member in state.privacy_checks]
    if checks:
        strongest = max(checks, key=lambda check: Decimal(check.epsilon_at_least))
        step.say(
            N_(
                "measured by the nodes themselves: {passed} of {members} conform; epsilon is at least {low} where"
                " {claim} is claimed (a lower bound, not the truth)"
            ),
            passed=sum(not check.faults for check in checks),
            members=len(members),
            low=strongest.epsilon_at_least,
            claim=strongest.epsilon_claimed,
        )
    if len(checks) < len(members):
        step.skip(N_("{n} members' nodes have told no privacy check"), n=len(members) - len(checks))
