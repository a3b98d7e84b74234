"""Drafting an agreement from what is installed, and publishing it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from contracts.agreement import Chamber, PrivacyTerms, Prose, RoundTerms, TaskTerms, Terms, with_prose
from contracts.artefact import model
from contracts.envelope import seal
from contracts.fields import new_id, time_text
from contracts.statements import AgreementPublished, payload
from coordinator import registry
from coordinator.database import Database
from coordinator.log import Log
from coordinator.settings import Settings

_NONE = "sha256:" + "0" * 64


def publish(
    database: Database,
    log: Log,
    settings: Settings,
    tasks: list[tuple[Any, Any]],
    limits: PrivacyTerms,
    *,
    bundle: str,
    days: int,
    now: datetime,
) -> Terms:
    """Publish terms for `tasks` (task, schema): documents first, then the statement. Returns the terms."""
    starts, listed = [], []
    with database.write() as session:
        for task, schema in tasks:
            registry.keep(session, "schema", schema.to_bytes())
            starts += [
                registry.keep(session, "model", model(task.name, task.start(schema, family)).to_bytes())
                for family in task.families
            ]
            listed.append(
                TaskTerms(
                    task=task.name,
                    dataset=schema.dataset,
                    schema_digest=schema.digest(),
                    purpose=schema.purpose,
                    row_meaning=schema.row_meaning,
                    personal_data=False,
                    unit=schema.unit,
                    max_units=schema.max_units,
                    max_rows_per_unit=schema.max_rows_per_unit,
                )
            )
    state = log.state()
    newest = state.newest_agreement
    terms = with_prose(
        Terms(
            format="mengbang-terms/1",
            id=new_id(),
            version=state.agreements[newest].terms.version + 1 if newest else 1,
            supersedes=newest,
            valid_from=time_text(now),
            valid_to=time_text(now + timedelta(days=days)),
            chamber=Chamber(name=settings.name, code_digest=settings.code_digest),
            beneficiaries="members",
            auditors=(),
            rights_granted=("processing-use",),
            tasks=tuple(listed),
            privacy=limits,
            bundles=(bundle,),
            start_models=tuple(dict.fromkeys(starts)),
            combining="fixed-point/1",
            secure_sum="none",
            min_members=3,
            rounds=RoundTerms(
                max_per_run=100,
                orders_max=50,
                aborted_max=100,
                interval_min_s=0,
                window_max_s=259_200,
                deadline_max_s=3600,
            ),
            onward_use="none",
            withdrawal="excluded-from-next-cut-off",
            records_kept_years=3,
            contributions_kept_days=90,
            provenance="member-states-source",
            impact_assessment=None,
            law="中华人民共和国法律",
            dispute="商会所在地人民法院",
            prose=Prose(template="mengbang-agreement/1", zh=_NONE, en=_NONE),
        )
    )
    statement = AgreementPublished(record_id=new_id(), issued_at=time_text(now), terms=terms)
    log.append(seal(payload(statement), [settings.office_key, settings.agreement_key]))
    return terms
