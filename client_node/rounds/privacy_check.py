"""Measured privacy of this node: its own release path attacked on synthetic rows, told as a signed statement."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from client_node.ledger.ledger import read_ledger
from client_node.settings import Settings
from contracts.errors import Refused
from contracts.fields import new_id, time_text
from contracts.rules.state import TrustState
from contracts.statements.statements import PrivacyCheck
from contracts.wording import N_
from engine.bundle import bundle_digest
from privacy.canaries import CLAIM, DELTA, Measurement, measure
from privacy.canary_trials import TRIALS

SENTENCES = {
    "noise-scale": N_("the noise has another size than the plan says"),
    "noise-shape": N_("the noise is not Gaussian"),
    "noise-repeats": N_("noise of one round comes back in another"),
    "noise-shared": N_("several numbers carry the same noise"),
    "unit-too-strong": N_("one unit moves the sum by more than its clip norm"),
    "unit-lost": N_("units are lost on the way into the sum"),
    "bound-above-claim": N_("the planted units were recognised more often than the claim allows"),
}


def check(settings: Settings) -> PrivacyCheck:
    """Attack the path of every family (about two seconds) and tell the worst outcome. Touches no data of the member and
    spends nothing."""
    found = [measure(family, attempt, canaries) for family, (attempt, canaries) in TRIALS.items()]
    return _statement(settings, max(found, key=lambda one: (len(one.faults), one.at_least)))


def _statement(settings: Settings, found: Measurement) -> PrivacyCheck:
    return PrivacyCheck(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=settings.member,
        bundle=bundle_digest(),
        family=found.family,  # type: ignore[arg-type]
        epsilon_claimed=CLAIM,
        epsilon_at_least=_hundredths(found.at_least, ROUND_DOWN),
        epsilon_visible=_hundredths(found.visible, ROUND_UP),
        delta=DELTA,
        canaries=found.canaries,
        releases=found.releases,
        faults=tuple(dict.fromkeys(fault.code for fault in found.faults)),  # type: ignore[misc]
        ledger=read_ledger(settings).head(),
    )


def _hundredths(value: float, rounding: str) -> str:
    return str(Decimal(value).quantize(Decimal("0.01"), rounding))


def is_news(state: TrustState, made: PrivacyCheck) -> bool:
    """The log does not know this yet: no check of this code by this member today with the same faults."""
    known = state.privacy_checks.get(made.member)
    if known is None:
        return True
    last = known[1]
    return (last.bundle, last.faults, last.issued_at[:10]) != (made.bundle, made.faults, made.issued_at[:10])


def refuse_if_broken(made: PrivacyCheck) -> None:
    """Raise Refused (PRIVACY_CHECK) if the release path of this machine does not do what its plan says."""
    if made.faults:
        raise Refused(
            SENTENCES[made.faults[0]],
            why=N_("nothing may be released through a path that fails its own check"),
            do=N_("install the agreed version again, then: client-node check --privacy"),
            code="PRIVACY_CHECK",
        )
