"""The rule `receivable-unpaid-90-days/1`: a customer's rows, label included, from the seller's invoices and payments.

Nobody states a default. A customer defaults on the day on which an invoice has been unpaid for 90 days after it
was due. A row shows the customer on one day and says whether it defaulted within the 180 days after; only days on
which it had not defaulted before, and whose 180 days the books cover, teach. Everything in a row comes from that
customer's own documents and from the day on which the books were closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from engine.table import TableSchema

RULE = "receivable-unpaid-90-days/1"
GRACE_DAYS, HORIZON_DAYS, LEAST_INVOICES = 90, 180, 3
PAID = 0.99  # rounding of partial payments
_MONTHS = 12 / 365.25  # of a day; to divide by a constant gives other bits in a table of one row


def training(tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date) -> pl.DataFrame:
    """Rows of the schema's columns: each customer on up to `max_rows_per_unit` days, 180 days apart."""
    invoices, payments = _settled(tables["invoices"], tables["payments"])
    days = [closed_on - timedelta(days=HORIZON_DAYS * k) for k in range(1, schema.max_rows_per_unit + 1)]
    return pl.concat([_on(day, invoices, payments, schema) for day in days])


def present(tables: Mapping[str, pl.DataFrame], schema: TableSchema, closed_on: date) -> pl.DataFrame:
    """The same columns on the closing day; nobody knows these labels yet, so they are 0."""
    invoices, payments = _settled(tables["invoices"], tables["payments"])
    return _on(closed_on, invoices, payments, schema).with_columns(defaulted=pl.lit(0.0))


def _settled(invoices: pl.DataFrame, payments: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Invoices without the reversed ones, each with the day it was `paid` and the day it counts as a default. What is
    taken back later, such as a cheque that was not honoured, did not pay. A payment of a number that invoices of two
    customers have counts for both, so that what one teaches does not depend on the other."""
    whole, of = _without_reversed(invoices), ["counterparty", "invoice"]
    by_day = payments.group_by("invoice", "paid").agg(pl.col("amount").sum()).sort("paid")
    running = by_day.with_columns(least=pl.col("amount").cum_sum().reverse().cum_min().reverse().over("invoice"))
    known = running.join(whole.select(*of, owed="amount"), on="invoice")
    paid = known.filter(pl.col("least") >= PAID * pl.col("owed")).group_by(of).agg(pl.col("paid").min())
    limit = pl.col("due") + timedelta(days=GRACE_DAYS)
    settled = whole.join(paid, on=of, how="left").with_columns(
        failed=pl.when(pl.col("paid").is_null() | (pl.col("paid") > limit)).then(limit)
    )
    return settled, payments


def _without_reversed(invoices: pl.DataFrame) -> pl.DataFrame:
    """A negative invoice cancels the oldest one of the same customer and amount; others are no receivables."""
    numbered = invoices.sort("issued", "invoice").with_columns(
        size=pl.col("amount").abs(), nth=pl.int_range(pl.len()).over("counterparty", "amount")
    )
    reversals = numbered.filter(pl.col("amount") < 0)
    left = numbered.filter(pl.col("amount") > 0).join(reversals, on=["counterparty", "size", "nth"], how="anti")
    return left.drop("size", "nth")


def _on(day: date, invoices: pl.DataFrame, payments: pl.DataFrame, schema: TableSchema) -> pl.DataFrame:
    by_invoice = payments.filter(pl.col("paid") <= day).group_by("invoice")
    got = by_invoice.agg(got=pl.col("amount").sum(), last=pl.col("paid").max())
    seen = invoices.filter(pl.col("issued") <= day).join(got, on="invoice", how="left")
    is_open = pl.col("got").fill_null(0.0) < PAID * pl.col("amount")  # by what was known on that day
    until = pl.when(is_open).then(pl.lit(day)).otherwise(pl.min_horizontal("paid", "last"))
    half, year = day - timedelta(days=HORIZON_DAYS), day - timedelta(days=2 * HORIZON_DAYS)
    marked = seen.with_columns(
        left=pl.when(is_open).then((pl.col("amount") - pl.col("got").fill_null(0.0)).clip(0.0)).otherwise(0.0),
        delay=pl.when(~is_open | (pl.col("due") <= day)).then(_days(until, "due")),
    )
    lately, before = pl.col("issued") > half, (pl.col("issued") <= half) & (pl.col("issued") > year)
    booked, earlier = pl.col("amount").filter(lately).sum(), pl.col("amount").filter(before).sum()
    rows = marked.group_by("counterparty").agg(
        n=pl.len(),
        months_known=_days(pl.lit(day), pl.col("issued").min()) * _MONTHS,
        owed=pl.col("left").sum(),
        overdue=pl.col("left").filter(pl.col("due") < day).sum(),
        mean_delay_days=pl.col("delay").mean().fill_null(0.0),
        delay_trend=pl.col("delay").filter(lately).mean() - pl.col("delay").filter(~lately).mean(),
        order_trend=pl.when(earlier > 0).then((booked - earlier) / (booked + earlier)),
        order_gap_months=_days(pl.lit(day), pl.col("issued").max()) * _MONTHS,
    )
    fails = invoices.group_by("counterparty").agg(first=pl.col("failed").min())  # also on invoices of a later day
    rows = rows.join(fails, on="counterparty").filter(pl.col("n") >= LEAST_INVOICES).sort("counterparty")
    rows = rows.filter(pl.col("first").is_null() | (pl.col("first") > day))
    share = pl.when(pl.col("owed") > 0).then(pl.col("overdue") / pl.col("owed")).otherwise(0.0)
    will = (pl.col("first") <= day + timedelta(days=HORIZON_DAYS)).fill_null(False).cast(pl.Float64)
    return rows.with_columns(overdue_share=share, defaulted=will).select([column.name for column in schema.columns])


def _days(later: pl.Expr, earlier: pl.Expr | str) -> pl.Expr:
    since = pl.col(earlier) if isinstance(earlier, str) else earlier
    return (later - since).dt.total_days().cast(pl.Float64)
