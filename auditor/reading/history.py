"""Reading a log for people: every statement in a sentence, and what was true when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from auditor.evidence.member_register import Registered
from auditor.evidence.reader import Evidence, read_bundles
from contracts.errors import TrustError
from contracts.rules.fold import apply_read, read
from contracts.rules.state import EMPTY, TrustState
from contracts.statements import statements as said
from contracts.statements.signed import Statement
from contracts.wording import N_

Names = Callable[[str], str]


@dataclass(slots=True)
class Replayed:
    """What a whole log leads to, which entries break a rule, and those asked for: bytes, and what was read of them."""

    state: TrustState = EMPTY
    broken: set[int] = field(default_factory=set)
    entries: dict[int, tuple[bytes, Statement | TrustError]] = field(default_factory=dict)


def replayed(
    evidence: Evidence, size: int, asked: range = range(0), look: Callable[[list[bytes]], object] = lambda bundle: None
) -> Replayed:
    """Fold the first `size` entries, each read once; `look` is shown every bundle on the way."""
    found = Replayed()
    for _name, bundle in read_bundles(evidence, size):
        look(bundle)
        for index, entry in enumerate(bundle, found.state.size):
            statement = read(entry)
            found.state, findings = apply_read(found.state, statement, index)
            if findings:
                found.broken.add(index)
            if index in asked:
                found.entries[index] = entry, statement
    return found


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement in words: an English sentence with fields, to be translated and filled in."""

    what: str
    values: dict[str, object]

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The sentence in the reader's language."""
        return translate(self.what).format_map(self.values)


def sentence(entry: Statement | TrustError, names: Names) -> Sentence:
    """What an entry says, in one sentence; also for one that cannot be read."""
    if isinstance(entry, TrustError):
        return Sentence(N_("cannot be read: {error}"), {"error": entry})
    return sentence_of(entry.said, names)


def sentence_of(predicate: said.Predicate, names: Names) -> Sentence:
    """What a statement says, in one sentence."""
    template = _SENTENCES.get(type(predicate), N_("a statement of kind {kind}"))
    values = predicate.model_dump() | {"kind": predicate.kind}
    if values.get("member"):
        values["member"] = names(str(values["member"]))
    if isinstance(predicate, said.RoundOpen):
        values["n"] = len(predicate.members)
    if isinstance(predicate, said.Round):
        values |= {"n": len(predicate.contributors), "dropped": len(predicate.dropped)}
    if isinstance(predicate, said.AgreementPublished):
        values |= {"version": predicate.terms.version, "until": predicate.terms.valid_to}
    if isinstance(predicate, said.Consent):
        template = _CONSENTS[predicate.event]
    return Sentence(template, values)


_CONSENTS = {
    "grant": N_("{member} consents from {effective_from} to {expires_at}"),
    "amend": N_("{member} narrows the consent, to {expires_at}"),
    "renew": N_("{member} prolongs the consent to {expires_at}"),
    "withdraw": N_("{member} withdraws"),
    "expire": N_("the consent of {member} has expired"),
}
_SENTENCES: dict[type[said.Predicate], str] = {
    said.Genesis: N_("the log {origin} begins"),
    said.Key: N_("the {role} key of {member} is admitted"),
    said.KeyState: N_("key {key} is {state}"),
    said.AgreementPublished: N_("agreement version {version} is published, valid to {until}"),
    said.AgreementState: N_("agreement {agreement} becomes {state} ({reason})"),
    said.RunOrder: N_("a run of {task} on {dataset} is ordered, at least {min_members} members"),
    said.RoundOpen: N_("round {round} is opened to {n} members"),
    said.Round: N_("round {round} is {outcome}: {n} members combined, {dropped} left out"),
    said.Gate: N_("the gate of the model says {verdict}: {decision}"),
    said.Rollback: N_("the model of {task} is taken back ({reason})"),
    said.Release: N_("the model of {task} is released after {rounds} rounds of {participants} members"),
    said.Refusal: N_("{member} refuses to take part: {reason}"),
    said.PrivacyCheck: N_("{member} has checked its own noise: epsilon at least {epsilon_at_least}"),
    said.Comparison: N_("{member} declares, and nobody can check, that the shared model beside its own is: {verdict}"),
    said.Policy: N_("the quorum rule becomes {quorum}"),
    said.AuditReport: N_("an auditor reports on {size} entries: {verdict}"),
    said.Erasure: N_("documents are erased ({ground})"),
    said.Incident: N_("incident of kind {category} is {state}"),
}


def namer(register: dict[str, Registered]) -> Names:
    """Member id -> company name where the register is at hand, else a short id."""
    return lambda member: register[member].label() if member in register else member.removeprefix("urn:uuid:")[:8]
