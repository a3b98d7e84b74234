"""`coordinator rollback`, `models` and `schedule`: what serves, and when it is learned again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import Refused
from contracts.wording import N_, some_of
from coordinator.commands.console import HOME, Home, Json, _, office_of, terminal
from coordinator.commands.order import Epsilon, MinMembers, SpendAnyway, orders
from shell.commandline import Commands
from shell.terminal import OK, write_line

learning = Commands()
schedule = Commands(help=_("Order runs by calendar."))
learning.add_typer(orders)
learning.add_typer(schedule, name="schedule")


@learning.command(
    help=_("Let the model that served before serve again.\n\nExample: coordinator rollback risk --reason harm")
)
def rollback(
    task: Annotated[str, typer.Argument(help=_("task of the agreement"))],
    reason: Annotated[str, typer.Option(help=_("harm, incident or office"))] = "office",
    home: Home = HOME,
) -> int:
    """One logged statement; nodes serve the other model as soon as they read it."""
    from coordinator.learning.evaluation import Evaluation

    office = office_of(home)
    if reason not in ("harm", "incident", "office"):
        raise Refused(N_("--reason is harm, incident or office"), do=N_("coordinator rollback --help"))
    if office.log.state().released(task) is None:
        raise Refused(
            N_("no model for {task} serves now"),
            why=N_("models serve for: {known}"),
            do=N_("name one of these; coordinator models shows all"),
            task=task,
            known=some_of(sorted(office.log.state().released_runs)),
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
) -> int:
    """From the log alone; what was taken back is still listed."""
    from coordinator.learning import model_cards

    office = office_of(home)
    if run:
        text = model_cards.text(model_cards.card(office, run), _)
        if out is None:
            write_line(text)
        else:
            out.write_text(text, encoding="utf-8")
            terminal.ok(N_("card in {path}"), path=out)
        return OK
    held = model_cards.listed(office)
    if as_json:
        terminal.json(held)
        return OK
    for one in held:
        word = model_cards.WORDS.get(one["gate"])
        (terminal.ok if one["serves"] else terminal.say)(
            N_("{task}  run {run}  entry {index}  epsilon {epsilon}  gate: {gate}  serves: {serves}"),
            **one | {"gate": _(word) if word else "-"},
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
    task: Annotated[str, typer.Argument(help=_("task of the agreement"))],
    cron: Annotated[str, typer.Option(help=_("minute hour day month weekday, in China's time"))],
    epsilon: Epsilon = "1",
    min_members: MinMembers = 3,
    spend_anyway: SpendAnyway = False,
    home: Home = HOME,
) -> int:
    """A run that would exceed anyone's budget is ordered smaller or not at all; `coordinator status` says which."""
    from coordinator.learning import schedules

    office = office_of(home)
    first = schedules.put(office, task, cron=cron, epsilon=epsilon, min_members=min_members, spend_anyway=spend_anyway)
    terminal.ok(N_("{task} is ordered next at {first}, while the coordinator serves"), task=task, first=first)
    return OK


@schedule.command("drop", help=_("Order a task by calendar no longer.\n\nExample: coordinator schedule drop risk"))
def drop_schedule(task: Annotated[str, typer.Argument(help=_("task of the agreement"))], home: Home = HOME) -> int:
    """What was ordered goes on."""
    from coordinator.learning import schedules

    schedules.drop(office_of(home), task)
    terminal.ok(N_("{task} is no longer ordered by calendar"), task=task)
    return OK
