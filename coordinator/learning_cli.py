"""`coordinator order`, `rollback`, `models` and `schedule`: what is learned, what serves, and when it is learned again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import Refused
from contracts.fields import moment, time_text
from contracts.terminal import FOUND, OK
from contracts.wording import N_
from coordinator.console import HOME, Home, Json, Lang, Yes, _, office_of, terminal

learning = typer.Typer(rich_markup_mode=None)
schedule = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_("Order runs by calendar."))
learning.add_typer(schedule, name="schedule")

SILENT_S = 10.0
SpendAnyway = Annotated[
    bool, typer.Option("--spend-anyway", help=_("also where public data show that spending gains nothing"))
]
Epsilon = Annotated[str, typer.Option(help=_("privacy loss of the whole run"))]


@learning.command(
    help=_("Order a run under the active agreement.\n\nExample: coordinator order risk --epsilon 1 --dry-run")
)
def order(
    task: str,
    family: Annotated[str, typer.Option(help=_("trees, gradients or moments; the task's own by default"))] = "",
    rounds: Annotated[int, typer.Option(help=_("rounds; the task's own number by default"))] = 0,
    epsilon: Epsilon = "1",
    untold: Annotated[
        str, typer.Option(help=_("release or keep: what happens if the members are too few to judge the model"))
    ] = "release",
    min_members: int = 3,
    deadline: int = 120,
    yes: Yes = False,
    spend_anyway: SpendAnyway = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("say what it costs and gives, order nothing"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=_("stay until the model is released"))] = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """Shows the order in words, asks, logs it. Where spending is known to gain nothing --yes is not enough."""
    from coordinator import ordering

    office = office_of(home)
    made = ordering.draft(
        office,
        task,
        family=family,
        rounds=rounds,
        epsilon=epsilon,
        untold=untold,
        min_members=min_members,
        deadline_s=deadline,
    )
    _say_order(office, made)
    if dry_run:
        return OK
    if not spend_anyway:
        ordering.must_pay(made)
    ordering.must_reach(office.log.state(), made, datetime.now(UTC))
    if not yes and not typer.confirm(_(N_("Sign and log this order?"))):
        return OK
    run = ordering.sign(office, made, datetime.now(UTC))
    terminal.ok(N_("ordered: {run}"), run=run)
    return _follow(office, run) if wait else OK


def _say_order(office: Any, made: Any) -> None:
    from coordinator.ordering import affordable

    terminal.say(
        N_(
            "Order: task {task} by {family}, {rounds} rounds, at least {least} members, epsilon {epsilon} a member (delta 1e-6), unit {unit}"
        ),
        task=made.task.name,
        family=made.family,
        rounds=made.releases,
        least=made.min_members,
        epsilon=made.epsilon,
        unit=made.schema.unit,
    )
    each = affordable(office.log.state(), made, datetime.now(UTC))
    able = sum(one >= made.rho_nano for one in each)
    terminal.say(N_("Members: {able} of {members} that consent allow so much"), able=able, members=len(each))
    _say_judging(office, made)
    _say_worth(made)


def _say_judging(office: Any, made: Any) -> None:
    """How the model will be judged, in words; none where units have no stable names and so no holdout."""
    from contracts.gate import MARGIN
    from engine.evaluation import plan_for, units_needed

    if made.gate is None:
        terminal.note(N_("Gate: none, the table has no ids and so no holdout; members compare the model at home"))
        return
    others = 2 if office.log.state().released(made.task.name) else 1
    plan = plan_for(made.task, made.schema, others=others, rho_nano=made.rho_nano, delta="1e-6")
    terminal.say(
        N_(
            "Gate: judged on held-out units, in their own budget of the same size; to tell harm of {margin} loss a unit"
            " {members} members need about {units} of them together; if they are too few: {untold}"
        ),
        margin=float(MARGIN),
        members=made.min_members,
        units=units_needed(plan, made.min_members),
        untold=made.gate.untold,
    )


def _say_worth(made: Any) -> None:
    """What the budget buys, in words: what one member's record risks, and what a run like this gave on public data."""
    terminal.say(
        N_(
            "Price: whoever sees all that a member sends guesses whether one {unit} is in its data right with odds at most "
            "e^{epsilon} times even, except with chance 1e-6; the budget of each member is used up by that much"
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
                "  {data}, {members} members, {measure} (lower is better): alone {alone}, start {unspent}, this run {after}"
            ),
            **one.model_dump(exclude={"spent"}),
            after="?" if after is None else after,
        )
    if not made.pays():
        terminal.note(N_("on public data spending did not beat the unspent start: the default is not to order"))


def _say_gate(gate: Any) -> None:
    for one in gate.compared:
        terminal.say(
            N_("  beside {model}: {difference} loss a unit (noise: {band} either way), {verdict}"),
            model=one.model[:23],
            difference=one.difference,
            band=one.band,
            verdict=one.verdict,
        )
    if gate.verdict == "too-few":
        terminal.note(
            N_("gate: the members are too few to tell; as the order said beforehand: {decision}"),
            decision=gate.decision,
        )
    else:
        terminal.say(N_("gate: {verdict}, {decision}"), verdict=gate.verdict, decision=gate.decision)


