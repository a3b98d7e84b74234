"""The rule `sales-lines/1`: a product's sales by month (or week), from the lines of a member's deliveries or invoices.

A line counts in the period of its day, whenever it was posted. A negative line is a correction and counts in the
period of its own day: carried back to the sale that it corrects it would tell the past what nobody knew then. A period
below zero counts as zero, a period without a line as zero from the product's first sale on. Only whole periods count:
the one in which the books were closed is left out unless it ends on that day, and so is the first one of all unless the
books begin in its first week.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from engine.table import TableSchema

RULE = "sales-lines/1"
_FIRST_DAYS = 7


def by_period(lines: pl.DataFrame, schema: TableSchema, closed_on: date) -> pl.DataFrame:
    """Rows of the schema's columns from `lines` with `series`, `day`, `sold` and perhaps `family`; sorted by series and
    period. A series is in the family that its newest line names."""
    who, when, what = (schema.one(kind).name for kind in ("id", "period", "number"))
    every = "1w" if schema.options.get("season") == 52 else "1mo"
    end = pl.Series([closed_on + timedelta(days=1)]).dt.truncate(every).item()
    first = lines.lazy().select(pl.col("day").min()).collect().item()
    if first is None or first >= end:
        return pl.DataFrame(schema={who: pl.String, when: pl.String, what: pl.Float64})
    start = pl.Series([first]).dt.truncate(every).item()
    if (first - start).days >= _FIRST_DAYS:
        start = pl.Series([start]).dt.offset_by(every).item()
    dated = lines.lazy().select("series", "sold", at=pl.col("day").dt.truncate(every))  # lazily: exports are long
    whole = dated.filter(pl.col("at").is_between(start, end, closed="left"))
    summed = whole.group_by("series", "at").agg(sold=pl.col("sold").sum().clip(0.0)).collect()
    begun = summed.group_by("series").agg(pl.col("at").min())
    known = begun.with_columns(pl.date_ranges("at", pl.lit(end), every, closed="left").alias("at")).explode("at")
    filled = known.join(summed, on=["series", "at"], how="left").with_columns(pl.col("sold").fill_null(0.0))
    spelled = pl.col("at").dt.strftime("%Y-%m" if every == "1mo" else "%Y-%m-%d")
    made = filled.sort("series", "at").select(
        pl.col("series").alias(who), spelled.alias(when), pl.col("sold").alias(what)
    )
    if "family" not in lines.columns:
        return made
    newest = lines.drop_nulls("family").sort("day", maintain_order=True).group_by("series").agg(pl.col("family").last())
    return made.join(newest.rename({"series": who}), on=who, how="left", maintain_order="left")
