"""What terms must hold in themselves, asked alike when they are drafted, published, signed and audited."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from contracts.errors import Refused
from contracts.terms.agreement import Grouped, Terms
from contracts.wording import N_, is_plain

MIN_MEMBERS = 3
Fault = tuple[str, dict[str, object]]  # an English sentence with fields, and their values


def check(terms: Terms) -> None:
    """Refused (AGREEMENT_TERMS) with the first fault, before anybody publishes or signs such terms."""
    for what, values in (*_of_any(terms), *_limits(terms), *_of_edition(terms)):
        raise Refused(
            what,
            why=N_("nobody could keep such an agreement"),
            do=N_("mend the draft: coordinator agreement draft --out FILE begins a new one"),
            code="AGREEMENT_TERMS",
            **values,
        )


def faults(terms: Terms) -> Iterator[Fault]:
    """What the rules of the log forbid in terms of this edition."""
    yield from _of_any(terms)
    if terms.edition > 1:
        yield from _limits(terms)
    yield from _of_edition(terms)


def _of_any(terms: Terms) -> Iterator[Fault]:
    if terms.valid_from >= terms.valid_to or terms.min_members < MIN_MEMBERS or not terms.tasks:
        needs = N_("an agreement needs a period, a task and at least {n} members a round")
        yield needs, {"n": MIN_MEMBERS}


def _of_edition(terms: Terms) -> Iterator[Fault]:
    if terms.edition == 1:
        if terms.totals or terms.members_shown or any(task.row_meaning_zh for task in terms.tasks):
            yield N_("the text of edition {n} does not say what these terms hold"), {"n": terms.edition}
        return
    for text in texts(terms.model_dump(mode="json")):
        if not is_plain(text):
            yield N_("“{text}” holds what its readers cannot see, or do not see alike"), {"text": text}
    yield from _totals(terms)
    names = [task.task for task in terms.tasks]
    if len(set(names)) < len(names):
        yield N_("a task stands twice in the agreement"), {}


def texts(value: object) -> Iterator[str]:
    """Every text in the fields of terms, or of a draft of them."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(one)


def _limits(terms: Terms) -> Iterator[Fault]:
    privacy, rounds = terms.privacy, terms.rounds
    if (
        Decimal(privacy.epsilon_run_max) > Decimal(privacy.epsilon_year_max)
        or privacy.rho_run_max_nano > privacy.rho_year_max_nano
    ):
        yield N_("the budget of a run is larger than that of a year"), {}
    if rounds.deadline_max_s > rounds.window_max_s:
        yield N_("a round may take longer than its whole run"), {}


def _totals(terms: Terms) -> Iterator[Fault]:
    held = terms.totals
    if held is None and terms.secure_sum == "required":
        yield N_("the agreement does not say how the totals of one member are hidden"), {}
    if not isinstance(held, Grouped):
        return
    if terms.secure_sum != "required":
        yield N_("groups hide nothing without the secure sum"), {}
    if held.size < MIN_MEMBERS + held.colluders:
        yield (
            N_("a group needs {n} members and one more for each that is assumed to conspire"),
            {"n": MIN_MEMBERS},
        )
