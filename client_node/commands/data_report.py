"""What `data check` prints: faults, doubtful invoices, and what became of a member's customers: the first
thing an accountant asks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from client_node.commands.console import terminal
from client_node.data.member_table import MemberTable
from contracts.wording import N_, filled, visible
from engine.table import TableSchema
from shell.terminal import write_line

_MANY, _FIRST = 50, 5
_LEFT = {True: N_("the customer is left out"), False: N_("older, and left out alone")}
LEAST, DEFAULTED, LEFT_OUT, RECEIVED = 10, 15.0, 20.0, 80.0  # customers; per cent beyond which books are asked about


def outcome_of(table: MemberTable, schema: TableSchema) -> dict[str, Any] | None:
    """Customers that teach, per cent of their rows that `defaulted`, how many are served and left out, and `warnings`:
    sentences with these words. None of a table whose outcome no rule computes."""
    if not schema.sources or not schema.of_kind("label"):
        return None
    who, label = schema.one("id").name, schema.one("label").name
    customers = pl.concat([table.training[who], table.present[who]]).n_unique()
    left_out = len({doubt.customer for doubt in table.doubts if doubt.whole})
    share = 100 * float(table.training[label].mean() or 0.0) if len(table.training) else 0.0  # type: ignore[arg-type]
    received = None if table.received is None else round(100 * table.received, 1)
    said: dict[str, Any] = {
        "customers": customers,
        "share": round(share, 1),
        "served": len(table.present),
        "left_out": left_out,
        "received": received,
        "few": ", ".join(table.few[:12]),
    }
    warned = [
        (share > DEFAULTED, N_(
            "{share} % defaulted is more than usual (1 to 10): are receipts missing? Are bills and cash in the "
            "export?"
        )),
        (
            not len(table.present),
            N_("no customer is served: every one has defaulted or is left out; are receipts missing?"),
        ),
        (
            100 * left_out > LEFT_OUT * (customers + left_out),
            N_("{left_out} customers are left out as doubtful: export all receipts of the period"),
        ),
        (
            received is not None and received < RECEIVED,
            N_("of what was due three months ago only {received} % was received: are receipts missing?"),
        ),
        (bool(table.few), N_("few receipts in {few}: are they missing?")),
    ]  # fmt: skip
    return said | {"warnings": [text for holds, text in warned if holds and customers + left_out >= LEAST]}


def sum_up(schema: Any, table: Any) -> None:
    """What can be used, and what of it does not look right."""
    if table.findings:
        terminal.bad(
            N_("{task}: {n} faults; these rows are left out, {rows} rows can be used"),
            task=schema.task,
            n=len(table.findings),
            rows=len(table.training),
        )
    elif table.doubts:
        terminal.bad(
            N_("{task}: doubtful invoices, {rows} rows can be used"), task=schema.task, rows=len(table.training)
        )
    else:
        terminal.ok(N_("{task}: no faults, {rows} rows can be used"), task=schema.task, rows=len(table.training))
    if (said := outcome_of(table, schema)) is None:
        return
    terminal.say(
        N_("  {customers} customers; {share} % of their rows defaulted; {served} are served; {left_out} left out"),
        **said,
    )
    for warning in said["warnings"]:
        terminal.note(warning, **said)


def shown(said: dict[str, Any]) -> dict[str, Any]:
    """The outcome with its warnings in words."""
    return said | {"warnings": [filled(terminal.translate(one), said) for one in said["warnings"]]} if said else {}


def print_doubts(doubts: list[dict[str, Any]]) -> None:
    """A line a customer and rule, those first that are left out; of many, the first ones
    and how many more there are."""
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in sorted(doubts, key=lambda one: not one["whole"]):
        alike.setdefault((one["whole"], one["customer"], one["rule"]), []).append(one)
    for among in list(alike.values())[:_MANY]:
        more = "" if len(among) <= _FIRST else f" … +{len(among) - _FIRST}"
        terminal.say(
            N_("  {place}  {row}  customer {customer}, invoice {documents}: {left}  [{rule}]  {what} -> {do}"),
            **among[0],
            documents=", ".join(one["document"] for one in among[:_FIRST]) + more,
            left=terminal.translate(_LEFT[among[0]["whole"]]),
        )
    if len(alike) > _MANY:
        terminal.say(N_("  and doubts about {n} more customers; all of them: --json"), n=len(alike) - _MANY)


def print_findings(findings: list[dict[str, Any]]) -> None:
    """All of them, unless one kind of fault fills a column: then its first rows, and how many more there are."""
    kinds = Counter(_kind(f) for f in findings)
    told: Counter[tuple[Any, ...]] = Counter()
    for f in findings:
        told[_kind(f)] += 1
        if kinds[_kind(f)] <= _MANY or told[_kind(f)] <= _FIRST:
            write_line(
                visible(
                    f"  {f['place']}  {f['row']}  {f['column']}  [{f['rule']}, {f['value']}]  {f['what']} -> {f['do']}"
                )
            )
        if kinds[_kind(f)] > _MANY and told[_kind(f)] == _FIRST:
            terminal.say(
                N_("  {place}  {column}  [{rule}]  and {n} more rows; all of them: --json"),
                **f,
                n=kinds[_kind(f)] - _FIRST,
            )


def _kind(finding: dict[str, Any]) -> tuple[Any, ...]:
    return finding["place"], finding["column"], finding["rule"], finding["value"]
