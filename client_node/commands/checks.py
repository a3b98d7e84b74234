"""What `client-node check` looks at, one line each: keys, clock, connection, log, data, ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from client_node.commands.console import _
from client_node.ledger.ledger import Budget
from client_node.link.authorities import certificate_ends
from client_node.link.egress import Egress
from client_node.link.mirror import Mirror, document
from client_node.link.uplink import Uplink
from client_node.rounds.guard import check_ledger
from client_node.rounds.installed_code import accept, check_agreed, check_code
from client_node.rounds.own_word import OwnWord
from client_node.settings import Settings, read_home
from contracts.envelope import key_id
from contracts.errors import Malformed, TrustError, Unavailable
from contracts.rules.state import EMPTY
from contracts.wording import N_, filled
from shell.certificates import WARN_DAYS, days_left, warning

Outcome = tuple[str, str, TrustError | None]


def run_checks(home: Path, release: Path | None = None) -> list[Outcome]:
    """(what was checked, detail, error or None) in order; later checks run also after a failed one.

    `release` is a release file to compare the installed code with, now and from now on.
    """
    settings = read_home(home)
    outcomes = [_try(N_("keys"), lambda: key_id(settings.node_key.public_key())[7:23])]
    budget = Budget(home / "ledger.db")
    outcomes.append(_try(N_("ledger"), lambda: _ledger(budget)))
    try:
        uplink, mirror = Uplink(settings, Egress(budget), settings.invite), Mirror(settings, settings.invite)
    except TrustError as error:
        outcomes.append(_try(N_("code"), lambda: check_code(settings, EMPTY, "", _)))
        return [*outcomes, (N_("chamber"), "", error)]
    outcomes.append(_try(N_("connection, clock and log"), lambda: _log(mirror, uplink)))
    outcomes.append(_try(N_("certificate of the chamber"), lambda: _certificate(settings)))
    outcomes.append(_try(N_("ledger and log"), lambda: _ledger_and_log(settings, mirror, uplink, budget)))
    outcomes.append(_try(N_("witness"), lambda: _witness(mirror)))
    outcomes.append(_try(N_("code"), lambda: _code(settings, mirror, release)))
    outcomes.append(_try(N_("code that was agreed"), lambda: check_agreed(mirror.state)))
    for agreement in [mirror.state.active_agreement()]:
        if agreement:
            outcomes += _data(settings, mirror, uplink, budget, agreement)
    return outcomes


def _try(name: str, look: Callable[[], str]) -> Outcome:
    try:
        return name, look(), None
    except TrustError as error:
        return name, "", error


def _ledger(budget: Budget) -> str:
    budget.verify()
    return f"{budget.head().rho_total_nano} nano-rho"


def _ledger_and_log(settings: Settings, mirror: Mirror, uplink: Uplink, budget: Budget) -> str:
    """A ledger that is lost, or older than what this member has signed, must not look as if nothing had been spent."""
    check_ledger(mirror.state, settings.member, budget)
    OwnWord(settings, uplink, budget).check(mirror.state)
    return f"{budget.head().rho_total_nano} nano-rho"


def _log(mirror: Mirror, uplink: Uplink) -> str:
    while mirror.follow(uplink, 0) is not None:
        pass
    return f"{mirror.state.size}  {datetime.now(UTC):%Y-%m-%d %H:%M}"


def _certificate(settings: Settings) -> str:
    """Its end is the chamber's to prevent, and every member's to know in time."""
    ends, now = certificate_ends(settings.home), datetime.now(UTC)
    told = warning(ends, now) if ends else None
    if ends and told and days_left(ends, now) < WARN_DAYS[-1]:
        raise Unavailable(
            told[0],
            why=N_("afterwards no node can connect"),
            do=N_("ask the chamber to run: coordinator certificate renew"),
            code="CERTIFICATE_TIME",
            **told[1],
        )
    return filled(_(told[0]), told[1]) if told else f"{ends:%Y-%m-%d}" if ends else "-"


def _code(settings: Settings, mirror: Mirror, release: Path | None) -> str:
    if release:
        accept(settings, mirror.state, mirror.log.name, release)
    return check_code(settings, mirror.state, mirror.log.name, _)


def _witness(mirror: Mirror) -> str:
    latest = mirror.witness.latest()
    return str(latest.checkpoint.size if latest else 0)


def _data(settings: Settings, mirror: Mirror, uplink: Uplink, budget: Budget, agreement: str) -> list[Outcome]:
    from client_node.data.member_table import read_table
    from client_node.data.validation import listed
    from engine.table import read_schema

    def rows(schema_digest: str) -> str:
        schema = read_schema(document(settings, uplink, schema_digest))
        table = read_table(settings.data, schema, key=budget.unit_key(), home=settings.home).with_rows()
        if table.findings:
            raise Malformed(
                N_("the data have {n} faults; these rows are left out"),
                why=N_("{faults}"),
                do=N_("client-node data check lists them all"),
                n=len(table.findings),
                faults=listed(table.findings),
            )
        return str(table.training.height)

    terms = mirror.state.agreements[agreement].terms
    return [_try(N_("data"), lambda t=t: f"{t.dataset}  {rows(t.schema_digest)}") for t in terms.tasks]  # type: ignore[misc]
