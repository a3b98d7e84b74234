"""Mirrors as a hostile office, member or courier would make them: in each of them one thing is not what it should be.

`cases(seed)` gives them without end. Half of them are *logged*: the office that signs everything names a document, says
a statement, signs a checkpoint or shows a receipt that nobody should, so every digest and signature holds. The others
are *altered* on the way: a file changed, added, renamed or taken away; there no verdict may be clean.
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import flips
import hostile_values
import simulator
from contracts.envelope import canonical, from_base64, seal, to_base64
from contracts.errors import TrustError
from contracts.log.checkpoint import (
    Checkpoint,
    Note,
    auditor_name,
    cosign_note,
    parse_line,
    sign_checkpoint,
    witness_name,
)
from contracts.log.merkle import leaf_hash, root
from contracts.log.pins import Pins
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import payload
from contracts.statements.gate import judge, verdict_of
from contracts.statements.off_log import SumKeys, SumSurvivors
from contracts.statements.statements import AuditReport, Evaluates, Gate, GateTerms, Incident
from contracts.statements.sums import Unmasking, context
from flips import Whole
from golden import PLAN, Fixed
from hostile_values import alter_bytes, alter_json
from privacy.encoding import add
from privacy.plan import Histogram, Tally
from privacy.secure_sum import Group, PublicKeys, Secrets, mask
from privacy.step import advance
from simulator import plan

STEP = 2**20
JUDGED = plan(
    releases=1,
    partition="holdout",
    step=Tally("tally"),
    sigma_steps=8 * STEP,
    shape=Histogram("histogram", 2, 2, 4),
)


@dataclass(frozen=True)
class Case:
    """A mirror with the pins to judge it by. `altered` names the file that is not as it was signed, if that is so."""

    what: str
    files: dict[str, bytes]
    pins: Pins
    altered: str = ""


class Twist:
    """Changes the `at`-th document that is kept or statement that is said, and leaves the others."""

    def __init__(self, draw: random.Random, kind: str, at: int):
        self._draw, self._kind, self._left = draw, kind, at
        self.done = ""

    def _is_now(self, kind: str) -> bool:
        if kind != self._kind:
            return False
        self._left -= 1
        return self._left == -1

    def document(self, data: bytes) -> bytes:
        if not self._is_now("document"):
            return data
        self.done, altered = hostile_values.document(self._draw, data)
        return altered

    def statement(self, said: bytes) -> bytes:
        if not self._is_now("statement"):
            return said
        self.done, altered = alter_json(self._draw, said)
        return altered


class Story(Whole):
    """A trust with a register, a run of two rounds that a third one judges, a gate, a
    release, reports and incidents."""

    def __init__(self, fixed: Fixed, twist: Twist, **terms: object):
        self.twist = twist
        super().__init__(fixed, **terms)

    def keep(self, data: bytes) -> str:
        return super().keep(self.twist.document(data))

    def say(self, predicate: Any, *keys: Any) -> Any:
        said = self.twist.statement(payload(predicate))
        entry = seal(said, keys)
        return self.append(entry if len(entry) < 2**16 else seal(b"{}", keys))

    def tell(self) -> Iterator[Callable[[], object]]:
        """What happens, in order."""
        for firm in self.firms:
            yield lambda firm=firm: self.consent(firm)
        self.kept = self.note()
        yield lambda: self.order(
            plan=PLAN, model_start=self.terms.start_models[0], gate=GateTerms(rho_nano=24_000_000, untold="release")
        )
        yield lambda: self.combine(1)
        yield lambda: self.combine(2)
        yield self.evaluate
        yield self.pass_gate
        yield self.judged_release
        yield lambda: self.consent(self.firms[2], "withdraw")
        about = {"about": None, "category": "availability", "state": "open", "members": ()}
        yield lambda: self.say(
            Incident(
                **self.stamp(), **about, document=self.keep(canonical({"salt": "ab" * 16, "text": "the line was down"}))
            ),
            self.office,
        )
        yield self.report

    def contributions(self, sums: list[array]) -> dict[str, object]:
        """What the record of the open round says that depends on who contributed what."""
        firms = sorted(self.firms, key=lambda firm: firm.member)
        return self._listed(
            [self.line(firm, one) for firm, one in zip(firms, sums, strict=False)], add(sums[: len(firms)])
        )

    def _listed(self, lines: list[bytes], total: array) -> dict[str, object]:
        self.total, round = total, self.run.open_round().opened.round
        listed = self.keep(canonical([to_base64(line) for line in lines]))
        with suppress(
            TrustError, ValueError, TypeError
        ):  # a twisted list has the root of what it holds, where it holds lines
            lines = [from_base64(text) for text in json.loads(self.documents[listed])]
        return {
            "list_root": "sha256:" + root([leaf_hash(line) for line in lines]).hex(),
            "list_document": listed,
            "aggregate": self.keep(of_round("aggregate", self.run.run, round, total).to_bytes()),
        }

    def combine(self, round: int) -> None:
        self.open()
        said = self.contributions(
            [array("q", [1000 * round + n * 10 + k for k in range(PLAN.length())]) for n in range(4)]
        )
        self.released, self.step = advance(PLAN, self.step, self.total, round)
        self.close(
            **said,
            model_out=self.keep(model("risk", self.released).to_bytes()),
            step_state=self.keep(of_round("step-state", self.run.run, round, self.step).to_bytes()),
        )

    def evaluate(self) -> None:
        run = self.run
        self.judges = run.run
        self.order(model_start=run.model, plan=JUDGED, evaluates=Evaluates(run=run.run, incumbent=None))
        self.open()
        said = self.contributions([array("q", [0] * 8 + [(5000 + n) * STEP, (5000 - n) * STEP]) for n in range(4)])
        step = of_round("step-state", self.run.run, 1, array("d", self.released)).to_bytes()
        self.close(**said, model_out=run.model, step_state=self.keep(step))

    def pass_gate(self) -> None:
        judged = self.state.runs[self.judges]
        compared = judge(JUDGED, self.total, 3, [judged.order.model_start])
        verdict = verdict_of(compared)
        said = {"compared": compared, "verdict": verdict, "decision": "keep" if verdict == "worse" else "release"}
        self.say(
            Gate(**self.stamp(), order=judged.run, evaluation=self.run.run, model=judged.model, **said), self.office
        )

    def judged_release(self) -> None:
        judged = self.state.runs[self.judges]
        self.release(order=judged.run, model=judged.model, rounds=len(judged.rounds), participants=3)

    def report(self) -> None:
        auditor = self.fixed.generate()
        self.say(self.key(None, "auditor", auditor), self.office, auditor)
        self.auditor, seen = auditor, self.note().checkpoint
        said = {"size": seen.size, "root": "sha256:" + seen.root.hex(), "verdict": "findings", "codes": ("SCOPE",)}
        self.say(AuditReport(**self.stamp(), **said, report=self.keep(b"a report")), auditor)

    def note(self, size: int | None = None) -> Note:
        note = super().note(size)
        if not hasattr(self, "auditor"):
            return note
        name = auditor_name(simulator.ORIGIN, simulator.keyid(self.auditor))
        line = cosign_note(note, self.auditor, name=name, time=int(self.now.timestamp()))
        return Note(note.checkpoint, (*note.signatures, parse_line(line)))


class Masked(Story):
    """The same with four members under a secure sum; the last of them is gone after it masked."""

    def __init__(self, fixed: Fixed, twist: Twist):
        super().__init__(fixed, twist, members=4, secure_sum="required")

    def contributions(self, sums: list[array]) -> dict[str, object]:
        waiting, order = self.run.open_round(), self.run.order
        firms = {firm.member: firm for firm in self.firms}
        names = tuple(sorted(firms))
        group = Group(context(order.agreement, self.run.run, waiting.opened.round), names)
        own = {name: Secrets(*(sha256(f"{name} {n}".encode()).digest() for n in range(3))) for name in names}
        keys = {name: own[name].public() for name in names}
        about = {"order": self.run.run, "round": waiting.opened.round}
        shown = [
            seal(
                payload(SumKeys(**self.stamp(), **about, member=name, agreement=order.agreement, **_shown(keys[name]))),
                [firms[name].node],
            )
            for name in names
        ]
        *alive, gone = names
        masked = [mask(group, name, own[name], keys, one) for name, one in zip(alive, sums, strict=False)]
        lines = [self.line(firms[name], one) for name, one in zip(alive, masked, strict=True)]
        about |= {"open": waiting.open_index, "cutoff": len(self.entries), "masked": names, "survivors": tuple(alive)}
        signed = [
            seal(payload(SumSurvivors(**self.stamp(), **about, member=name)), [firms[name].node]) for name in alive
        ]
        unmasking = Unmasking(
            tuple(shown), tuple(signed), {name: own[name].seed for name in alive}, {gone: own[gone].mask}
        )
        return {
            "without": (gone,),
            "unmasking": self.keep(unmasking.to_bytes()),
            **self._listed(lines, add(sums[: len(alive)])),
        }


def _shown(keys: PublicKeys) -> dict[str, str]:
    return {"mask": to_base64(keys.mask), "share": to_base64(keys.share), "seed": "sha256:" + keys.seed.hex()}


def told(story: type[Story], twist: Twist) -> Story:
    """The story with a twist; what cannot go on after it is left out."""
    fixed = Fixed()
    with patch.object(simulator, "Ed25519PrivateKey", fixed), patch.object(simulator, "new_id", fixed.new_id):
        trust = story(fixed, twist)
        for happen in trust.tell():
            with suppress(Exception):  # the simulator stumbles over what it was made to say; an office goes on by hand
                happen()
    return trust


def mirror_of(trust: Story) -> dict[str, bytes]:
    """Everything that its office would serve."""
    files = trust.files()
    files[f"checkpoints/{trust.kept.checkpoint.size}"] = trust.kept.text().encode()
    files |= {f"documents/{name.removeprefix('sha256:')}": data for name, data in trust.documents.items()}
    return files


def logged(draw: random.Random) -> Case:
    """The office itself names a document or says a statement that nobody should."""
    kind = draw.choice(["document", "document", "statement"])
    twist = Twist(draw, kind, draw.randrange(45))
    trust = told(draw.choice([Story, Masked]), twist)
    return Case(f"logged {kind}: {twist.done or 'nothing'}", mirror_of(trust), Pins.model_validate(trust.pins()))


@cache
def honest(story: type[Story]) -> tuple[Story, dict[str, bytes], Pins]:
    """(trust, mirror with a member's receipts, pins) of the story without a twist."""
    trust = told(story, Twist(random.Random(0), "nothing", 0))
    assert trust.findings == [], trust.findings
    handed = {name: one.text().encode() for name, one in flips.receipts(trust).items()}
    return trust, mirror_of(trust) | handed, Pins.model_validate(trust.pins())


def altered(draw: random.Random) -> Case:
    """Somebody changed, added or renamed a file on its way."""
    _trust, files, pins = honest(draw.choice([Story, Masked]))
    path = draw.choice(sorted(files))
    if draw.random() < 0.1:
        name, data = draw.choice(PATHS), draw.choice([*files.values(), *hostile_values.DOCUMENTS])
        again = name.startswith("receipts/") and data in [files[one] for one in files if one.startswith("receipts/")]
        return Case(f"added {name[:40]!r}", files | {name: data}, pins, "" if again or name in BEYOND else name)
    what, data = alter_bytes(draw, files[path])
    if draw.random() < 0.3 and data_is_json(files[path]):
        what, data = alter_json(draw, files[path])
    cosigned_less = what == "line lost" and (path.startswith("checkpoint") or path.endswith(".tlog-proof"))
    changed = "" if data == files[path] or cosigned_less else path  # a quorum can do without one of its lines
    return Case(f"altered {path}: {what}", files | {path: data}, pins, changed)


def data_is_json(data: bytes) -> bool:
    return data[:1] in (b"[", b"{") and not data.startswith(b"{}")


def signed(draw: random.Random) -> Case:
    """The log's own key signs a checkpoint that nobody should, or it carries signature lines by the thousand."""
    trust, files, pins = honest(draw.choice([Story, Masked]))
    size = draw.choice(
        [0, 1, len(trust.entries) - 1, len(trust.entries) + 1, 2**32, 10**15, 10**16 - 1, len(trust.entries)]
    )
    entries = trust.entries[:size]
    checkpoint = Checkpoint(simulator.ORIGIN, size, root([leaf_hash(entry) for entry in entries]))
    note = sign_checkpoint(checkpoint, trust.log_key)
    lines = [
        parse_line(
            cosign_note(note, firm.witness, name=witness_name(simulator.ORIGIN, firm.member), time=draw.choice(TIMES))
        )
        for firm in trust.firms
    ] * draw.choice([0, 1, 1, 1, 2, 1000])
    text = Note(checkpoint, (*note.signatures, *lines)).text().encode()
    paths = [path for path in files if path.startswith("checkpoint")]
    path = draw.choice([*paths, f"checkpoints/{size}"])
    return Case(f"signed {path} of size {size}, {len(lines)} lines", files | {path: text}, pins)


def shown(draw: random.Random) -> Case:
    """A receipt that says something else under the same signatures."""
    _trust, files, pins = honest(Story)
    path = draw.choice([path for path in sorted(files) if path.startswith("receipts/")])
    data = files[path]
    if data.startswith(b"{"):
        what, data = alter_json(draw, data)
    else:
        head, extra, rest = data.split(b"\n", 2)
        what, inner = alter_json(draw, from_base64(extra.removeprefix(b"extra ").decode()))
        data = b"\n".join((head, b"extra " + to_base64(inner).encode(), rest))
    rests = (
        data != files[path] and "beside" not in what
    )  # what a receipt shows beside its entry explains, and proves nothing
    return Case(f"shown {path}: {what}", files | {path: data}, pins, path if rests else "")


TIMES = (0, 1, 1_767_600_000, 2**32, 253_402_300_799, 253_402_300_800, 2**63, 2**64 - 1)
PATHS = (
    "checkpoints/", "checkpoints/x", "checkpoints/-1", "checkpoints/" + "9" * 5000, "checkpoints/１２",
    "receipts/", "receipts/a\nb", "receipts/\u202e",
    "tile/", "tile/x", "tile/0/" + "x001/" * 2000 + "000", "tile/99/000", "tile/0/000.p/0",
    "tile/0/000.p/999", "tile/entries/000.p/1", "tile/7/x999/x999/000",
    "documents/", "documents/..", "documents/" + "0" * 64, "documents/" + "g" * 64, "policy/", "\x1b[2J",
    "\ud800", "", "pins.json",
)  # fmt: skip
BEYOND = ("tile/7/x999/x999/000",)  # a log may have grown since its checkpoint: that is said, and no finding
KINDS: tuple[Callable[[random.Random], Case], ...] = (logged, logged, logged, altered, altered, signed, shown)


def cases(seed: int) -> Iterator[Case]:
    """Cases without end, the same for a seed."""
    draw = random.Random(seed)
    while True:
        yield draw.choice(KINDS)(random.Random(draw.getrandbits(64)))
