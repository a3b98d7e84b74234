"""An order: what it will be in full, what it buys, whether every member's budget holds it; then its signature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.envelope import digest, seal
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.rules.budgets import left_of_year
from contracts.rules.groups import rule_of, standing
from contracts.rules.state import Asked, TrustState, is_live
from contracts.statements.artefact import model
from contracts.statements.closed_list import payload
from contracts.statements.statements import GateTerms, RunOrder
from contracts.terms.agreement import Terms
from contracts.wording import N_, some_of
from coordinator.office import Office
from coordinator.store.documents import document_of
from engine.bundle import bundle_digest
from engine.evidence import TaskEvidence, evidence, nearest
from engine.table import TableSchema, read_schema
from engine.task import load, plan_for
from privacy.accounting import epsilon, rho_cap
from privacy.plan import PlanError, ReleasePlan

DELTA = "1e-6"
LEAST_SHARE = 4  # a run of less than a quarter of the wanted budget is not worth the members' time


@dataclass(frozen=True, slots=True)
class Draft:
    """An order before it is signed. `epsilon` is what `rho_nano`, the cost of the whole run, amounts to at delta."""

    agreement: str
    task: Any
    schema: TableSchema
    family: str
    releases: int
    rho_nano: int
    epsilon: str
    min_members: int
    deadline_s: int = 120
    gate: GateTerms | None = None

    def evidence(self) -> tuple[TaskEvidence, ...]:
        """What runs like it gave on public data."""
        return evidence(self.task.name)

    def pays(self) -> bool:
        """False where all public data show that spending does not beat the unspent start, among the members
        that the order waits for at least; True where one set does not. Where a whole member is the unit, one
        set has to show that it does."""
        known = nearest(self.evidence(), self.min_members)
        told = [one.pays(self.epsilon) for one in known]
        return not known or True in told or (None in told and self.schema.unit != "member")


def draft(
    office: Office,
    task: str,
    *,
    epsilon: str,
    min_members: int,
    family: str = "",
    rounds: int = 0,
    deadline_s: int = 120,
    untold: str = "",
) -> Draft:
    """An order under the active agreement, with the task's own settings where none are given."""
    state, loaded = office.log.state(), load(task)
    active = state.active_agreement()
    agreed = state.agreements[active].terms if active else None
    terms = agreed.for_task(task) if agreed else None
    if active is None or agreed is None or terms is None:
        raise Refused(
            N_("no active agreement covers task {task}"),
            why=N_("the active agreement covers: {known}") if agreed else N_("no agreement is active"),
            do=N_("coordinator agreement draft --task {task} --out FILE, then publish it"),
            task=task,
            known=some_of(one.task for one in agreed.tasks) if agreed else "-",
        )
    schema = read_schema(document_of(office.database, terms.schema_digest))
    family, rho_nano = family or loaded.families[0], rho_cap(epsilon, DELTA)
    _check_family(loaded, family)
    gate = _gate(loaded, schema, agreed, rho_nano, untold or loaded.untold)
    releases = rounds or loaded.design(schema, family, rho_nano).releases
    waits = min(deadline_s, agreed.rounds.deadline_max_s)
    made = Draft(active, loaded, schema, family, releases, rho_nano, epsilon, min_members, waits, gate)
    _planned(made, agreed)
    return made


def _check_family(task: Any, family: str) -> None:
    if family not in task.families:
        raise Refused(
            N_("task {task} is not learned by {family}"),
            why=N_("it is learned by {families}"),
            do=N_("coordinator order {task} --family {first}"),
            task=task.name,
            family=family,
            families=", ".join(task.families),
            first=task.families[0],
        )


def _gate(task: Any, schema: TableSchema, agreed: Terms, rho_nano: int, untold: str) -> GateTerms | None:
    """What judges the model before it is released; None for a table whose units cannot be held out."""
    if untold not in ("release", "keep"):
        raise Refused(N_("--untold is release or keep"), do=N_("coordinator order --help"))
    if schema.of_kind("id"):
        return GateTerms(rho_nano=rho_nano, untold=untold)  # type: ignore[arg-type]
    if agreed.gate == "required":
        raise Refused(
            N_("the agreement demands a gate, and the table of {task} has no ids to hold units out by"),
            do=N_("publish an agreement whose gate is null, or leave the task out"),
            code="GATE",
            task=task.name,
        )
    return None


def _planned(made: Draft, terms: Terms) -> ReleasePlan:
    """The plan of an order; Refused (PLAN) where none has so many rounds on so small a budget."""
    try:
        return plan_for(
            made.task,
            made.schema,
            family=made.family,
            releases=made.releases,
            rho_nano=made.rho_nano,
            delta=terms.privacy.delta,
            members=made.min_members,
        )
    except PlanError as error:
        raise Refused(
            N_("no run of {task} can be planned so"),
            why=N_("{error}"),
            do=N_("order fewer rounds, or a larger epsilon"),
            code="PLAN",
            task=made.task.name,
            error=error,
        ) from error


