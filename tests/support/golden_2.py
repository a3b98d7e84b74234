"""Golden logs of edition 2: clean ones, and one for each rule that came with it. `make golden` makes them anew.

They stand in a folder of their own beside those of edition 1: what is signed there stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import simulator
from contracts.fields import time_text
from contracts.log import tiles
from contracts.rules.times import shifted
from contracts.statements.statements import LedgerHead
from contracts.terms.agreement import Chamber, Grouped, Weighted
from golden import GOLDEN, PLAN, Documents, Fixed
from simulator import NOTHING

FOLDER = GOLDEN / "edition-2"
BY_DOCUMENTS = {"CONSENT_ENDED", "LEDGER_UNPROVEN"}  # what the entries alone do not show


class Office(Documents):
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

    def begin(self, until: str = "2026-12-31T00:00:00Z", **order: object) -> Office:
        """Everyone consents and a run is ordered."""
        for firm in self.firms:
            self.consent(firm, expires_at=until)
        self.order(**{"plan": PLAN, "model_start": self.terms.start_models[0], "deadline_s": 600} | order)
        return self


def weighted(**changes: object) -> Office:
    return Office(totals=Weighted(rule="weighted"), **changes)


def grouped() -> Office:
    rule = Grouped(rule="groups", size=3, colluders=0, after_leaving="go-on")
    return Office(6, secure_sum="required", totals=rule).begin()


def learned(office: Office) -> Office:
    """A run of two rounds, and its release."""
    office.combine(1)
    office.combine(2)
    office.release()
    return office


def outlasts() -> Office:
    office = weighted()
    return office.begin(window_s=3600, expires_at=shifted(time_text(office.now), 7200))


def late_round() -> Office:
    office = weighted().begin()
    office.open()
    office.now += timedelta(days=1)
    office.close()
    return office


def ended_consent() -> Office:
    office = weighted()
    office.begin(
        until=shifted(time_text(office.now), 330)
    )  # the round opens in the fifth minute; the last contributes in the eighth
    office.combine(1)
    return office


def false_ledger() -> Office:
    office = weighted().begin()
    rich = LedgerHead(head=NOTHING, rho_total_nano=10**15)
    office.combine(1, ledgers=tuple((member, rich) for member in sorted(firm.member for firm in office.firms)))
    return office


def whole_groups() -> Office:
    office = grouped()
    office.open()
    office.close()
    return office


def part_asked() -> Office:
    office = grouped()
    members = simulator.consenting_members(office.state, office.run, time_text(office.now))
    office.open(members=members[1:])
    return office


def part_summed() -> Office:
    office = grouped()
    office.open()
    office.close(without=(office.firms[0].member,))
    return office


LOGS: dict[str, tuple[str | None, Callable[[], Office]]] = {
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


def write() -> None:
    """One bundle a log, the documents that they name, and what each must give."""
    (FOLDER / "documents").mkdir(parents=True, exist_ok=True)
    for name, (_, tell) in LOGS.items():
        office = tell()
        (FOLDER / f"{name}.bundle").write_bytes(tiles.bundle(office.entries))
        for digest, data in office.documents.items():
            (FOLDER / "documents" / digest.removeprefix("sha256:")).write_bytes(data)
    codes = {name: code for name, (code, _) in LOGS.items()}
    (FOLDER / "codes.json").write_text(json.dumps(codes, indent=1) + "\n", encoding="ascii")
