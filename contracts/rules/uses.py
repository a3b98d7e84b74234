"""When data were used, and whether the consent still held then: what a member's signed time and
cosigned checkpoints prove."""

from __future__ import annotations

from contracts.rules.state import ConsentEvent, TrustState
from contracts.rules.times import SKEW_S, shifted


def held(event: ConsentEvent | None, at_time: str) -> bool:
    """I33: a consent had begun and had not ended at `at_time`, give or take the skew of two clocks."""
    if event is None or event.is_end() or event.consent.expires_at is None:
        return False
    begins, ends = event.consent.effective_from, event.consent.expires_at
    return shifted(begins, -SKEW_S) <= at_time <= shifted(ends, SKEW_S)


def held_by_its_own_word(
    state: TrustState, member: str, agreement: str, *, opened: int, seen: int, at_time: str
) -> bool:
    """I33: the member's consent held at the time that stands in its signed contribution, on the
    log that it had seen then."""
    return held(state.consent(member, agreement, max(opened, seen)), at_time)


def last_end(state: TrustState, member: str, agreement: str, *, opened: int, cutoff: int) -> str | None:
    """The latest end of the consents that a member had when a round was opened at an index, or gave until its cut-off;
    None if it had none."""
    events = [state.consent(member, agreement, opened)]
    events += [e for e in state.consents.get((member, agreement), ()) if opened < e.index < cutoff]
    return max((e.consent.expires_at for e in events if e and e.consent.expires_at), default=None)
