"""Why a member was left out or refused, and what to do about it, in words for the office."""

from __future__ import annotations

from collections.abc import Callable

from contracts.envelope import open_entry, strict_json
from contracts.errors import TrustError
from contracts.rules.state import Matter
from contracts.statements.closed_list import parse
from contracts.statements.statements import AuditReport, Incident, KeyState, Refusal, Round
from contracts.wording import N_
from coordinator.office import Office
from coordinator.store import documents
from coordinator.trust.members import names

Translate = Callable[[str], str]
Words = tuple[str, str]  # why, and what to do

DROPPED: dict[str, Words] = {
    "no-reply": (N_("did not reply in time"), N_("ask the member whether its node runs: client-node status")),
    "withdrawn": (N_("has withdrawn its consent"), N_("nothing: it is not asked again")),
    "malformed": (N_("sent what is no contribution"), N_("ask the member to install the released version again")),
    "refused": (N_("its node refused"), N_("see coordinator matters")),
    "group": (N_("others of its group did not reply"), N_("nothing of it: the others of its group are the reason")),
}
REFUSED: dict[str, Words] = {
    "budget": (
        N_("its budget or its own limit does not allow this run"),
        N_("order with a smaller epsilon, or next year"),
    ),
    "consent": (N_("it has no consent that covers this run"), N_("ask the member to sign: client-node consent sign")),
    "agreement": (
        N_("the agreement does not allow this run"),
        N_("order within the agreement: coordinator agreement show"),
    ),
    "bundle": (N_("it runs another version of the code"), N_("ask the member to install the agreed version")),
    "schema": (N_("its table is another one than was agreed"), N_("ask the member to install the agreed version")),
    "expired": (N_("the order's time was over"), N_("order again")),
    "ledger": (
        N_("its ledger is older than what it has signed"),
        N_("ask the member for the newest copy of its ledger"),
    ),
    "plan": (N_("the plan of this run is not one that its node computes"), N_("order again with the released version")),
    "log": (N_("what it was asked is not what the log says"), N_("look into the server's log, and answer the member")),
    "secure-sum": (N_("a step of the secure sum was not as it must be"), N_("look into the server's log; order again")),
    "not-started": (N_("it did not begin this round"), N_("nothing: it is not charged, and asked again")),
    "restarted": (N_("its node was started again during the round"), N_("nothing: it takes part in the next round")),
}


def round_at(office: Office, index: int) -> Round:
    """What the log says of a round at the entry that ended it."""
    [entry] = office.log.entries(index, index + 1)
    said = parse(open_entry(entry).payload)
    assert isinstance(said, Round)
    return said


def left_out(closed: Round, called: dict[str, str], translate: Translate) -> list[str]:
    """A line for each reason why members are not in a round: who, why, and what to do."""
    found: dict[str, list[str]] = {}
    for member, reason in closed.dropped:
        found.setdefault(reason, []).append(called.get(member, member))
    return [
        translate(N_("{members}: {why}; {do}")).format(
            members=", ".join(members), why=translate(DROPPED[reason][0]), do=translate(DROPPED[reason][1])
        )
        for reason, members in found.items()
    ]


def matter_in_words(office: Office, matter: Matter, translate: Translate) -> Words:
    """What waits for an answer at a log entry, and what to do about it."""
    [entry] = office.log.entries(matter.index, matter.index + 1)
    called, said = names(office.database), parse(open_entry(entry).payload)
    answer = translate(N_("answer it: coordinator incident TEXT --about {index} --state answered")).format(
        index=matter.index
    )
    match said:
        case Refusal():
            why, do = REFUSED[said.reason]
            what = translate(N_("{member} refused a run: {why}")).format(
                member=called.get(said.member, said.member), why=translate(why)
            )
            return what, f"{translate(do)}; {answer}"
        case KeyState():
            return translate(N_("a key was reported as compromised: {key}")).format(key=said.key), answer
        case AuditReport():
            codes = ", ".join(said.codes) or said.verdict
            return translate(N_("an auditor found something: {codes}")).format(codes=codes), answer
        case Incident():
            return translate(N_("an incident: {text}")).format(text=_text(office, said.document)), answer
    return translate(N_("an entry of another kind")), answer


def _text(office: Office, name: str) -> str:
    """The words of an incident, as far as they are here."""
    held = documents.read(office.database, name)
    try:
        told = strict_json(held.data) if held else None
    except TrustError:
        told = None
    return str(told["text"]) if isinstance(told, dict) and "text" in told else "-"
