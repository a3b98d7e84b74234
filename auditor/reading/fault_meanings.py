"""What each code means to the people whose data it is about: group and severity, as reports show them."""

from __future__ import annotations

from typing import Literal

from contracts.wording import N_

Severity = Literal["high", "medium"]
Group = Literal["use", "budget", "record", "unknown"]

# In this order reports group their findings.
TITLES: dict[Group, str] = {
    "use": N_("data used without right"),
    "budget": N_("over budget"),
    "record": N_("record altered or not in order"),
    "unknown": N_("cannot tell"),
}

SEVERITIES: dict[Severity, str] = {"high": N_("high"), "medium": N_("medium")}

_USE = (
    "NO_CONSENT CONSENT_NOT_BY_PRINCIPAL CONSENT_EXPIRED CONSENT_ENDED CONSENT_CHAIN BACKDATED_CONSENT SCOPE "
    "TRAINED_AFTER_WITHDRAWAL CUTOFF AGREEMENT_INACTIVE AGREEMENT_TERMS AGREEMENT_CHAIN AGREEMENT_STATE "
    "PROSE_MISMATCH PARTICIPANT MIN_PARTICIPANTS CODE_HASH SCHEMA_HASH RELEASE_ROUNDS RELEASE_MODEL RELEASE_FLOOR "
    "RELEASE_EXPIRED RELEASE_BENEFICIARY SECOND_NODE GATE EVALUATION ROLLBACK PARTIAL_GROUP"
)
_BUDGET = "OVER_BUDGET BUDGET_REPORT BUDGET_RESET NOISE PRIVACY_CHECK"
_MEDIUM = "SECOND_NODE AGREEMENT_STATE RECEIPT_QUORUM TIME_OUT_OF_WINDOW MALFORMED FOLLOW_UP"

GROUP: dict[str, Group] = {**dict.fromkeys(_USE.split(), "use"), **dict.fromkeys(_BUDGET.split(), "budget")}


def group(code: str) -> Group:
    """What a finding means; whatever is not about use or budget is about the record."""
    return GROUP.get(code, "record")


def severity(code: str) -> Severity:
    """How much it weighs: high unless the code is listed, so that a new code is never played down."""
    return "medium" if code in _MEDIUM.split() else "high"
