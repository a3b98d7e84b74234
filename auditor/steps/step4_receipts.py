"""Receipts that members hand over: judged alone by the pins, or beside a log that must hold what they prove."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.evidence.reader import Evidence
from auditor.evidence.sentences import Sentence, sentence_of
from auditor.findings import AuditStep, never_silent
from auditor.steps.step3_tree import TiledTree
from auditor.steps.step4_views import View, has_seen
from auditor.steps.step7_budgets import curve
from contracts.envelope import OpenedEnvelope, digest, load_public
from contracts.errors import Invalid, Malformed, TrustError
from contracts.log.merkle import leaf_hash
from contracts.log.pins import Pins
from contracts.log.receipts import (
    EntryAndLine,
    Logged,
    ServedResult,
    Standing,
    check_logged,
    check_note,
    check_served,
    read_logged,
    read_served,
)
from contracts.promise import Limit, Promise, of_receipt, of_run
from contracts.rules.state import TrustState
from contracts.statements.off_log import Receipt
from contracts.statements.statements import Release
from contracts.wording import N_
from shell.text_files import read_text

FOLDER = "receipts/"


@dataclass(slots=True)
class ReceiptReading:
    """What a receipt proves, in sentences and as fields; the fault if it proves nothing.

    `about` says what the `promises` are about.
    """

    sentences: list[Sentence] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    not_checked: list[Sentence] = field(default_factory=list)
    about: str = ""
    promises: Sequence[Promise | Limit] = ()
    fault: TrustError | None = None


def read_receipt(data: bytes) -> Logged | ServedResult:
    """Either kind of receipt; Malformed (RECEIPT_FORM) otherwise."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(N_("this is not a receipt"), code="RECEIPT_FORM") from error
    return read_served(text) if text.startswith("{") else read_logged(text)


def judge(file: Path, pins: Pins) -> ReceiptReading:
    """Check a receipt alone, by the pins."""
    told, data = ReceiptReading(), read_text(file).encode()
    try:
        receipt = read_receipt(data)
        told.fields["cosigners"], unknown = check_note(receipt.note, pins)
        told.not_checked += [
            Sentence(N_("cosignature by {name}, a key that these pins do not know"), {"name": name}) for name in unknown
        ]
        told.fields["size"] = receipt.note.checkpoint.size
        if isinstance(receipt, ServedResult):
            _served(receipt, check_served(receipt, pins), told)
        else:
            _logged(receipt, check_logged(receipt, pins), told)
    except (Invalid, Malformed) as error:
        told.fault = error
        return told
    of = len(pins.cosigners)
    told.sentences.append(
        Sentence(
            N_("{n} of {of} pinned witnesses cosigned the log of size {size}"),
            {"n": told.fields["cosigners"], "of": of, "size": told.fields["size"]},
        )
    )
    return told


def _logged(receipt: Logged, said: EntryAndLine, told: ReceiptReading) -> None:
    statement = said.line or said.entry
    told.fields |= {"kind": statement.kind, "index": receipt.entry.index, "entry": digest(receipt.entry.data)}
    told.fields["statement"] = statement.model_dump(mode="json")
    told.sentences.append(
        Sentence(
            N_("entry {index} is in the log, digest {digest}"),
            {"index": receipt.entry.index, "digest": digest(receipt.entry.data)},
        )
    )
    told.sentences.append(sentence_of(said.entry, _short))
    if said.line:
        told.sentences.append(
            Sentence(
                N_("the contribution {payload} of {member} is in the sum of round {round}"),
                {"payload": said.line.payload, "member": _short(said.line.member), "round": said.line.round},
            )
        )
    _cost(receipt, said, told)
    told.not_checked.append(
        Sentence(N_("whether its signers' keys were admitted: a log shows that (auditor verify)"), {})
    )


def _cost(receipt: Logged, said: EntryAndLine, told: ReceiptReading) -> None:
    promises = of_receipt(receipt, said, curve)
    if promises is None:
        told.not_checked.append(
            Sentence(
                N_(
                    "what it costs, since it was written without its agreement and order: a log shows that "
                    "(auditor budget)"
                ),
                {},
            )
        )
        return
    about = N_("What this round cost this member:") if receipt.line else N_("What this consent allows at most:")
    _promise(told, about, promises)
    if receipt.line:
        told.not_checked.append(
            Sentence(N_("what else the year has cost this member: a log shows that (auditor budget)"), {})
        )


def _promise(told: ReceiptReading, about: str, promises: Sequence[Promise | Limit]) -> None:
    told.about, told.promises = about, promises
    if promises:
        told.fields["promise"] = [sentence for one in promises for sentence in one.sentences()]


def _served(receipt: ServedResult, standing: Standing, told: ReceiptReading) -> None:
    said, release = standing.said, standing.release
    told.fields |= {
        "kind": "served",
        "shown": receipt.shown.text,
        "member": said.member,
        "issued_at": said.issued_at,
        "model": said.model,
        "votes": said.votes,
        "task": release.task if release else None,
        "rounds": release.rounds if release else 0,
        "agreement": said.agreement,
        "consents": {str(at): one.member for at, one in sorted(standing.consents.items())},
    }
    told.sentences.append(
        Sentence(
            N_("{member} stands by this at {at}: {shown}"),
            {"member": _short(said.member), "at": said.issued_at, "shown": receipt.shown.text},
        )
    )
    if release is None:
        told.sentences.append(Sentence(N_("it comes from the member's own models alone"), {}))
    else:
        _learned_together(standing, release, told)


