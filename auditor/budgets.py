"""Step 7: every member's privacy loss again from the logged plans, in exact fractions, against what was consented."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from math import ceil

from auditor.epsilon import epsilon
from auditor.findings import Step
from contracts.rules.state import RunRecord, TrustState
from contracts.wording import N_
from privacy.plan import ReleasePlan

_Account = tuple[str, str, str, str, str]


def cost(plan: ReleasePlan) -> int:
    """Nano-rho of one release from the plan's logged fields: sensitivity^2 / (2 sigma^2), rounded up."""
    return ceil(Fraction(plan.sensitivity_steps() ** 2 * 10**9, 2 * plan.sigma_steps**2))


def check_budgets(state: TrustState) -> Step:
    """Recompute all accounts; a difference, or an account above every consent of its member, is a finding."""
    step = Step(7, N_("privacy budgets recomputed"))
    accounts: defaultdict[_Account, int] = defaultdict(int)
    deltas: dict[_Account, str] = {}
    for run in state.runs.values():
        for record in run.rounds:
            for member in (m for m, _ in record.opened.members if m not in record.not_started):
                account = _account(member, run, record.opened.issued_at[:4])
                accounts[account] += cost(run.order.plan)
                deltas[account] = run.order.plan.delta
    if accounts != {a: rho_nano for a, rho_nano in state.charges.items() if rho_nano}:
        step.add("BUDGET_REPORT", N_("the accounts of the replay and of the recomputation differ"))
    for account, rho_nano in accounts.items():
        cap = _consented(state, account)
        if rho_nano > cap:
            step.add(
                "OVER_BUDGET",
                N_("{member} spent {spent} nano-rho in {year}, at most {cap} were consented"),
                member=account[0],
                spent=rho_nano,
                year=account[4],
                cap=cap,
            )
    worst = max(accounts, key=lambda a: accounts[a], default=None)
    if worst:
        loss = epsilon(accounts[worst] / 1e9, float(deltas[worst]))
        step.detail = f"{len({a[0] for a in accounts})}  max ε {loss:.3f} (δ {deltas[worst]})"
    return step


def _account(member: str, run: RunRecord, year: str) -> _Account:
    plan = run.order.plan
    return member, plan.dataset, str(plan.unit), plan.partition, year


def _consented(state: TrustState, account: _Account) -> int:
    """The widest yearly budget that the member ever consented to for this dataset and unit."""
    member, dataset, unit = account[:3]
    scopes = [event.consent.scope for event in state.consent_events(member)]
    return max(
        (s.rho_year_max_nano for s in scopes if s and (dataset, unit) in {(d.id, d.unit) for d in s.datasets}),
        default=0,
    )
