"""Runs by calendar: at its hour an order is signed within consents and budgets, smaller, or not at all, and why.

The hours are cron lines in the chamber's time zone. An hour that passed while no coordinator ran is made good once at
the next start; of two coordinators on one database only one takes an hour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlmodel import col, select, update

from contracts.errors import Refused, TrustError
from contracts.fields import moment, time_text
from contracts.wording import N_, filled, some_of
from coordinator.learning import orders
from coordinator.office import Office
from coordinator.store.tables import ScheduledRun
from shell.log_lines import log_event

ZONE = "Asia/Shanghai"
# one item of a field: a number, a range, or all of them; every so many of the latter two
_ITEM = re.compile(r"(?:\*|(?P<first>\d{1,2})-(?P<last>\d{1,2}))(?:/(?P<step>\d{1,2}))?|(?P<only>\d{1,2})", re.ASCII)
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # by number the scheduler begins with Monday
Outcome = tuple[str, dict[str, str]]  # a sentence and its values: status says it in the reader's language


def hours(cron: str) -> CronTrigger:
    """The hours of a cron line, read as cron reads it; Refused if it is none, or names both a day and a weekday.

    Weekday 0 or 7 is Sunday. Every weekday is spelled out, because the scheduler counts them from Monday and knows more
    forms than cron: what it would read otherwise would order runs that nobody asked for.
    """
    try:
        minute, hour, day, month, weekday = cron.split()
        for field in (minute, hour, day, month):
            if not all(_ITEM.fullmatch(item) for item in field.split(",")):
                raise ValueError(field)
        asked = {"month": month, "day": day, "day_of_week": _weekdays(weekday), "hour": hour, "minute": minute}
        trigger = CronTrigger(**asked, timezone=ZONE)
    except ValueError as error:
        raise Refused(
            N_("{cron} is not a cron line"),
            why="{error}",
            do=N_('minute hour day month weekday, such as "0 2 1 */3 *": the first of every third month at two'),
            cron=cron,
            error=error,
        ) from error
    if day != "*" and weekday != "*":
        raise Refused(
            N_("{cron} names a day of the month and a weekday"),
            why=N_("cron reads that as either of them, most people as both"),
            do=N_("name one and leave the other *"),
            cron=cron,
        )
    return trigger


def _weekdays(field: str) -> str:
    """A weekday field of cron with every day by its name."""
    if field == "*":
        return field
    days = {number % 7 for item in field.lower().split(",") for number in _weekdays_of(item)}
    return ",".join(_WEEKDAYS[day] for day in sorted(days))


def _weekdays_of(item: str) -> range:
    named = re.sub("|".join(_WEEKDAYS), lambda found: str(_WEEKDAYS.index(found[0])), item)
    found = _ITEM.fullmatch(named)
    if not found:
        raise ValueError(item)
    start = int(found["only"] or found["first"] or 0)
    end = int(found["only"] or found["last"] or 6)
    step = int(found["step"] or 1)
    if not start <= end <= 7 or not step:
        raise ValueError(item)
    return range(start, end + 1, step)


def _due(row: ScheduledRun) -> datetime | None:
    """The first hour after the one that was taken last."""
    due: datetime | None = hours(row.cron).get_next_fire_time(None, moment(row.taken_at) + timedelta(seconds=1))
    return due


def put(office: Office, task: str, *, cron: str, epsilon: str, min_members: int, spend_anyway: bool) -> datetime:
    """Schedule a task, in place of what was scheduled for it; the first hour. An order like it is drafted now, so that
    what cannot be ordered is refused here and not at night."""
    now = datetime.now(UTC)
    first: datetime | None = hours(cron).get_next_fire_time(None, now)
    if first is None:
        raise Refused(N_("{cron} never comes"), do=N_("name a day that there is"), cron=cron)
    made = orders.draft(office, task, epsilon=epsilon, min_members=min_members)
    if not spend_anyway:
        orders.must_pay(made)
    row = ScheduledRun(
        name=task,
        cron=cron,
        epsilon=epsilon,
        min_members=min_members,
        spend_anyway=spend_anyway,
        taken_at=time_text(now),
    )
    with office.database.write() as session:
        session.merge(row)
    return first


def drop(office: Office, task: str) -> None:
    """Schedule a task no longer; Refused if it was not."""
    with office.database.write() as session:
        row = session.get(ScheduledRun, task)
        if row is None:
            known = some_of(session.exec(select(ScheduledRun.name).order_by(col(ScheduledRun.name))).all())
            raise Refused(
                N_("no run of {task} is scheduled"),
                why=N_("scheduled are: {known}"),
                do=N_("coordinator status lists what is"),
                task=task,
                known=known,
            )
        session.delete(row)


def listed(office: Office, translate: Callable[[str], str] = str) -> list[dict[str, object]]:
    """What is scheduled, when it comes next, and what became of the last one, in words."""
    with office.database.read() as session:
        rows = list(session.exec(select(ScheduledRun).order_by(col(ScheduledRun.name))))
    return [
        {
            "task": row.name,
            "cron": row.cron,
            "epsilon": row.epsilon,
            "next": str(hours(row.cron).get_next_fire_time(None, max(datetime.now(UTC), moment(row.taken_at)))),
            "since": row.taken_at,
            "outcome": _said(row.outcome, translate),
            "run": row.run,
        }
        for row in rows
    ]


def take(office: Office, task: str, now: datetime) -> str | None:
    """Take the hour that has come for a task and do what it asks; the outcome, or None if no hour has come or another
    coordinator took it."""
    with office.database.read() as session:
        row = session.get(ScheduledRun, task)
    if row is None:
        return None
    due = _due(row)
    if due is None or due > now or not _is_mine(office, row, now):
        return None
    told, run = _order(office, row, now)
    outcome = json.dumps(told, ensure_ascii=False)
    log_event.info("scheduled run", task=task, outcome=told[0], run=run)
    with office.database.write() as session:
        session.exec(update(ScheduledRun).where(col(ScheduledRun.name) == task).values(outcome=outcome, run=run))
    return _said(outcome, str)


def _said(outcome: str, translate: Callable[[str], str]) -> str:
    """The stored outcome in words; nothing before the first hour."""
    if not outcome:
        return ""
    sentence, values = json.loads(outcome)
    return filled(translate(sentence), values)


def _is_mine(office: Office, row: ScheduledRun, now: datetime) -> bool:
    """Compare and swap: whoever moves the mark has the hour."""
    claim = update(ScheduledRun).where(col(ScheduledRun.name) == row.name, col(ScheduledRun.taken_at) == row.taken_at)
    with office.database.write() as session:
        return bool(session.exec(claim.values(taken_at=time_text(now))).rowcount)


def _order(office: Office, row: ScheduledRun, now: datetime) -> tuple[Outcome, str]:
    """(outcome, run or nothing)."""
    try:
        made = orders.draft(office, row.name, epsilon=row.epsilon, min_members=row.min_members)
        fits = orders.within_budgets(office.log.state(), made, now)
        if not row.spend_anyway:
            orders.must_pay(fits)
        run = orders.sign(office, fits, now)
    except TrustError as error:
        return (error.what, {name: str(value) for name, value in error.values.items()}), ""
    except Exception as failure:
        log_event.exception("scheduled run", task=row.name)
        return (N_("not ordered, this failed: {kind}"), {"kind": type(failure).__name__}), ""
    if fits is made:
        return (N_("ordered"), {}), run
    smaller = {"fits": fits.epsilon, "wanted": made.epsilon}
    return (N_("ordered smaller, epsilon {fits} of {wanted}: a member has no more left this year"), smaller), run


class Calendar:
    """Waits for the hours of all scheduled runs, until `stop`."""

    def __init__(self, office: Office):
        self._office = office
        self._waiting = BackgroundScheduler(timezone=ZONE)

    def start(self) -> None:
        """Begin to wait."""
        self._waiting.start()
        self.read()

    def read(self) -> None:
        """Follow what is scheduled now; called whenever the database has changed."""
        with self._office.database.read() as session:
            rows = {row.name: row for row in session.exec(select(ScheduledRun))}
        for job in self._waiting.get_jobs():
            if job.id not in rows:
                job.remove()
        for name, row in rows.items():
            held = self._waiting.get_job(name)
            due = _due(row)
            if held is None or held.next_run_time != due:
                self._waiting.add_job(
                    self._take,
                    hours(row.cron),
                    args=(name,),
                    id=name,
                    replace_existing=True,
                    coalesce=True,
                    misfire_grace_time=None,
                    next_run_time=due,
                )

    def _take(self, task: str) -> None:
        take(self._office, task, datetime.now(UTC))

    def stop(self) -> None:
        """End; an order that is being signed is finished first."""
        self._waiting.shutdown()