def _learned_together(standing: Standing, release: Release, told: ReceiptReading) -> None:
    """The run that stands behind a served number: its model, whose consents it had, and what it cost the member."""
    said = standing.said
    told.sentences += [
        Sentence(N_("model {model} of {task} was released"), {"model": said.model, "task": release.task}),
        Sentence(
            N_("it comes from {rounds} rounds of at least {members} members, under agreement {agreement}"),
            {"rounds": release.rounds, "members": release.participants, "agreement": said.agreement},
        ),
        Sentence(
            N_("{n} consents stand behind it: {entries}"),
            {"n": len(standing.consents), "entries": ", ".join(f"#{at}" for at in sorted(standing.consents))},
        ),
    ]
    if standing.order:
        cost = of_run(said.member, standing.order, standing.agreement.terms, standing.rounds, curve)
        _promise(told, N_("What the run behind it cost this member:"), [cost])
    told.not_checked.append(
        Sentence(N_("whether every rule was kept on the way: a log shows that (auditor verify)"), {})
    )


def _short(member: str) -> str:
    return member.removeprefix("urn:uuid:")[:8]


class Receipts:
    """I22: the receipts among the evidence: other views of the log (step 4), whose entries it must hold."""

    def __init__(self, evidence: Evidence, pins: Pins, step: AuditStep):
        self._step = step
        self._held: dict[str, Logged | ServedResult] = {}
        self._wanted: dict[int, bytes] = {}
        self._gone: set[str] = set()
        self._served: defaultdict[int, list[tuple[str, Receipt, OpenedEnvelope]]] = defaultdict(list)
        for path in (path for path in evidence.paths() if path.startswith(FOLDER)):
            with never_silent(step, lambda: path):  # noqa: B023 (it is asked at once)
                self._take(path, read_receipt(evidence.read(path) or b""), pins)
        self._indices = {place.index for one in self._held.values() for place in _places(one)}

    def _take(self, path: str, receipt: Logged | ServedResult, pins: Pins) -> None:
        if isinstance(receipt, ServedResult):
            standing = check_served(receipt, pins)
            self._served[standing.said.seen.size].append((path, standing.said, standing.envelope))
        else:
            check_logged(receipt, pins)
        self._held[path] = receipt

    def views(self) -> list[View]:
        """The checkpoints they stand on."""
        return [View(r.note.checkpoint.size, r.note.checkpoint.root, path, r.note) for path, r in self._held.items()]

    def entry(self, index: int, entry: bytes) -> None:
        """Remember an entry's hash if a receipt proves one at this place."""
        if index in self._indices:
            self._wanted[index] = leaf_hash(entry)

    def rollback(self, gone: str, back: str | None) -> None:
        """Remember which run's model was taken back, and which one serves again."""
        self._gone = (self._gone | {gone}) - {back or ""}

    def served(self, state: TrustState) -> None:
        """Of each served result whose member had seen this size: its model stood released then,
        and its signer's key lived."""
        for path, said, opened in self._served.get(state.size, ()):
            run = state.runs.get(said.order) if said.order else None
            if said.order and (run is None or run.release is None or said.order in self._gone):
                self._step.add(
                    "RECEIPT_RELEASE", N_("{file} names a model that was not released, or taken back"), path, file=path
                )
            key = state.live_key(said.member, "node")
            if key is None or not opened.holds_for(load_public(key[1].public)):
                self._step.add("RECEIPT_SIGNATURE", N_("{file} is signed by a key that had ended"), path, file=path)

    def compare_seen(self, tree: TiledTree) -> None:
        """I26: the state of the log on which a served result was signed lies on the tree of its entries."""
        for size, held in self._served.items():
            for path, said, _opened in held:
                if has_seen(tree, said.seen, tree.size) is False:
                    self._step.add(
                        "EQUIVOCATION",
                        N_("{file} was signed on a log of size {size} with another root"),
                        path,
                        file=path,
                        size=size,
                    )

    def doubt(self, state: TrustState) -> None:
        """What was served under a key that was reported as compromised later may have been signed after that,
        whatever it says it had seen."""
        for held in self._served.values():
            for path, said, opened in held:
                lost = (
                    k for k in state.keys.values() if k.member == said.member and k.role == "node" and k.compromised
                )
                if any(opened.holds_for(load_public(key.public)) for key in lost):
                    self._step.skip(
                        N_("{file} is signed by a key that was reported as compromised: it may not be its owner's"),
                        file=path,
                    )

    def conclude(self) -> None:
        """RECEIPT_NOT_IN_LOG for every receipt whose entry the log does not hold at its place."""
        for path, receipt in self._held.items():
            for place in _places(receipt):
                if self._wanted.get(place.index) != leaf_hash(place.data):
                    self._step.add(
                        "RECEIPT_NOT_IN_LOG",
                        N_("{file} proves entry {index}, which this log does not hold"),
                        path,
                        file=path,
                        index=place.index,
                    )
                    break


def _places(receipt: Logged | ServedResult) -> tuple[Any, ...]:
    return receipt.chain if isinstance(receipt, ServedResult) else (receipt.entry, *receipt.beside)
