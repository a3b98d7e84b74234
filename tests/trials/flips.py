"""Every byte of a whole mirror changed once: `make flips` sweeps all, the tests a sample.

The mirror holds 60 entries and every kind of file that a mirror may hold. Each change goes through the real `verify`;
only three pure functions (read an envelope, read a statement, check a signature) remember their answers for bytes they
have seen, so that a sweep takes minutes and not hours.

    python tests/trials/flips.py [PART/PARTS]       PART of PARTS processes, for example 1/2
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import contracts.envelope
import simulator
from auditor.evidence.reader import Evidence, Folder
from auditor.verify import verify
from contracts.envelope import canonical, key_id, open_entry, seal, verifies
from contracts.log import tiles
from contracts.log.merkle import leaf_hash
from contracts.log.pins import Pins
from contracts.log.receipts import Logged, ResultInclusion, ServedResult, output_commitment, places, salted_lines
from contracts.statements.closed_list import parse, payload
from contracts.statements.off_log import Receipt
from contracts.statements.statements import Incident, Seen
from golden import Documents, Fixed, told
from simulator import NOTHING, Firm

SIZE = 60
SEEN = 2**16  # answers that are remembered
CHAIN = {"agreement", "consent", "key", "run-order", "round-open", "round", "release"}
LINES, SALT = ['{"id":"A","score":"0.25"}', '{"id":"B","score":"0.75"}'], b"s" * 16


class Held:
    """A mirror in memory, path -> bytes; `Folder` reads the same from disk."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files

    def read(self, path: str) -> bytes | None:
        """See Evidence."""
        return self.files.get(path)

    def paths(self) -> list[str]:
        """See Evidence."""
        return sorted(self.files)

    def changed(self, path: str, data: bytes | None) -> Held:
        """The same mirror with one file altered, added or (None) removed."""
        rest = {name: held for name, held in self.files.items() if name != path}
        return Held(rest if data is None else rest | {path: data})


class Whole(Documents):
    """The golden trust with a member register, told to 60 entries."""

    def admit(self, firm: Firm | None = None) -> Firm:
        keys = {"node": self.fixed.generate(), "witness": self.fixed.generate()}
        firm = firm or Firm(member=self.fixed.new_id(), **keys)
        register = self.keep(canonical({"name": "机械厂", "code": "91440200MA4000017Q", "salt": firm.member[-12:] * 3}))
        node = self.key(firm.member, "node", firm.node).model_copy(update={"register_document": register})
        self.say(node, self.office, firm.node)
        self.say(self.key(firm.member, "witness", firm.witness), self.office, firm.witness)
        return firm


def make() -> tuple[Held, Pins]:
    """The mirror and the pins to judge it by."""
    fixed = Fixed()
    with patch.object(simulator, "Ed25519PrivateKey", fixed), patch.object(simulator, "new_id", fixed.new_id):
        trust = told(Whole(fixed))
        older, kept = list(trust.entries), trust.note()
        while len(trust.entries) < SIZE:
            document = trust.keep(b"salted: incident %d" % len(trust.entries))
            about = {"about": None, "category": "availability", "state": "open", "members": ()}
            trust.say(Incident(**trust.stamp(), **about, document=document), trust.office)
        files = {name: one.text().encode() for name, one in receipts(trust).items()}
    assert trust.findings == [], trust.findings
    with tempfile.TemporaryDirectory() as place:
        pins = Pins.model_validate(trust.write(Path(place)))
        files |= {path: Folder(Path(place)).read(path) or b"" for path in Folder(Path(place)).paths()}
    files |= {f"documents/{name.removeprefix('sha256:')}": data for name, data in trust.documents.items()}
    files[f"checkpoints/{len(older)}"] = kept.text().encode()
    files[f"tile/0/000.p/{len(older)}"] = b"".join(leaf_hash(entry) for entry in older)
    files[f"tile/entries/000.p/{len(older)}"] = tiles.bundle(older)
    return Held(files), pins


