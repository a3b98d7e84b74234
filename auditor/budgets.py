"""Step 7: every member's privacy loss again from the logged plans, in exact fractions, against what was consented."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from auditor.epsilon import epsilon
from auditor.findings import Step
from contracts.rules.state import TrustState
from contracts.wording import N_
from privacy.plan import ReleasePlan

_Key = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """What one member lost on one dataset and unit in a calendar year, and the most it ever consented to (nano-rho)."""

    member: str
    dataset: str
    unit: str
    partition: str
    year: str
    delta: str
    rho_nano: int
    cap_nano: int

    def key(self) -> _Key:
        """The name of the account in the fold."""
        return self.member, self.dataset, self.unit, self.partition, self.year

    def epsilon(self) -> float:
        """The loss as people read it."""
        return epsilon(self.rho_nano / 1e9, float(self.delta))


def cost(plan: ReleasePlan) -> int:
    """Nano-rho of one release from the plan's logged fields: sensitivity^2 / (2 sigma^2), rounded up."""
    return ceil(Fraction(plan.sensitivity_steps() ** 2 * 10**9, 2 * plan.sigma_steps**2))


def accounts(state: TrustState) -> list[Account]:
    """All accounts, from the logged plans alone."""
    spent: defaultdict[_Key, int] = defaultdict(int)
    deltas: dict[_Key, str] = {}
    for run in state.runs.values():
        plan, one = run.order.plan, cost(run.order.plan)
        for record in run.rounds:
            for member in dict(record.opened.members).keys() - record.not_started:
                key = (member, plan.dataset, str(plan.unit), plan.partition, record.opened.issued_at[:4])
                spent[key] += one
                deltas[key] = plan.delta
    return [Account(*key, deltas[key], spent[key], _consented(state, *key[:3])) for key in sorted(spent)]


def _consented(state: TrustState, member: str, dataset: str, unit: str) -> int:
    scopes = [event.consent.scope for event in state.consent_events(member)]
    return max(
        (s.rho_year_max_nano for s in scopes if s and (dataset, unit) in {(d.id, d.unit) for d in s.datasets}),
        default=0,
    )


def check_budgets(state: TrustState) -> Step:
    """Recompute all accounts; a difference, or an account above every consent of its member, is a finding."""
    step = Step(7, N_("privacy budgets recomputed"))
    held = accounts(state)
    if {a.key(): a.rho_nano for a in held} != {key: rho_nano for key, rho_nano in state.charges.items() if rho_nano}:
        step.add("BUDGET_REPORT", N_("the accounts of the replay and of the recomputation differ"))
    for account in held:
        if account.rho_nano > account.cap_nano:
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
    _tell_measured(state, step)
    return step


def _tell_measured(state: TrustState, step: Step) -> None:
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
