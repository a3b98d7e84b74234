"""An agreement in the words of data spaces: ODRL 2.2 policies as Dataspace Protocol 2025-1 wants them.

Export only. Nothing here is ever parsed for a decision: the closed fields of `contracts.terms.agreement` decide.
"""

from __future__ import annotations

from typing import Any

from contracts.statements.statements import Consent, Scope
from contracts.terms.agreement import TaskTerms, Terms

CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
PROFILE = "urn:mengbang:odrl-profile:1"
_DPV = "https://w3id.org/dpv#"
_PURPOSE = {
    "demand-forecast": _DPV + "ServiceOptimisation",
    "early-risk-warning": _DPV + "OrganisationRiskManagement",
    "research": _DPV + "ResearchAndDevelopment",
}


def offer(terms: Terms) -> dict[str, Any]:
    """What the chamber offers to every member: one permission a task. An Offer names no target by itself."""
    return {
        "@context": [CONTEXT],
        "@id": f"urn:mengbang:agreement:{terms.digest()}",
        "@type": "Offer",
        "profile": PROFILE,
        "permission": [_permission(terms, task, None) for task in terms.tasks],
        "obligation": _obligations(terms),
    }


def agreements(terms: Terms, consent: Consent, *, chamber: str) -> list[dict[str, Any]]:
    """What one member agreed to: an Agreement for each dataset, since the protocol knows only one target.

    `chamber` identifies the assignee. Raises ValueError for a consent that grants nothing.
    """
    if consent.scope is None:
        raise ValueError("a consent without a scope grants nothing")
    return [
        {
            "@context": [CONTEXT],
            "@id": f"{consent.record_id}#{dataset.id}",
            "@type": "Agreement",
            "profile": PROFILE,
            "target": f"urn:mengbang:dataset:{consent.member.removeprefix('urn:uuid:')}:{dataset.id}",
            "assigner": consent.member,
            "assignee": chamber,
            "timestamp": consent.effective_from,
            "permission": [
                _permission(terms, task, consent)
                for task in terms.tasks
                if task.task in consent.scope.tasks and task.dataset == dataset.id
            ],
            "obligation": _obligations(terms),
        }
        for dataset in consent.scope.datasets
    ]


def _permission(terms: Terms, task: TaskTerms, consent: Consent | None) -> dict[str, Any]:
    until = consent.expires_at if consent and consent.expires_at else terms.valid_to
    held = [
        _limit("purpose", "isA", _PURPOSE[task.purpose]),
        _limit("dateTime", "gteq", consent.effective_from if consent else terms.valid_from),
        _limit("dateTime", "lt", until),
        _limit("urn:mengbang:odrl:task", "eq", task.task),
        _limit("urn:mengbang:odrl:schema", "eq", task.schema_digest),
        _limit("urn:mengbang:odrl:bundle", "isAnyOf", list(terms.bundles)),
        _limit("urn:mengbang:odrl:minMembers", "gteq", str(terms.min_members)),
        *_privacy(terms, task, consent.scope if consent else None),
        *([_limit("urn:mengbang:odrl:releaseGate", "eq", terms.gate)] if terms.gate else []),
        *([_limit("urn:mengbang:odrl:totals", "eq", terms.totals.rule)] if terms.totals else []),
    ]
    return {"action": "use", "constraint": held}


def _privacy(terms: Terms, task: TaskTerms, scope: Scope | None) -> list[dict[str, Any]]:
    limits = scope or terms.privacy
    measures = [_DPV + "DifferentialPrivacy"]
    if terms.secure_sum == "required":
        measures.append(_DPV + "SecureMultiPartyComputation")
    return [
        _limit("urn:mengbang:odrl:measure", "isAllOf", measures),
        _limit("urn:mengbang:odrl:protectedUnit", "eq", task.unit),
        _limit("urn:mengbang:odrl:delta", "lteq", limits.delta),
        _limit("urn:mengbang:odrl:epsilonRun", "lteq", limits.epsilon_run_max),
        _limit("urn:mengbang:odrl:epsilonYear", "lteq", limits.epsilon_year_max),
        _limit("urn:mengbang:odrl:rhoNanoYear", "lteq", str(limits.rho_year_max_nano)),
    ]


def _obligations(terms: Terms) -> list[dict[str, Any]]:
    return [
        {
            "action": "urn:mengbang:odrl:keepRecords",
            "constraint": [_limit("elapsedTime", "gteq", f"P{terms.records_kept_years}Y")],
        },
        {"action": "delete", "constraint": [_limit("elapsedTime", "gteq", f"P{terms.contributions_kept_days}D")]},
        {"action": "urn:mengbang:odrl:logEveryUse"},
    ]


def _limit(left: str, operator: str, right: str | list[str]) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}
