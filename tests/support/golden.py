"""The clean golden log: a small whole trust with real documents and fixed bytes. `make golden` makes it anew.

Whoever changes the format runs it, and says so in the changelog: second implementations read these files.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import simulator
from contracts.envelope import canonical, digest, key_id, seal, to_base64
from contracts.fields import time_text
from contracts.log import tiles
from contracts.log.merkle import leaf_hash, root
from contracts.rules.times import shifted
from contracts.statements.artefact import model, of_round
from contracts.statements.closed_list import payload
from contracts.statements.off_log import Contribution
from contracts.statements.statements import Authority, Incident, LedgerHead, Seen
from contracts.terms.agreement import Chamber, Grouped, Weighted
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


# Edition 2: clean logs, and one for each rule that came with it, in a folder of their own; what is
# signed above stays as it is.

EDITION_2 = GOLDEN / "edition-2"
BY_DOCUMENTS = {"CONSENT_ENDED", "LEDGER_UNPROVEN"}  # what the entries alone do not show


class Later(Documents):
    """A trust of edition 2 whose bytes are the same each time."""

    def __init__(self, members: int = 3, **terms: object):
        self.fixed = Fixed()
        with self.names():
            super().__init__(self.fixed, members=members, edition=2, **terms)

    def names(self):
        return patch.multiple(simulator, Ed25519PrivateKey=self.fixed, new_id=self.fixed.new_id)

    def stamp(self):
        with self.names():
            return super().stamp()

    def open(self, **changes):
        return super().open(**{"deadline_s": 600} | changes)

    def begin(self, until: str = "2026-12-31T00:00:00Z", **order: object) -> Later:
        """Everyone consents and a run is ordered."""
        for firm in self.firms:
            self.consent(firm, expires_at=until)
        self.order(**{"plan": PLAN, "model_start": self.terms.start_models[0], "deadline_s": 600} | order)
        return self


def weighted(**changes: object) -> Later:
    return Later(totals=Weighted(rule="weighted"), **changes)


def grouped() -> Later:
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    return Later(6, secure_sum="required", totals=rule).begin()


def learned(office: Later) -> Later:
    """A run of two rounds, and its release."""
    office.combine(1)
    office.combine(2)
    office.release()
    return office


def outlasts() -> Later:
    office = weighted()
    return office.begin(window_s=3600, expires_at=shifted(time_text(office.now), 7200))


def late_round() -> Later:
    office = weighted().begin()
    office.open()
    office.now += timedelta(days=1)
    office.close()
    return office


def ended_consent() -> Later:
    office = weighted()
    office.begin(
        until=shifted(time_text(office.now), 330)
    )  # the round opens in the fifth minute; the last contributes in the eighth
    office.combine(1)
    return office


def false_ledger() -> Later:
    office = weighted().begin()
    rich = LedgerHead(head=NOTHING, rho_total_nano=10**15)
    office.combine(1, ledgers=tuple((member, rich) for member in sorted(firm.member for firm in office.firms)))
    return office


def whole_groups() -> Later:
    office = grouped()
    office.open()
    office.close()
    return office


def part_asked() -> Later:
    office = grouped()
    members = simulator.consenting_members(office.state, office.run, time_text(office.now))
    office.open(members=members[1:])
    return office


def part_summed() -> Later:
    office = grouped()
    office.open()
    office.close(without=(office.firms[0].member,))
    return office


TOLD: dict[str, tuple[str | None, Callable[[], Later]]] = {
    "clean-weighted": (None, lambda: learned(weighted().begin())),
    "clean-groups": (None, whole_groups),
    "an-order-outlasts-its-window": ("ROUND_SEQUENCE", outlasts),
    "a-round-is-recorded-after-its-time": ("ROUND_SEQUENCE", late_round),
    "a-name-reads-backwards": (
        "AGREEMENT_TERMS",
        lambda: weighted(chamber=Chamber(name="Chamber \u202eevil", code_digest=NOTHING)),
    ),
    "a-clause-hides-in-a-name": ("AGREEMENT_TERMS", lambda: weighted(law="law\n11. All rows leave.")),
    "a-group-is-asked-in-part": ("PARTIAL_GROUP", part_asked),
    "a-group-is-summed-in-part": ("PARTIAL_GROUP", part_summed),
    "a-consent-is-used-after-its-end": ("CONSENT_ENDED", ended_consent),
    "a-ledger-that-its-member-did-not-sign": ("LEDGER_UNPROVEN", false_ledger),
}


def write_edition_2() -> None:
    """One bundle a log, the documents that they name, and what each must give."""
    (EDITION_2 / "documents").mkdir(parents=True, exist_ok=True)
    for name, (_, tell) in TOLD.items():
        office = tell()
        (EDITION_2 / f"{name}.bundle").write_bytes(tiles.bundle(office.entries))
        for called, data in office.documents.items():
            (EDITION_2 / "documents" / called.removeprefix("sha256:")).write_bytes(data)
    codes = {name: code for name, (code, _) in TOLD.items()}
    (EDITION_2 / "codes.json").write_text(json.dumps(codes, indent=1) + "\n", encoding="ascii")


# Certificate authorities: whose word they are, and how they follow one another. The bytes of a
# certificate are no rule's matter.

AUTHORITY = GOLDEN / "authority"


def certificate(n: int) -> str:
    return to_base64(b"certificate %d" % n)


def named(office: Later, n: int, replaces: str, *signers: object) -> None:
    said = Authority(**office.stamp(), certificate=certificate(n), replaces=replaces)
    office.say(said, *(signers or (office.office,)))


def ca_of(n: int) -> str:
    return digest(b"certificate %d" % n)


def followed() -> Later:
    """Two authorities after that of genesis."""
    office = weighted()
    named(office, 1, office.state.genesis.ca)
    named(office, 2, ca_of(1))
    return office


def by_a_member() -> Later:
    office = weighted()
    named(office, 1, office.state.genesis.ca, office.firms[0].node)
    return office


def past_the_newest() -> Later:
    office = followed()
    named(office, 3, ca_of(1))
    return office


def brought_back() -> Later:
    office = followed()
    named(office, 1, ca_of(2))
    return office


AUTHORITIES: dict[str, tuple[str | None, Callable[[], Later]]] = {
    "clean-authorities": (None, followed),
    "an-authority-by-a-member": ("BAD_SIGNATURE", by_a_member),
    "an-authority-past-the-newest": ("AUTHORITY", past_the_newest),
    "an-authority-comes-back": ("AUTHORITY", brought_back),
}


def write_authorities() -> None:
    """One bundle a log, and what each must give."""
    AUTHORITY.mkdir(exist_ok=True)
    for name, (_, tell) in AUTHORITIES.items():
        (AUTHORITY / f"{name}.bundle").write_bytes(tiles.bundle(tell().entries))
    codes = {name: code for name, (code, _) in AUTHORITIES.items()}
    (AUTHORITY / "codes.json").write_text(json.dumps(codes, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    write(make())
    import faults

    faults.write()
    write_edition_2()
    write_authorities()
    print(GOLDEN)
