"""`coordinator order`: what a run costs, gives and is judged by, in words, before it is signed; then how it goes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from contracts.errors import Refused
from contracts.fields import moment
from contracts.wording import N_
from coordinator.commands.console import HOME, Home, Yes, _, office_of, terminal
from shell.commandline import Commands
from shell.terminal import FOUND, OK, epsilon, write_line

LOOK_S = 2.0
OUTCOMES = {"recorded": N_("recorded"), "aborted": N_("ended without a sum")}
SpendAnyway = Annotated[
    bool, typer.Option("--spend-anyway", help=_("also where public or simulated data show that spending gains nothing"))
]
Epsilon = Annotated[str, typer.Option(parser=epsilon, help=_("privacy loss of the whole run"))]
MinMembers = Annotated[int, typer.Option(min=3, help=_("members without whom no round is combined"))]
orders = Commands()


@orders.command(
    help=_("Order a run under the active agreement.\n\nExample: coordinator order risk --epsilon 1 --dry-run")
)
def order(
    task: Annotated[str, typer.Argument(help=_("task of the agreement"))],
    family: Annotated[
        str, typer.Option(help=_("trees, gradients or moments; the task's own by default"), show_default=False)
    ] = "",
    rounds: Annotated[
        int, typer.Option(min=0, max=1000, help=_("rounds; the task's own number by default"), show_default=False)
    ] = 0,
    epsilon: Epsilon = "1",
    untold: Annotated[
        str,
        typer.Option(
            help=_(
                "release or keep: what happens if the members are too few to judge the model; the task's own by default"
            ),
            show_default=False,
        ),
    ] = "",
    min_members: MinMembers = 3,
    deadline: Annotated[int, typer.Option(min=1, help=_("seconds that a round waits for contributions"))] = 120,
    yes: Yes = False,
    spend_anyway: SpendAnyway = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("say what it costs and gives, order nothing"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=_("stay until the model is released"))] = False,
    as_json: Annotated[bool, typer.Option("--json", help=_("machine-readable output, with --dry-run"))] = False,
    home: Home = HOME,
) -> int:
    """Shows the order in words, asks, logs it. Where spending is known to gain nothing --yes is not enough."""
    from coordinator.learning.orders import draft, must_pay, must_reach, sign

    office = office_of(home)
    made = draft(
        office,
        task,
        family=family,
        rounds=rounds,
        epsilon=epsilon,
        untold=untold,
        min_members=min_members,
        deadline_s=deadline,
    )
    facts = _facts(office, made)
    if as_json:
        if not dry_run:
            raise typer.BadParameter(_("--json goes with --dry-run"))
        terminal.json(facts)
        return OK
    _say_order(office, made, facts)
    if dry_run:
        return OK
    if not spend_anyway:
        must_pay(made)
    must_reach(office.log.state(), made, datetime.now(UTC))
    terminal.confirm(N_("Sign and log this order?"), yes)
    run = sign(office, made, datetime.now(UTC))
    terminal.ok(N_("ordered: {run}"), run=run)
    return _follow(office, run) if wait else OK


def _facts(office: Any, made: Any) -> dict[str, object]:
    """What the words of an order say."""
    from coordinator.learning.orders import affordable

    each = affordable(office.log.state(), made, datetime.now(UTC))
    return {
        "task": made.task.name,
        "family": made.family,
        "rounds": made.releases,
        "min_members": made.min_members,
        "epsilon": made.epsilon,
        "delta": "1e-6",
        "unit": made.schema.unit,
        "deadline_s": made.deadline_s,
        "consenting": len(each),
        "able": sum(one >= made.rho_nano for one in each),
        "gate": made.gate and made.gate.model_dump(),
        "evidence": [one.model_dump() for one in made.evidence()],
        "pays": made.pays(),
    }


def _say_order(office: Any, made: Any, facts: dict[str, object]) -> None:
    terminal.say(
        N_(
            "Order: task {task} by {family}, {rounds} rounds, at least {min_members} members, epsilon {epsilon} a "
            "member (delta 1e-6), unit {unit}"
        ),
        **facts,
    )
    terminal.say(N_("Members: {able} of {consenting} that consent allow so much"), **facts)
    _say_judging(office, made)
    _say_worth(made)


def _say_judging(office: Any, made: Any) -> None:
    """How the model will be judged, in words; none where units have no stable names and so no holdout."""
    from contracts.statements.gate import MARGIN
    from coordinator.learning.model_cards import WORDS
    from engine.evaluation import plan_for, units_needed

    if made.gate is None:
        terminal.note(N_("Gate: none, the table has no ids and so no holdout; members compare the model at home"))
        return
    others = 2 if office.log.state().released(made.task.name) else 1
    plan = plan_for(made.task, made.schema, others=others, rho_nano=made.rho_nano, delta="1e-6")
    terminal.say(
        N_(
            "Gate: judged on held-out units, in their own budget of the same size; to tell harm of {margin} loss a unit"
            " {members} members need about {units} of them together; if they are too few, it {untold}"
        ),
        margin=float(MARGIN),
        members=made.min_members,
        units=units_needed(plan, made.min_members),
        untold=_(WORDS[made.gate.untold]),
    )


def _say_worth(made: Any) -> None:
    """What the budget buys, in words: what one member's record risks, and what a run like this gave on public data."""
    terminal.say(
        N_(
            "Price: whoever sees all that a member sends guesses whether one {unit} is in its data right with odds "
            "at most e^{epsilon} times even, except with chance 1e-6; the budget of each member is used up by that "
            "much"
        ),
        unit=made.schema.unit,
        epsilon=made.epsilon,
    )
    known = made.evidence()
    if not known:
        terminal.note(
            N_("no public figures for {task} ship with this version: what it gives is not known"), task=made.task.name
        )
    for one in known:
        after = one.spent.get(made.epsilon)
        terminal.say(
            N_(
                "  {data}, {members} members, {measure} (lower is better): alone {alone}, start {unspent}, this "
                "run {after}"
            ),
            **one.model_dump(exclude={"spent"}),
            after="?" if after is None else after,
        )
    if not made.pays():
        terminal.note(
            N_("on public or simulated data spending did not beat the unspent start: the default is not to order")
        )


