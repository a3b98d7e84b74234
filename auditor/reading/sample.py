"""Which entries to compare with the paper originals: drawn by the log's own root, so that nobody could choose them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from auditor.evidence.sentences import Names, Sentence
from contracts.rules.state import TrustState
from contracts.wording import N_

MOST = 12


@dataclass(frozen=True, slots=True)
class Sampled:
    """An entry that has an original on paper, and what must stand on it."""

    index: int
    digest: str
    original: Sentence


def drawn(state: TrustState, root: str, names: Names) -> tuple[list[Sampled], int]:
    """At most MOST entries in log order, and of how many; before the root was signed nobody could foresee which."""
    could_be = originals(state, names)
    by_lot = sorted(could_be, key=lambda one: hashlib.sha256(f"{root} {one.index}".encode()).digest())
    return sorted(by_lot[:MOST], key=lambda one: one.index), len(could_be)


def originals(state: TrustState, names: Names) -> list[Sampled]:
    """Every agreement, and every consent that its member has on paper too."""
    agreements = [
        Sampled(
            record.index,
            name,
            Sentence(
                N_("agreement version {version}, valid to {until}; its text has digest {text}"),
                {"version": record.terms.version, "until": record.terms.valid_to, "text": record.terms.prose.zh},
            ),
        )
        for name, record in state.agreements.items()
    ]
    consents = [
        Sampled(
            event.index,
            event.digest,
            Sentence(
                N_("{event} of {member} from {since}, given by {role}, to the text with digest {text}"),
                {
                    "event": event.consent.event,
                    "member": names(event.consent.member),
                    "since": event.consent.effective_from,
                    "role": event.consent.given_by.role,
                    "text": event.consent.notice.digest,
                },
            ),
        )
        for event in state.consent_events()
        if event.consent.notice
    ]
    return sorted([*agreements, *consents], key=lambda one: one.index)
