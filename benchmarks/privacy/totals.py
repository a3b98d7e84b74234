"""What the sums of years tell of the totals of members, and what it costs to hide those, by the size of a chamber.

    python -m benchmarks.privacy.totals [--years 200]

Simulated chambers of four years each: members of log-normal size (sd 1), twelve opportunities for a round a year,
at each of which a member's node is there with the availability of the row; a tenth of the members join and a
twentieth leave in a year, one conspires with an office that asks every set that the rules let it ask. The groups
are those of the log's own rules (`contracts.rules.groups`). Fewest is the least number of honest members whose
totals some linear combination of all sums is of, with flat priors; whoever was shown beforehand what its leave
tells is left aside and counted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.tables import publish
from contracts.envelope import digest
from contracts.rules.groups import groups_at, standing
from contracts.rules.state import AgreementRecord, ConsentEvent, RegisteredKey, TrustState
from contracts.statements.statements import Consent, DatasetScope, Scope
from contracts.terms.agreement import Grouped, Terms, Weighted
from privacy.units import SMALLEST_SCALE, secret_scale

SIZES, AVAILABLE, YEARS_EACH, ROUNDS, JOIN, LEAVE, COLLUDERS = (6, 12, 20, 30), (0.9, 0.95, 0.99), 4, 12, 0.1, 0.05, 1
MEAN_SCALE = (1 - SMALLEST_SCALE) / np.log(1 / SMALLEST_SCALE)  # of a log-uniform scale
MOST = 4  # members of a combination that are still looked for
RULES: dict[str, Grouped | Weighted | None] = {
    "today": None,
    "groups, go on": Grouped(rule="groups", size=4, colluders=COLLUDERS, after_leaving="go-on"),
    "groups, rest": Grouped(rule="groups", size=4, colluders=COLLUDERS, after_leaving="rest"),
    "weighted": Weighted(rule="weighted"),
}


@dataclass
class Chamber:
    """A state of the log with nothing in it but members, their consents and the groups that form."""

    rule: Grouped | Weighted | None
    state: TrustState = field(default_factory=TrustState)
    units: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    present: list[str] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        terms = Terms.model_construct(totals=self.rule)
        self.state = replace(self.state, agreements=self.state.agreements.insert("a", AgreementRecord(terms, 0)))

    def join(self, units: float) -> None:
        """A member with a live consent for ever."""
        name = f"m{len(self.units):04d}"
        keys = self.state.keys.insert(name, RegisteredKey(name, "node", "", self._next()))
        self.state = replace(self.state, keys=keys, seats=self.state.seats.insert((name, "node"), name))
        self.units[name] = units
        self.present.append(name)
        self._say(name, "grant", "2000")

    def leave(self, name: str, at_time: str) -> None:
        """Its own word, of which its node has told it what it shows."""
        self._say(name, "withdraw", at_time)
        self.present.remove(name)
        self.told.add(name)

    def _say(self, name: str, event: str, at_time: str) -> None:
        scope = Scope.model_construct(datasets=(DatasetScope(id="d", unit="row"),))
        said = Consent.model_construct(
            event=event,
            member=name,
            issued_at=at_time,
            effective_from=at_time,
            expires_at="9",
            scope=scope if event == "grant" else None,
        )
        index = self._next()
        events = (*self.state.consents.get((name, "a"), ()), ConsentEvent(index, digest(b"%d" % index), said))
        self.state = replace(self.state, consents=self.state.consents.insert((name, "a"), events))

    def _next(self) -> int:
        self.count += 1
        return self.count

    def groups(self, at_time: str) -> list[tuple[str, ...]]:
        """Whole groups that a round may ask; everyone alone where the terms form none."""
        if not isinstance(self.rule, Grouped):
            return [(name,) for name in self.present]
        found = standing(self.state, "a", "d", at_time)
        groups = groups_at(self.state, "a", "d", at_time)
        self.state = replace(self.state, groups=self.state.groups.insert("d", groups))
        return list(found)


def fewest(sums: set[frozenset[str]], known: set[str], told: set[str]) -> int:
    """The least number of members, up to `MOST`, that a combination of the sums is of, beside
    those whose totals are known.

    A vector lies in the span of the sums if it is orthogonal to what no sum tells; so a set of members carries one if
    its rows of that complement depend on each other.
    """
    names = sorted(set().union(*sums) - known)
    if not names:
        return MOST
    place = {name: number for number, name in enumerate(names)}
    rows = np.zeros((len(sums), len(names)))
    for number, one in enumerate(sums):
        rows[number, [place[name] for name in one - known]] = 1
    _, values, basis = np.linalg.svd(rows, full_matrices=True)
    hidden = basis[int((values > 1e-9).sum()) :].T
    honest = [place[name] for name in names if name not in told]
    for size in range(1, MOST):
        for few in combinations(honest, size):
            if np.linalg.matrix_rank(hidden[list(few)], tol=1e-9) < size:
                return size
    return MOST


def live(n: int, available: float, rule: Grouped | Weighted | None, seed: int) -> dict[str, float]:
    """One chamber of four years: what its sums tell, and what share of members' rounds and of their signal counts."""
    dice = np.random.default_rng(seed)
    chamber, sums = Chamber(rule), set[frozenset[str]]()
    weight = MEAN_SCALE if isinstance(rule, Weighted) else 1.0
    for _ in range(n):
        chamber.join(float(np.exp(dice.normal())))
    counted = there = signal = best = 0.0
    for month in range(YEARS_EACH * ROUNDS):
        at_time = f"{2026 + month // ROUNDS}-{month % ROUNDS + 1:02d}-01T00:00:00Z"
        for _ in range(dice.poisson(JOIN * n / ROUNDS)):
            chamber.join(float(np.exp(dice.normal())))
        for name in [one for one in chamber.present if dice.random() < LEAVE / ROUNDS]:
            chamber.leave(name, at_time)
        here = {name for name in chamber.present if dice.random() < available}
        asked = [group for group in chamber.groups(at_time) if here.issuperset(group)]
        summed = {name for group in asked for name in group}
        if isinstance(rule, Grouped):
            sums |= {frozenset(group) for group in asked}
        elif len(here) > 3:
            sums |= {frozenset(here), *(frozenset(here - {name}) for name in here)}
        counted, there = counted + len(summed), there + len(chamber.present)
        signal += weight * _signal(chamber, summed if len(summed) >= 3 else set())
        best += _signal(chamber, here)
    conspires = {min(chamber.units)}
    return {
        "fewest": fewest(sums, conspires, chamber.told) if sums else MOST,
        "told": len(chamber.told),
        "counted": counted / there,
        "signal": signal / best,
    }


