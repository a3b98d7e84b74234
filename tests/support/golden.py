"""The clean golden log: a small whole trust with real documents and fixed bytes. `make golden` makes it anew.

Whoever changes the format runs it, and says so in the changelog: second implementations read these files.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import simulator
from contracts.envelope import canonical, digest, key_id, seal, to_base64
from contracts.log import tiles
from contracts.log.merkle import leaf_hash, root
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.statements import Incident, Seen
from privacy.encoding import add
from privacy.step import advance, start_state
from simulator import NOTHING, Firm, Trust, plan

GOLDEN = Path(__file__).resolve().parents[1] / "vectors" / "golden"
PLAN = plan(releases=2)
BEGIN = array("d", [0.0] * PLAN.length())


class Fixed:
    """Keys and ids that are the same each time, so that making the files anew changes only what the format changed."""

    def __init__(self):
        self.made = 0

    def count(self) -> int:
        self.made += 1
        return self.made

    def generate(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"golden key %d" % self.count()).digest())

    def new_id(self) -> str:
        return f"urn:uuid:00000000-0000-4000-9000-{self.count():012d}"


class Documents(Trust):
    """A trust whose rounds name documents that exist: contributions, lists, sums, states and models."""

    def admit(self, firm=None):
        keys = {"node": self.fixed.generate(), "witness": self.fixed.generate()}
        return super().admit(firm or Firm(member=self.fixed.new_id(), **keys))

    def __init__(self, fixed: Fixed, **terms: object):
        self.fixed = fixed
        self.documents: dict[str, bytes] = {}
        self.step = start_state(PLAN, BEGIN)
        start = self.keep(model("risk", BEGIN).to_bytes())
        super().__init__(start_models=(start,), **terms)

    def keep(self, data: bytes) -> str:
        self.documents[digest(data)] = data
        return digest(data)

    def combine(self, round: int, **changes: object) -> None:
        """Open a round, let every member contribute, record the sum and the model that follows from it."""
        self.open()
        waiting = self.run.open_round()
        sums = [array("q", [1000 * round + n * 10 + k for k in range(PLAN.length())]) for n in range(len(self.firms))]
        lines = [
            self.line(firm, values)
            for firm, values in zip(sorted(self.firms, key=lambda f: f.member), sums, strict=True)
        ]
        total = add(sums)
        values, self.step = advance(PLAN, self.step, total, waiting.opened.round)
        self.close(
            list_root="sha256:" + root([leaf_hash(line) for line in lines]).hex(),
            list_document=self.keep(canonical([to_base64(line) for line in lines])),
            aggregate=self.keep(of_round("aggregate", self.run.run, round, total).to_bytes()),
            model_out=self.keep(model("risk", values).to_bytes()),
            step_state=self.keep(of_round("step-state", self.run.run, round, self.step).to_bytes()),
            **changes,
        )

    def line(self, firm, values: array) -> bytes:
        waiting = self.run.open_round()
        said = Contribution(
            **self.stamp(),
            member=firm.member,
            order=self.run.run,
            open=waiting.open_index,
            round=waiting.opened.round,
            payload=self.keep(of_round("contribution", self.run.run, waiting.opened.round, values).to_bytes()),
            model_in=waiting.opened.model_in,
            seen=Seen(size=0, root=NOTHING),
            ledger=self.ledger(firm.member, self.run.order.plan.rho_nano()),
            bundle=NOTHING,
        )
        return seal(payload(said), [firm.node])


def make() -> Documents:
    """Three members, one agreement, one run of two rounds, its release, a withdrawal and an incident."""
    fixed = Fixed()
    with patch.object(simulator, "Ed25519PrivateKey", fixed), patch.object(simulator, "new_id", fixed.new_id):
        trust = told(Documents(fixed))
    assert trust.findings == [], trust.findings
    return trust


def told(trust: Documents) -> Documents:
    """Everything that happens in the golden log."""
    for firm in trust.firms:
        trust.consent(firm)
    trust.order(plan=PLAN, model_start=trust.terms.start_models[0])
    trust.combine(1)
    trust.combine(2)
    trust.release()
    trust.consent(trust.firms[2], "withdraw")
    about = {"about": None, "category": "availability", "state": "open", "members": ()}
    trust.say(Incident(**trust.stamp(), **about, document=trust.keep(b"salted: the line was down")), trust.office)
    return trust


def write(trust: Documents) -> None:
    """Bundle, documents and the private keys, which are for tests alone."""
    (GOLDEN / "documents").mkdir(parents=True, exist_ok=True)
    for old in (GOLDEN / "documents").iterdir():
        old.unlink()
    for name, data in trust.documents.items():
        (GOLDEN / "documents" / name.removeprefix("sha256:")).write_bytes(data)
    (GOLDEN / "clean.bundle").write_bytes(tiles.bundle(trust.entries))
    keys = {"log": trust.log_key, "office": trust.office, "agreement": trust.agreement_key}
    for n, firm in enumerate(trust.firms):
        keys |= {f"node{n}": firm.node, f"witness{n}": firm.witness}
    held = {name: key.private_bytes_raw().hex() for name, key in keys.items()}
    (GOLDEN / "keys.json").write_text(json.dumps(held, indent=1) + "\n", encoding="ascii")


def read_keys() -> dict[str, Ed25519PrivateKey]:
    """Name -> private key of the golden log."""
    held = json.loads((GOLDEN / "keys.json").read_text(encoding="ascii"))
    return {name: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text)) for name, text in held.items()}


def read_entries(name: str = "clean") -> list[bytes]:
    """The entries of a golden log."""
    data, entries = (GOLDEN / f"{name}.bundle").read_bytes(), []
    while data:
        length = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    return entries


def name_of(key: Ed25519PrivateKey) -> str:
    """KeyId of a private key."""
    return key_id(key.public_key())


if __name__ == "__main__":
    write(make())
    import faults
    import golden_2

    faults.write()
    golden_2.write()
    print(GOLDEN)
