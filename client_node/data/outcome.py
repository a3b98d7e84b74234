"""What became of a member's customers, and whether it can be: the first thing an accountant would ask."""

from __future__ import annotations

from typing import Any

import polars as pl

from client_node.data.member_table import MemberTable
from contracts.wording import N_
from engine.table import TableSchema

LEAST, DEFAULTED, LEFT_OUT, RECEIVED = 10, 15.0, 20.0, 80.0  # customers; per cent beyond which books are asked about


def outcome_of(table: MemberTable, schema: TableSchema) -> dict[str, Any] | None:
    """Customers that teach, per cent of their rows that `defaulted`, how many are served and left out, and `warnings`: sentences
    with these words. None of a table whose outcome no rule computes."""
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
        (share > DEFAULTED, N_("{share} % defaulted is more than usual (1 to 10): are receipts missing? Are bills and cash in the export?")),
        (not len(table.present), N_("no customer is served: every one has defaulted or is left out; are receipts missing?")),
        (100 * left_out > LEFT_OUT * (customers + left_out), N_("{left_out} customers are left out as doubtful: export all receipts of the period")),
        (received is not None and received < RECEIVED, N_("of what was due three months ago only {received} % was received: are receipts missing?")),
        (bool(table.few), N_("few receipts in {few}: are they missing?")),
    ]  # fmt: skip
    return said | {"warnings": [text for holds, text in warned if holds and customers + left_out >= LEAST]}