def _signal(chamber: Chamber, summed: set[str]) -> float:
    """Units in a sum over the noise in it, in standard deviations of one member's noise."""
    return sum(chamber.units[name] for name in summed) / max(1, len(summed)) ** 0.5


def row(n: int, available: float, name: str, years: int) -> dict[str, Any]:
    """One line of the table."""
    made = [live(n, available, RULES[name], seed) for seed in range(years // YEARS_EACH)]
    least = min(one["fewest"] for one in made)
    weighted = isinstance(RULES[name], Weighted)
    return {
        "members": n,
        "there": available,
        "rule": name,
        "fewest honest members in a combination": f"{least} (scaled)"
        if weighted
        else f"{least}" + "+" * (least == MOST),
        "sd of log total, all else known": f"{spread():.3f}" if weighted else "0" if least < 2 else "no bound",
        "told leavers": int(sum(one["told"] for one in made)),
        "member-rounds that count": f"{np.mean([one['counted'] for one in made]):.1%}",
        "signal to noise of today's": f"{np.mean([one['signal'] for one in made]):.2f}",
    }


def spread() -> float:
    """Standard deviation of what is left of log(total) once everything but the factor is known: flat prior, so that of
    the factor itself, drawn as nodes draw it."""
    return float(np.std([np.log(secret_scale(number.to_bytes(4, "big"))) for number in range(20_000)]))


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=200)
    years = parser.parse_args().years
    rows = [row(n, available, name, years) for n in SIZES for available in AVAILABLE for name in RULES]
    notes = [str(__doc__).split("\n\n")[0], str(__doc__).split("\n\n")[2]]
    publish("totals", "Totals of members", {f"{years} simulated years a row": rows}, notes)


if __name__ == "__main__":
    main()