def _say_gate(gate: Any) -> None:
    from coordinator.learning.model_cards import WORDS

    decision = _(WORDS[gate.decision])
    for one in gate.compared:
        terminal.say(
            N_("  beside {model}: {difference} loss a unit (noise: {band} either way), {verdict}"),
            model=one.model[:23],
            difference=one.difference,
            band=one.band,
            verdict=_(WORDS[one.verdict]),
        )
    if gate.verdict == "too-few":
        terminal.note(
            N_("gate: the members are too few to tell; as the order said beforehand: {decision}"),
            decision=decision,
        )
    else:
        terminal.say(N_("gate: {verdict}, {decision}"), verdict=_(WORDS[gate.verdict]), decision=decision)


def _follow(office: Any, run: str) -> int:
    """Print rounds as they close, until the model is released."""
    from coordinator.trust.members import names
    from coordinator.trust.reasons import left_out, round_at

    shown, waits = 0, _Waits(office)
    while True:
        record = office.log.state().runs[run]
        waits.say(record)
        ended = [(r.closed, r.closed_at, len(r.opened.members)) for r in record.rounds if r.closed]
        for one, at, asked in ended[shown:]:
            terminal.say(
                N_("  round {n}/{of}: {got} of {asked} members, {outcome}"),
                n=one.round,
                of=record.order.plan.releases,
                got=len(one.contributors),
                asked=asked,
                outcome=_(OUTCOMES[one.outcome]),
            )
            for line in left_out(round_at(office, at), names(office.database), _):
                write_line(f"    {line}")
        shown = len(ended)
        if record.gate and (record.release or record.gate.decision == "keep"):
            _say_gate(record.gate)
        if record.gate and record.gate.decision == "keep":
            terminal.bad(N_("the model is not released; what served before serves on"))
            return FOUND
        if record.release:
            terminal.ok(N_("model released: {model}"), model=record.release.model)
            return OK
        over = record.is_complete() or (
            not record.open_round() and datetime.now(UTC) >= moment(record.order.expires_at)
        )
        if over and not any(one.outcome == "recorded" for one, *_rest in ended):
            raise Refused(
                N_("no round of this run was recorded"),
                why=N_("above stands for each round who was missing and why"),
                do=N_("mend that, and order again"),
                code="NO_ROUND",
            )
        time.sleep(0.2)


class _Waits:
    """Says what a run waits for, once for each thing; Ctrl-C leaves the order as it is."""

    def __init__(self, office: Any):
        self._office, self._looked = office, time.monotonic()
        self._said: tuple[object, ...] | None = None

    def say(self, record: Any) -> None:
        """Looked up every two seconds: of the run, or of the evaluation that judges its model."""
        from coordinator.learning.waiting import of_run
        from coordinator.trust.members import names

        if time.monotonic() < self._looked + LOOK_S:
            return
        self._looked, now = time.monotonic(), datetime.now(UTC)
        runs = self._office.log.state().runs
        one = of_run(self._office, runs.get(record.evaluation, record), names(self._office.database), now)
        if one and one.is_long(now) and one.change() != self._said:
            self._said = one.change()
            terminal.note(one.sentence(_))