def receipts(trust: Documents) -> dict[str, Logged | ServedResult]:
    """What the first member's node keeps, and what it showed somebody: one line of a result."""
    kinds = [parse(open_entry(entry).payload).kind for entry in trust.entries]
    made: dict[str, Logged | ServedResult] = {}
    for kind in ("consent", "round", "release"):
        at = kinds.index(kind)
        beside = places(trust.entries, [kinds.index("agreement")] if kind == "consent" else [])
        made[f"receipts/{kind}-{at}.tlog-proof"] = Logged(
            places(trust.entries, [at])[0], trust.note(), beside=tuple(beside)
        )
    run = next(run for run in trust.state.runs_in_order() if run.release)
    said = Receipt(
        **trust.stamp(),
        member=trust.firms[0].member,
        agreement=run.order.agreement,
        order=run.run,
        model=run.release.model,
        votes=NOTHING,
        seen=Seen(size=len(trust.entries), root="sha256:" + trust.note().checkpoint.root.hex()),
        input_commit=NOTHING,
        output_commit=output_commitment(LINES, SALT),
    )
    chain = [at for at, kind in enumerate(kinds) if kind in CHAIN and at <= kinds.index("release")]
    [shown] = places(salted_lines(LINES, SALT), [1])
    sealed = seal(payload(said), [trust.firms[0].node])
    served = ServedResult(sealed, trust.note(), tuple(places(trust.entries, chain)), ResultInclusion(shown))
    return made | {"receipts/served-1.tlog-proof": served}


@contextmanager
def remembering() -> Iterator[None]:
    """Pure functions of bytes answer the second time from memory."""

    @lru_cache(SEEN)
    def known(keyid: str, sig: bytes, message: bytes) -> bool:
        return verifies(keys[keyid], sig, message)

    keys, opened, parsed = {}, lru_cache(SEEN)(open_entry), lru_cache(SEEN)(parse)

    def checked(public, sig, message):  # type: ignore[no-untyped-def]
        keyid = key_id(public)
        keys[keyid] = public
        return known(keyid, sig, message)

    with ExitStack() as stack:
        stack.enter_context(patch.object(contracts.envelope, "verifies", checked))
        stack.enter_context(patch("contracts.log.checkpoint.verifies", checked))
        stack.enter_context(patch("contracts.statements.signed.open_entry", opened))
        stack.enter_context(patch("contracts.statements.signed.parse", parsed))
        yield


def places_of(held: Held) -> list[tuple[str, int]]:
    """(file, byte) of everything that can be changed."""
    return [(path, at) for path in held.paths() for at in range(len(held.files[path]))]


def change(held: Held, path: str, at: int) -> Held:
    """One byte turned into another; over many bytes every bit has its turn."""
    data = held.files[path]
    return held.changed(path, data[:at] + bytes([data[at] ^ (1 + at % 255)]) + data[at + 1 :])


def files_found(evidence: Evidence, pins: Pins) -> set[str]:
    """The files that the findings name."""
    return {getattr(finding, "file", "") for finding in verify(evidence, pins).findings()}


def main() -> int:
    """Sweep; 1 if a change was not found in the file where it was made."""
    part, parts = map(int, (sys.argv[1] if len(sys.argv) > 1 else "1/1").split("/"))
    held, pins = make()
    assert files_found(held, pins) == set()
    todo = places_of(held)[part - 1 :: parts]
    print(f"{len(todo)} of {len(places_of(held))} bytes in {len(held.files)} files", flush=True)
    missed, began = 0, time.monotonic()
    with remembering():
        for done, (path, at) in enumerate(todo, 1):
            try:
                named = files_found(change(held, path, at), pins)
            except Exception as error:
                named = {f"{type(error).__name__}: {error}"}
            if path not in named:
                missed += 1
                print(f"MISSED {path} byte {at}: {sorted(named) or 'nothing'}", flush=True)
            if done % 5000 == 0:
                print(f"{done} / {len(todo)}  {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(todo) - missed} of {len(todo)} changes found, each in its file; {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
