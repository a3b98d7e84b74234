"""Under whose certificates nodes connect: authorities follow one another, and two of them overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.rules.entry import Entry
from contracts.rules.findings import Finding
from contracts.rules.state import NamedAuthority, TrustState
from contracts.rules.times import shifted
from contracts.statements.statements import Authority
from contracts.wording import N_

OVERLAP_DAYS = 60  # a node that is away for less finds its way by itself


def check_authority(state: TrustState, entry: Entry[Authority]) -> Iterator[Finding]:
    """I35: a certificate authority follows the one in force, and none comes back."""
    said, (_, name) = entry.predicate, entry.predicate.subject()
    earlier = {one.replaces for one in state.authorities} | {state.authority()}
    if said.replaces != state.authority() or name in earlier:
        what = N_("the certificate authority {ca} does not follow the one in force")
        yield entry.breaks("AUTHORITY", "I35", what, ca=name)


def name_authority(state: TrustState, entry: Entry[Authority]) -> TrustState:
    """From here on it is the newest."""
    said, (_, name) = entry.predicate, entry.predicate.subject()
    named = NamedAuthority(entry.index, name, said.certificate, said.replaces, said.issued_at)
    return replace(state, authorities=(*state.authorities, named))


def overlap_ends(named_at: str) -> str:
    """When an authority that was replaced at this time counts no more."""
    return shifted(named_at, OVERLAP_DAYS * 86_400)
