"""Agreements of the office: draft from what is installed, publish, change their state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session

from contracts.envelope import seal
from contracts.errors import Malformed, Refused, Unavailable
from contracts.fields import check_text, new_id, time_text
from contracts.rules.state import AgreementRecord, TrustState
from contracts.statements.artefact import model
from contracts.statements.closed_list import payload
from contracts.statements.statements import AgreementPublished, AgreementState
from contracts.terms.agreement import Terms
from contracts.terms.check import check, texts
from contracts.terms.prose import TEMPLATE, with_prose
from contracts.wording import N_, some_of
from coordinator.settings import Settings
from coordinator.store import documents
from coordinator.store.database import Database
from coordinator.store.log import Log
from coordinator.trust.public_rows import read_rows
from engine.table import TableSchema
from engine.task import FromPublic
from shell.text_files import read_text

_NONE = "sha256:" + "0" * 64
DELTA = "1e-6"
# verb of `coordinator agreement retire` -> (state it leads to, reason on the log)
MOVES = {
    "suspend": ("suspended", "office"),
    "resume": ("active", "resumed"),
    "revoke": ("revoked", "office"),
    "expire": ("expired", "time"),
    "close": ("closed", "time"),
}


# What a draft begins with besides what is installed here, for a person to change.
_RIGHTS: dict[str, Any] = {"beneficiaries": "members", "auditors": [], "rights_granted": ["processing-use"]}
_PRIVACY = {
    "families": ["trees", "gradients", "moments", "histogram"],
    "noise": "member",
    "neighbours": "add-remove",
}
_COMBINING = {
    "combining": "fixed-point/1",
    "secure_sum": "required",
    "min_members": 3,
    "rounds": {
        "max_per_run": 100,
        "orders_max": 50,
        "aborted_max": 100,
        "interval_min_s": 0,
        "window_max_s": 259_200,
        "deadline_max_s": 3600,
    },
}
_DUTIES = {
    "withdrawal": "excluded-from-next-cut-off",
    "records_kept_years": 3,
    "contributions_kept_days": 90,
    "provenance": "member-states-source",
    "impact_assessment": None,
    "law": "中华人民共和国法律",
    "dispute": "商会所在地人民法院",
}


def draft(
    database: Database,
    settings: Settings,
    tasks: list[tuple[Any, Any]],
    *,
    epsilon_run: str,
    epsilon_year: str,
    bundle: str,
    days: int,
    now: datetime,
    public: Mapping[str, bytes] = MappingProxyType({}),
) -> dict[str, Any]:
    """Terms for `tasks` (task, schema) that a person may still change; the documents they name are stored. `public`
    holds public models by task.

    Without the fields that follow from others when they are published: see `complete`.
    """
    with database.write() as session:
        listed = [_task_terms(session, task, schema, public.get(task.name)) for task, schema in tasks]
        starts = [
            documents.keep(session, "model", model(task.name, task.start(schema, family)).to_bytes())
            for task, schema in tasks
            for family in task.families
        ]
    return {
        "valid_from": time_text(now),
        "valid_to": time_text(now + timedelta(days=days)),
        "chamber": {"name": settings.name, "code_digest": settings.code_digest},
        **_RIGHTS,
        "tasks": listed,
        "privacy": {"delta": DELTA, "epsilon_run_max": epsilon_run, "epsilon_year_max": epsilon_year, **_PRIVACY},
        "bundles": [bundle],
        "start_models": list(dict.fromkeys(starts)),
        **_COMBINING,
        "onward_use": "none",
        "totals": {"rule": "weighted"},  # a chamber of every size: docs/decisions/0049
        "gate": "required" if all(schema.of_kind("id") for _task, schema in tasks) else None,
        **_DUTIES,
    }


def _takes_public(task: Any) -> FromPublic:
    if isinstance(task, FromPublic):
        return task
    raise Refused(
        N_("task {task} has no public model"),
        why=N_("it starts from a model that ships with the product, or cannot use one"),
        do=N_("leave it out"),
        code="PROFILE",
        task=task.name,
    )


def public_by_task(paths: Sequence[Path], tasks: Sequence[str]) -> dict[str, bytes]:
    """The documents of these files by the task that each is for; Malformed if one is for none of `tasks`."""
    found = {}
    for path in paths:
        data = read_text(path).encode()
        try:
            found[json.loads(data)["task"]] = data
        except (ValueError, KeyError, TypeError, RecursionError):
            found[path.name] = data
    for task in found:
        if task not in tasks:
            raise Malformed(
                N_("{task}: no public model of a task in this agreement"),
                why=N_("it covers: {tasks}"),
                do=N_("give a file that coordinator agreement public-model wrote for one of them"),
                task=task,
                tasks=", ".join(tasks),
            )
    return found


def fit_public(task: Any, schema: TableSchema, rows: Path, source: str) -> bytes:
    """The document of a public model of the rows of a file."""
    return _takes_public(task).fit_public(read_rows(rows, schema), schema, source)


def _task_terms(session: Session, task: Any, schema: Any, public: bytes | None) -> dict[str, Any]:
    """The terms of one task; the table and the public model that they name are stored."""
    documents.keep(session, "schema", schema.to_bytes())
    if public:
        _takes_public(task).check_public(public, schema)
    return {
        "task": task.name,
        "dataset": schema.dataset,
        "schema_digest": schema.digest(),
        "purpose": schema.purpose,
        "row_meaning": schema.row_meaning,
        "row_meaning_zh": schema.row_meaning_zh,
        "personal_data": False,
        "unit": schema.unit,
        "max_units": schema.max_units,
        "max_rows_per_unit": schema.max_rows_per_unit,
        "public_model": documents.keep(session, "public-model", public) if public else None,
    }


def complete(state: TrustState, drafted: dict[str, Any]) -> Terms:
    """The terms of a draft as the next version: rho follows from epsilon, version from the log, prose from all fields.

    Raises Malformed, naming the field, for a draft with a wrong, missing or unknown field, and Refused for terms that
    contradict themselves.
    """
    from privacy.accounting import rho_cap

    newest = state.newest_agreement
    for text in filter(None, texts(drafted)):  # what is empty is named with its field below
        check_text(text)
    try:
        limits = dict(drafted["privacy"])
        for span in ("run", "year"):
            limits[f"rho_{span}_max_nano"] = rho_cap(str(limits[f"epsilon_{span}_max"]), str(limits["delta"]))
        made = {
            **drafted,
            "privacy": limits,
            "format": "mengbang-terms/1",
            "id": new_id(),
            "version": state.agreements[newest].terms.version + 1 if newest else 1,
            "supersedes": newest,
            "prose": {"template": TEMPLATE, "zh": _NONE, "en": _NONE},
        }
        terms = with_prose(Terms.model_validate_json(json.dumps(made)))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _not_a_draft(f"{field}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_draft(str(error)) from error
    check(terms)
    return terms


def _not_a_draft(error: str) -> Malformed:
    return Malformed(
        N_("this is not a draft of an agreement: {error}"),
        do=N_("mend the field, or make a new draft: coordinator agreement draft --out FILE"),
        code="PROFILE",
        error=error,
    )


def publish(database: Database, log: Log, settings: Settings, terms: Terms, now: datetime) -> None:
    """Log the terms under both keys of the office; Unavailable if a document that they name is missing here."""
    tables = [name for task in terms.tasks for name in (task.schema_digest, task.public_model) if name]
    for name in (*terms.start_models, *tables):
        if documents.read(database, name) is None:
            raise Unavailable(
                N_("document {name} is missing"),
                why=N_("members could not read what the agreement names"),
                do=N_("draft the agreement on this coordinator: coordinator agreement draft --out FILE"),
                name=name,
            )
    statement = AgreementPublished(record_id=new_id(), issued_at=time_text(now), terms=terms)
    log.append(seal(payload(statement), [settings.office_key, settings.agreement_key]))


def move(log: Log, settings: Settings, name: str, verb: str, *, reason: str, now: datetime) -> str:
    """Log a change of an agreement's state; the new state. Refused if the rules do not allow it."""
    record = log.state().agreements[name]
    state, usual = MOVES[verb]
    statement = AgreementState(
        record_id=new_id(),
        issued_at=time_text(now),
        agreement=name,
        prev_state=record.state,
        state=state,  # type: ignore[arg-type]  # of MOVES
        reason=reason or usual,  # type: ignore[arg-type]  # of the closed list, which pydantic checks
    )
    log.append(seal(payload(statement), [settings.office_key]))
    return state


