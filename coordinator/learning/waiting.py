"""What a run that has not ended waits for, since when, and what to do: asked by every view of the
office, told in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from contracts.fields import moment, time_text
from contracts.log.checkpoint import witness_name
from contracts.rules.budgets import consenting_members
from contracts.rules.state import RoundRecord, RunRecord, TrustState
from contracts.rules.times import closes_by
from contracts.wording import N_, filled
from coordinator.learning import schedules
from coordinator.learning.runs import may_be_asked, online
from coordinator.store.tables import TaskMessage
from engine.rounds import KEYS, SHARES, SURVIVORS, TRAIN, UNMASK

if TYPE_CHECKING:
    from coordinator.office import Office

SILENT_S = 10.0  # so long it is how rounds go
Translate = Callable[[str], str]
Told = tuple[str, str, str, dict[str, Any]]  # reason, what, do, values
Names = Mapping[str, str]  # member id -> company name
STEPS = {
    KEYS: N_("keys of the secure sum"),
    SHARES: N_("shares of the secure sum"),
    TRAIN: N_("contributions"),
    SURVIVORS: N_("signatures under the list of who is in the sum"),
    UNMASK: N_("shares that unmask the sum"),
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """One run, one reason. `what` completes "waits for ..."; a value may be a function of the translation."""

    task: str
    run: str  # "" where it is not ordered yet
    index: int | None  # entry of its order
    reason: str
    since: str
    what: str
    do: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def parts(self, translate: Translate = str) -> tuple[str, str]:
        """(what it waits for, what to do) in the reader's language."""
        given = {name: value(translate) if callable(value) else value for name, value in self.values.items()}
        return filled(translate(self.what), given), filled(translate(self.do), given)

    def sentence(self, translate: Translate = str) -> str:
        """All of it."""
        what, do = self.parts(translate)
        told = {"task": translate(self.task), "what": what, "since": self.since, "do": do}
        return filled(translate(N_("{task} waits for {what}, since {since}; {do}")), told)

    def change(self) -> tuple[object, ...]:
        """Differs when another thing is waited for, not with each member that comes or goes."""
        return self.run or self.task, self.reason, self.values.get("round")

    def is_long(self, now: datetime) -> bool:
        """Longer than rounds take to go on by themselves."""
        return (now - moment(self.since)).total_seconds() > SILENT_S

    def as_dict(self, translate: Translate = str) -> dict[str, Any]:
        """For programs and pages."""
        what, do = self.parts(translate)
        told = {"task": self.task, "run": self.run, "index": self.index, "reason": self.reason, "since": self.since}
        return told | {"what": what, "do": do, "sentence": self.sentence(translate)}


def waits(office: Office, called: Names, now: datetime | None = None) -> list[Waiting]:
    """Every run that waits, in order, then what is ordered by calendar. `called` gives the members' names."""
    now = now or datetime.now(UTC)
    found = (of_run(office, run, called, now) for run in office.log.state().runs_in_order())
    return [*(one for one in found if one), *_hours(office)]


def of_run(office: Office, run: RunRecord, called: Names, now: datetime) -> Waiting | None:
    """What a run waits for; None for one that is over, or at work."""
    state, waiting = office.log.state(), run.open_round()
    if waiting is None and (run.is_complete() or now >= moment(run.order.expires_at)):
        return None
    since = max((record.opened.issued_at for record in run.rounds), default=run.order.issued_at)
    if not office.database.is_led():
        told: Told | None = ("coordinator", N_("a coordinator that drives it"), N_("start it: coordinator serve"), {})
    elif waiting is None:
        told = _before_round(office, state, run, called, now)
    elif office.log.witnessed(waiting.open_index + 1) is None:
        told = _cosignatures(office, state, waiting, called)
    else:
        told = _replies(office, state, run, waiting, called)
    if told is None:
        return None
    reason, what, do, values = told
    return Waiting(run.order.task, run.run, run.index, reason, since, what, do, values)


