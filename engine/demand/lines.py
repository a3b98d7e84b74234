"""The rule `sales-lines/1`: a product's sales by month (or week), from the lines of a member's deliveries or invoices.

A line counts in the period of its day, whenever it was posted. A negative line is a correction and counts in the period
of its own day: carried back to the sale that it corrects it would tell the past what nobody knew then. A period below
zero counts as zero, a period without a line as zero from the product's first sale on. The period in which the books
were closed is left out unless it ends on that day. When the books began is not asked: it could be seen only from the
lines of all products, and what a product teaches depends on its own. Where a member also gives a calendar of promotions
or a price list, the rows of these periods say the share of days on promotion and the mean price, and so do rows without
sales of the periods to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from engine.table import TableSchema

RULE = "sales-lines/1"


def by_period(lines: pl.DataFrame, schema: TableSchema, closed_on: date) -> pl.DataFrame:
    """Rows of the schema's columns from `lines` with `series`, `day`, `sold` and perhaps `family`; sorted by series and
    period. A series is in the family that its newest line names."""
    who, when, what = (schema.one(kind).name for kind in ("id", "period", "number"))
    every, spelling = _periods(schema)
    end = pl.Series([closed_on + timedelta(days=1)]).dt.truncate(every).item()
    dated = lines.lazy().select("series", "sold", at=pl.col("day").dt.truncate(every))  # lazily: exports are long
    summed = (
        dated.filter(pl.col("at") < end).group_by("series", "at").agg(sold=pl.col("sold").sum().clip(0.0)).collect()
    )
    if summed.is_empty():
        return pl.DataFrame(schema={who: pl.String, when: pl.String, what: pl.Float64})
    begun = summed.group_by("series").agg(pl.col("at").min())
    known = begun.with_columns(pl.date_ranges("at", pl.lit(end), every, closed="left").alias("at")).explode("at")
    filled = known.join(summed, on=["series", "at"], how="left").with_columns(pl.col("sold").fill_null(0.0))
    spelled = pl.col("at").dt.strftime(spelling).alias(when)
    made = filled.sort("series", "at").select(pl.col("series").alias(who), spelled, pl.col("sold").alias(what))
    if "family" not in lines.columns:
        return made
    newest = lines.drop_nulls("family").sort("day", maintain_order=True).group_by("series").agg(pl.col("family").last())
    return made.join(newest.rename({"series": who}), on=who, how="left", maintain_order="left")


def _periods(schema: TableSchema) -> tuple[str, str]:
    """(length of a period, how it is spelled)."""
    return ("1w", "%Y-%m-%d") if schema.options.get("season") == 52 else ("1mo", "%Y-%m")


def with_offers(rows: pl.DataFrame, tables: Mapping[str, pl.DataFrame], schema: TableSchema) -> pl.DataFrame:
    """`rows` of `by_period` with what `promotions` (`series`, `begins`, `ends`) and `prices` (`series`, `begins`,
    `price`) say, and rows without sales of the periods to come; as they are if there is neither table."""
    if rows.is_empty() or not {"promotions", "prices"} & set(tables):
        return rows
    who, when = schema.one("id").name, schema.one("period").name
    every, spelling = _periods(schema)
    read = pl.concat_str(when, pl.lit("-01" if every == "1mo" else "")).str.to_date("%Y-%m-%d")
    first, last = rows.select(read.min().alias("first"), read.max().alias("last")).row(0)
    ahead = pl.date_range(last, pl.lit(last).dt.offset_by(f"{schema.options['horizon']}{every[1:]}"), every, eager=True)
    coming = rows.select(pl.col(who).unique(maintain_order=True)).join(
        pl.DataFrame({when: ahead[1:].dt.strftime(spelling)}), how="cross"
    )
    whole = pl.concat([rows, coming], how="diagonal").sort(who, when).with_columns(at=read)
    until = pl.Series([ahead[-1]]).dt.offset_by(every).item() - timedelta(days=1)
    length = (pl.col("at").dt.offset_by(every) - pl.col("at")).dt.total_days()
    if "promotions" in tables:
        days = _days(tables["promotions"], first, until, every).unique(["series", "day"])
        found = (
            days.group_by("series", "at").agg(promotion=pl.len()).with_columns(promotion=pl.col("promotion") / length)
        )
        whole = _beside(whole, found, who).with_columns(pl.col("promotion").fill_null(0.0))
    if "prices" in tables:
        newest = tables["prices"].unique(["series", "begins"], keep="last").sort("series", "begins")
        ends = pl.col("begins").shift(-1).over("series").dt.offset_by("-1d").fill_null(until)
        days = _days(newest.with_columns(ends=ends), first, until, every)
        whole = _beside(whole, days.group_by("series", "at").agg(pl.col("price").mean()), who)
    return whole.drop("at")


def _days(spans: pl.DataFrame, first: date, last: date, every: str) -> pl.DataFrame:
    """A row a day from `begins` to `ends`, from `first` to `last` at most, with the period that it lies `at`."""
    inside = spans.filter(pl.col("begins") <= last, pl.col("ends") >= first).with_columns(
        day=pl.date_ranges(pl.max_horizontal("begins", pl.lit(first)), pl.min_horizontal("ends", pl.lit(last)))
    )
    return inside.explode("day").with_columns(at=pl.col("day").dt.truncate(every))


def _beside(rows: pl.DataFrame, found: pl.DataFrame, who: str) -> pl.DataFrame:
    return rows.join(found.rename({"series": who}), on=[who, "at"], how="left", maintain_order="left")