def find(state: TrustState, version: int) -> tuple[str, AgreementRecord]:
    """(digest, record) of a version, the newest for 0; Refused if there is none."""
    for name, record in state.agreements.items():
        if record.terms.version == version or (not version and name == state.newest_agreement):
            return name, record
    if not state.agreements:
        raise Refused(
            N_("no agreement is published yet"),
            do=N_("coordinator agreement draft --out FILE, then: coordinator agreement publish FILE"),
            code="AGREEMENT_INACTIVE",
        )
    raise Refused(
        N_("there is no version {version} of the agreement"),
        why=N_("there are: {known}"),
        do=N_("name one of these, or none for the newest"),
        code="AGREEMENT_INACTIVE",
        version=version,
        known=some_of(sorted(record.terms.version for record in state.agreements.values())),
    )


def without_consent(state: TrustState, member: str, name: str, called: Mapping[str, str]) -> Refused:
    """Why a member has no consent to an agreement: it is none, it never had, it has
    withdrawn, or a new version came."""
    words: dict[str, Any] = {"member": called.get(member, member), "version": state.agreements[name].terms.version}
    if member not in state.members():
        known = some_of(f"{called.get(one, one)} {one}" for one in state.members())
        what = N_("there is no member {member}")
        return Refused(what, why=N_("there are: {known}"), do=N_("give the whole member id"), known=known, **words)
    old = state.replaced_consent(member, name)
    if old is not None:
        why = N_("it consented to version {old}, which version {version} has replaced")
        do = N_("ask the member to consent anew: client-node consent sign")
        return Refused(N_("{member} has no consent to version {version}"), why=why, do=do, old=old, **words)
    why = N_("it has not consented, or has withdrawn")
    do = N_("ask the member to consent: client-node consent sign")
    return Refused(N_("{member} has no consent to version {version}"), why=why, do=do, **words)