def _before_round(office: Office, state: TrustState, run: RunRecord, called: Names, now: datetime) -> Told | None:
    """No round is open: who may be asked, and who of them is here."""
    may = [member for member, _ in consenting_members(state, run, time_text(now))]
    here, least = online(office.database), run.order.min_members
    values: dict[str, Any] = {
        "may": len(may),
        "here": len(here.intersection(may)),
        "least": least,
        "missing": _listed(called.get(member, member) for member in may if member not in here),
        "until": run.order.expires_at,
        "version": state.agreements[run.order.agreement].terms.version,
    }
    if state.agreements[run.order.agreement].state == "suspended":
        what = N_("version {version} of the agreement, which is suspended")
        return "agreement", what, N_("coordinator agreement retire resume"), values
    if len(may) < least:
        what = N_("members: {may} of them may be asked, {least} are needed")
        return "consent", what, N_("coordinator status shows who consents, coordinator matters who refused"), values
    if values["here"] < least:
        what = N_("members online: {here} of {may} that may be asked are, {least} are needed; missing: {missing}")
        return "online", what, N_("they start client-node run; the order ends at {until}"), values
    if len(may_be_asked(state, run, here)) < least:
        what = N_("a whole group of members online; missing: {missing}")
        return "group", what, N_("they start client-node run; the order ends at {until}"), values
    return None


def _cosignatures(office: Office, state: TrustState, waiting: RoundRecord, called: Names) -> Told | None:
    """Nobody is asked before the opening of the round is cosigned."""
    note = office.log.note()
    quorum = state.quorum_at(note.checkpoint.size if note else state.size)
    given = {line.name for line in note.signatures} if note else set()
    members = quorum.of_members - len(given & quorum.members.keys())
    auditors = quorum.of_auditors - len(given & quorum.auditors.keys())
    origin = state.genesis.origin if state.genesis else ""
    absent = [member for member in state.members() if witness_name(origin, member) in quorum.members.keys() - given]
    values = {
        "round": waiting.opened.round,
        "members": members,
        "missing": _listed(called.get(member, member) for member in absent),
        "keys": _listed(name.rpartition("/")[2] for name in sorted(quorum.auditors.keys() - given)),
        "url": office.settings.url,
    }
    if members <= 0:
        what = N_("the cosignature of an auditor under round {round} (keys {keys})")
        do = N_("an auditor runs: auditor watch {url} --pins PINS --identity KEY --every 60")
        return ("auditor", what, do, values) if auditors > 0 else None
    what = N_("cosignatures of {members} more members under round {round}; missing: {missing}")
    do = N_("they start client-node run")
    if auditors > 0:
        what = N_("cosignatures of {members} more members and of an auditor under round {round}; missing: {missing}")
        do = N_("they start client-node run, and an auditor: auditor watch {url} --pins PINS --identity KEY --every 60")
    return "cosignatures", what, do, values


def _replies(office: Office, state: TrustState, run: RunRecord, waiting: RoundRecord, called: Names) -> Told | None:
    """The messages of the newest step that nobody has answered yet."""
    number = waiting.opened.round
    with office.database.read() as session:
        rows = session.exec(
            select(TaskMessage.step, TaskMessage.member).where(
                TaskMessage.run == run.run,
                TaskMessage.round == number,
                col(TaskMessage.payload).is_(None),
                col(TaskMessage.refused).is_(False),
            )
        ).all()
    if not rows:
        return None
    step = rows[0][0]
    values = {
        "round": number,
        "step": lambda translate: translate(STEPS[step]),
        "missing": _listed(called.get(member, member) for _step, member in rows),
        "until": closes_by(run.order, waiting.opened.issued_at, waiting.opened.deadline_s),
    }
    do = N_("the round goes on without them or ends by {until}; ask whether client-node run is running")
    return step, N_("{step} in round {round}; missing: {missing}"), do, values


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "-"


def _hours(office: Office) -> Iterator[Waiting]:
    for one in schedules.listed(office):
        values = {"next": one["next"], "task": one["task"]}
        what, do = N_("its hour, {next}"), N_("nothing; coordinator schedule drop {task} ends it")
        yield Waiting(str(one["task"]), "", None, "hour", str(one["since"]), what, do, values)
