"""What the office sees of its trust: members, runs, log, calendar. No value of any member's data is here to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from contracts.fields import time_text
from contracts.promise import MOST, promises
from contracts.rules.state import RunRecord, TrustState
from contracts.statements.statements import PrivacyCheck
from contracts.wording import filled
from coordinator.learning.evaluation import Evaluation
from coordinator.learning.runs import ONLINE_S, malformed_replies
from coordinator.learning.schedules import listed as listed_runs
from coordinator.learning.waiting import waits
from coordinator.store.ahead import ahead
from coordinator.store.tables import LastSeen
from coordinator.trust import members, renewal
from privacy.accounting import epsilon
from shell.certificates import warning

if TYPE_CHECKING:
    from coordinator.office import Office


def overview(office: Office, translate: Callable[[str], str] = str) -> dict[str, object]:
    """Everything that the status page and `coordinator status` show."""
    state, names = office.log.state(), members.names(office.database)
    agreement, cosigned = state.active_agreement(), office.log.witnessed(0)
    listed, awaited = _members(office, state, names), members.awaited(office.database)
    return {
        "chamber": office.settings.name,
        "secure_sum": agreement is None or state.agreements[agreement].terms.secure_sum == "required",
        "members": listed,
        "runs": _runs(office, state, names),
        "promises": [promise.sentences(translate) for promise in promises(state, str(datetime.now(UTC).year), epsilon)],
        "most": translate(MOST),
        "ahead": _ahead(office, state, names),
        "certificate": _certificate(office, translate),
        "size": state.size,
        "missing": [member["name"] for member in listed if not member["online"]],
        "cosigned": cosigned.checkpoint.size if cosigned else None,
        "schedules": listed_runs(office, translate),
        "waits": [one.as_dict(translate) for one in waits(office, names)],
        "waiting": len(awaited),
        "awaited": awaited,
        "fingerprints": {
            "chamber": members.chamber_fingerprint(office.log, office.settings),
            "log": office.log.fingerprint(),
            "earlier": members.earlier_fingerprint(office.log, office.settings, datetime.now(UTC)),
        },
    }


def _ahead(office: Office, state: TrustState, names: Mapping[str, str]) -> list[dict[str, object]]:
    """Whose nodes say that they hold more entries than this log."""
    with office.database.read() as session:
        held = ahead(session, state.size)
    return [{"name": names.get(member, member), "held": size} for member, size in sorted(held.items())]


def _certificate(office: Office, translate: Callable[[str], str]) -> dict[str, object]:
    """When the newest certificate for nodes ends, and what to say of it from 60 days before on."""
    until = renewal.ends(office.settings)
    told = warning(until, datetime.now(UTC))
    return {"ends": time_text(until), "warning": filled(translate(told[0]), told[1]) if told else ""}


def _members(office: Office, state: TrustState, names: Mapping[str, str]) -> list[dict[str, object]]:
    with office.database.read() as session:
        heard = {row.member: row.at for row in session.exec(select(LastSeen))}
    agreement, now = state.active_agreement(), time.time()
    return [
        {
            "name": names.get(member, member),
            "member": member,
            "online": now - heard.get(member, 0) < ONLINE_S,
            "check": _check(state.privacy_checks.get(member)),
            "consent": _consent(state, member, agreement),
        }
        for member in state.members()
    ]


def _check(known: tuple[int, PrivacyCheck] | None) -> dict[str, object] | None:
    """A member's newest check of its own release path: its log entry, whether it passed, the lower bound."""
    return known and {"index": known[0], "passed": not known[1].faults, "at_least": known[1].epsilon_at_least}


def _consent(state: TrustState, member: str, agreement: str | None) -> str:
    event = state.consent(member, agreement) if agreement else None
    if event is None:
        return "replaced" if agreement and state.replaced_consent(member, agreement) else "none"
    return "withdrawn" if event.is_end() else "live"


def _runs(office: Office, state: TrustState, names: Mapping[str, str]) -> list[dict[str, object]]:
    """Every run that trained, with what its evaluation said of it."""
    broken, evaluation = malformed_replies(office.database), Evaluation(office.database, office.log, office.settings)
    return [
        {
            **_progress(run),
            "malformed": [
                {"round": number, "name": names.get(member, member), "step": step}
                for number, member, step in (*broken.get(run.run, ()), *broken.get(run.evaluation or "", ()))
            ],
            "judged": evaluation.figures(state.runs[run.evaluation]) if run.evaluation else None,
        }
        for run in state.runs_in_order()
        if run.order.evaluates is None
    ]


def _progress(run: RunRecord) -> dict[str, object]:
    closed = [record.closed for record in run.rounds if record.closed]
    return {
        "run": run.run,
        "task": run.order.task,
        "rounds": len(closed),
        "of": run.order.plan.releases,
        "aborted": sum(one.outcome == "aborted" for one in closed),
        "released": run.release is not None,
        "gate": run.gate and {"verdict": run.gate.verdict, "decision": run.gate.decision},
        "index": run.index,
    }


def public_overview(office: Office, translate: Callable[[str], str] = str) -> dict[str, object]:
    """The same for everybody: what the log says. Names stand in the office's register alone, and who is online, waits
    or answered what cannot be read is for the office to know."""
    seen: dict[str, Any] = overview(office, translate)
    listed = [{**one, "name": one["member"]} for one in seen["members"]]
    ordered = [{**one, "malformed": []} for one in seen["runs"]]
    return {
        **seen,
        "members": listed,
        "runs": ordered,
        "schedules": [],
        "waits": [],
        "missing": [],
        "waiting": None,
        "awaited": [],
        "ahead": [],
    }