def _follow(office: Any, run: str) -> int:
    """Print rounds as they close, until the model is released."""
    shown, began, waited = 0, time.monotonic(), False
    while True:
        record = office.log.state().runs[run]
        if not record.rounds and not waited and time.monotonic() > began + SILENT_S:
            waited = True
            _say_waiting(office, record)
        ended = [(r.closed, len(r.opened.members)) for r in record.rounds if r.closed]
        for one, asked in ended[shown:]:
            terminal.say(
                N_("  round {n}/{of}: {got} of {asked} members, {outcome}"),
                n=one.round,
                of=record.order.plan.releases,
                got=len(one.contributors),
                asked=asked,
                outcome=one.outcome,
            )
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
        if over and not any(one.outcome == "recorded" for one, _asked in ended):
            raise Refused(
                N_("no round of this run was recorded"),
                do=N_("coordinator status shows who is missing"),
                code="NO_ROUND",
            )
        time.sleep(0.2)


def _say_waiting(office: Any, record: Any) -> None:
    """Whom the first round waits for."""
    from contracts.rules.budgets import consenting_members
    from coordinator.runs import online

    asked = {member for member, _ in consenting_members(office.log.state(), record, time_text(datetime.now(UTC)))}
    terminal.note(
        N_(
            "waiting: of {members} members that may be asked {here} are online; {least} are needed (Ctrl-C leaves the order)"
        ),
        members=len(asked),
        here=len(asked & online(office.database)),
        least=record.order.min_members,
    )


@learning.command(
    help=_("Let the model that served before serve again.\n\nExample: coordinator rollback risk --reason harm")
)
def rollback(
    task: str,
    reason: Annotated[str, typer.Option(help=_("harm, incident or office"))] = "office",
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """One logged statement; nodes serve the other model as soon as they read it."""
    from coordinator.evaluation import Evaluation

    office = office_of(home)
    if reason not in ("harm", "incident", "office"):
        raise Refused(N_("--reason is harm, incident or office"), do=N_("coordinator rollback --help"))
    if office.log.state().released(task) is None:
        raise Refused(
            N_("no model for {task} serves now"), do=N_("coordinator status shows what was released"), task=task
        )
    back = Evaluation(office.database, office.log, office.settings).roll_back(task, reason)
    if back is None:
        terminal.ok(N_("no shared model of {task} serves any longer; members use their own"), task=task)
    else:
        terminal.ok(N_("the model of run {run} serves again"), run=back)
    return OK


@learning.command(
    help=_(
        "Every released model and which one serves; with a run its card.\n\nExample: coordinator models\n\n"
        "Example: coordinator models sha256:1f… --lang en --out card.md"
    )
)
def models(
    run: Annotated[str, typer.Argument(help=_("run whose card is wanted; its first letters are enough"))] = "",
    out: Annotated[Path | None, typer.Option(help=_("file for the card"))] = None,
    home: Home = HOME,
    as_json: Json = False,
    lang: Lang = "",
) -> int:
    """From the log alone; what was taken back is still listed."""
    from coordinator import cards

    office = office_of(home)
    if run:
        text = cards.text(cards.card(office, run), _)
        if out is None:
            print(text)
        else:
            out.write_text(text, encoding="utf-8")
            terminal.ok(N_("card in {path}"), path=out)
        return OK
    held = cards.listed(office)
    if as_json:
        terminal.json(held)
        return OK
    for one in held:
        (terminal.ok if one["serves"] else terminal.say)(
            N_("{task}  run {run}  entry {index}  epsilon {epsilon}  gate: {gate}  serves: {serves}"), **one
        )
    if not held:
        terminal.note(N_("nothing was released yet. Next: coordinator order TASK"))
    return OK


@schedule.command(
    "set",
    help=_(
        "Order a task again and again, within consents and budgets.\n\n"
        'Example: coordinator schedule set risk --cron "0 2 1 */3 *" --epsilon 1'
    ),
)
def set_schedule(
    task: str,
    cron: Annotated[str, typer.Option(help=_("minute hour day month weekday, in China's time"))],
    epsilon: Epsilon = "1",
    min_members: int = 3,
    spend_anyway: SpendAnyway = False,
    home: Home = HOME,
    lang: Lang = "",
) -> int:
    """A run that would exceed anyone's budget is ordered smaller or not at all; `coordinator status` says which."""
    from coordinator import schedules

    office = office_of(home)
    first = schedules.put(office, task, cron=cron, epsilon=epsilon, min_members=min_members, spend_anyway=spend_anyway)
    terminal.ok(N_("{task} is ordered next at {first}, while the coordinator serves"), task=task, first=first)
    return OK


@schedule.command("drop", help=_("Order a task by calendar no longer.\n\nExample: coordinator schedule drop risk"))
def drop_schedule(task: str, home: Home = HOME, lang: Lang = "") -> int:
    """What was ordered goes on."""
    from coordinator import schedules

    schedules.drop(office_of(home), task)
    terminal.ok(N_("{task} is no longer ordered by calendar"), task=task)
    return OK