def sign(office: Office, made: Draft, now: datetime) -> str:
    """Log the order; the run's name."""
    terms = office.log.state().agreements[made.agreement].terms
    statement = RunOrder(
        record_id=new_id(),
        issued_at=time_text(now),
        agreement=made.agreement,
        task=made.task.name,
        dataset=made.schema.dataset,
        schema_digest=made.schema.digest(),
        bundle=bundle_digest(),
        model_start=digest(model(made.task.name, made.task.start(made.schema, made.family)).to_bytes()),
        plan=_planned(made, terms),
        min_members=made.min_members,
        window_s=terms.rounds.window_max_s,
        deadline_s=made.deadline_s,
        expires_at=min(time_text(now + timedelta(seconds=terms.rounds.window_max_s)), terms.valid_to),
        gate=made.gate,
    )
    entry = seal(payload(statement), [office.settings.office_key])
    office.log.append(entry)
    return digest(entry)


def must_pay(made: Draft) -> None:
    """Raise Refused (NOT_WORTH) where public data show that the unspent start is as good."""
    if not made.pays():
        raise Refused(
            N_("the run is not ordered: on public or simulated data spending did not beat the unspent start"),
            why=N_("the members' budgets would be used up for nothing that is known"),
            do=N_("leave it, or say --spend-anyway"),
            code="NOT_WORTH",
        )


def affordable(state: TrustState, made: Draft, now: datetime) -> list[int]:
    """For each member that can be asked: the nano-rho that it has left for the run and for its gate, each in its own
    account; in a group, what all of its members have left."""
    left = _left(state, made, now)
    if rule_of(state, made.agreement) is None:
        return list(left.values())
    groups = standing(state, made.agreement, made.schema.dataset, time_text(now))
    whole = [group for group in groups if left.keys() >= set(group)]
    return [min(left[member] for member in group) for group in whole for _ in group]


def _left(state: TrustState, made: Draft, now: datetime) -> dict[str, int]:
    """Of each member with a live consent to the task, signed in this year; 0 where it was
    asked as often as it allows."""
    at, left = time_text(now), dict[str, int]()
    parts = ("train", "holdout") if made.gate else ("train",)
    for member in state.members():
        event = state.consent(member, made.agreement)
        scope = event.consent.scope if event else None
        if event is None or scope is None or not is_live(event, at) or event.consent.issued_at[:4] < at[:4]:
            continue
        if made.task.name in scope.tasks:
            year = min(
                left_of_year(
                    state,
                    member,
                    scope,
                    dataset=made.schema.dataset,
                    unit=made.schema.unit,
                    partition=part,
                    year=at[:4],
                    below=state.size,
                )
                for part in parts
            )
            asked = state.asked.get((member, made.schema.dataset, at[:4]), Asked())
            may_ask = asked.orders < scope.orders_max and asked.aborted < scope.aborted_max
            left[member] = min(scope.rho_run_max_nano, year) if may_ask else 0
    return left


def must_reach(state: TrustState, made: Draft, now: datetime) -> None:
    """Raise Refused (OVER_BUDGET, TOO_FEW) where fewer members than the order needs consent to so much: it would wait
    for them in vain."""
    each = _enough(state, made, now)
    able, most = sum(one >= made.rho_nano for one in each), sorted(each)[-made.min_members]
    if able < made.min_members:
        raise Refused(
            N_(
                "the run is not ordered: {able} of {members} consenting members allow epsilon {epsilon}, {least} "
                "are needed"
            ),
            why=N_("what is left within their consents this year allows {least} of them {most}"),
            do=N_("order so much, or ask members to allow more: client-node consent sign"),
            code="OVER_BUDGET",
            able=able,
            members=len(each),
            epsilon=made.epsilon,
            least=made.min_members,
            most=_in_words(most),
        )


def within_budgets(state: TrustState, made: Draft, now: datetime) -> Draft:
    """The order, or a smaller one that every member's budget holds; Refused (OVER_BUDGET, TOO_FEW) says why not."""
    each = _enough(state, made, now)
    left = min(each)
    if left >= made.rho_nano:
        return made
    if LEAST_SHARE * left < made.rho_nano:
        raise Refused(
            N_("the run is not ordered: {short} of {members} members have less than a quarter of it left this year"),
            do=N_("wait for the next year, or order less"),
            code="OVER_BUDGET",
            short=sum(LEAST_SHARE * one < made.rho_nano for one in each),
            members=len(each),
        )
    gate = made.gate and made.gate.model_copy(update={"rho_nano": left})
    return replace(made, rho_nano=left, epsilon=_in_words(left), gate=gate)


def _enough(state: TrustState, made: Draft, now: datetime) -> list[int]:
    each = affordable(state, made, now)
    if not each and (rule := rule_of(state, made.agreement)):
        raise Refused(
            N_("the run is not ordered: no group of members can be asked as a whole"),
            why=N_("this agreement opens sums of whole groups only, of at least {size} members"),
            do=N_("wait until enough members have joined, or until all of a group consent for this year"),
            code="TOO_FEW",
            size=rule.size,
        )
    if len(each) < made.min_members:
        replaced = sum(state.replaced_consent(member, made.agreement) is not None for member in state.members())
        raise Refused(
            N_("the run is not ordered: {members} members consent, {least} are needed"),
            why=N_("{replaced} consented to an earlier version, which this one has replaced") if replaced else "",
            do=N_("ask members to consent: client-node consent sign"),
            code="TOO_FEW",
            members=len(each),
            least=made.min_members,
            replaced=replaced,
        )
    return each


def _in_words(rho_nano: int) -> str:
    """Epsilon at delta, to three places and never above."""
    near = Decimal(epsilon(rho_nano, DELTA)).quantize(Decimal("0.001"))
    return str(near if rho_cap(str(near), DELTA) <= rho_nano else near - Decimal("0.001"))
