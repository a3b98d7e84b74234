"""The rule `own-bill-unpaid-90-days/1`: which months of a member teach, and how each of them ended.

Nobody states a distress. It is there in the first month at whose end one of the member's own bills has been unpaid for
more than 90 days after it was due: the day on which its suppliers' books call it a default
(`receivable-unpaid-90-days/1`). A month teaches if it lies before that one and the books cover the six months after it.
A member is one unit, so its months may depend on each other, and on nothing else.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import TableSchema

RULE = "own-bill-unpaid-90-days/1"
OVERDUE = "own_overdue_days"  # the rule reads it, no model does
GRACE_DAYS, HORIZON = 90, 6
_NEVER = 1 << 40


def ratios(schema: TableSchema) -> TableSchema:
    """The table without the column by which a distress is known: what a model sees. Malformed if the schema names
    another rule or unit: of a finer one, all rows together would move a sum by more than its plan says."""
    if (schema.rule, schema.unit) != (RULE, "member"):
        raise Malformed(
            N_("warning does not know the rule {rule} for the unit {unit}"),
            why=N_("it knows {known} for the unit member"),
            do=N_("publish an agreement with the table that ships with the task"),
            rule=schema.rule,
            unit=schema.unit,
            known=RULE,
        )
    return schema.model_copy(update={"columns": tuple(c for c in schema.columns if c.name != OVERDUE)})


def teaching(frame: pl.DataFrame, schema: TableSchema) -> pl.DataFrame:
    """Months whose six months after are known, with `distressed` 1 where the distress lies among those."""
    month = _numbers(frame, schema)
    first = month[_is_late(frame)].min(initial=_NEVER)
    known = (month < first) & (month + HORIZON <= month.max(initial=0))
    will = pl.Series("distressed", (first - month <= HORIZON).astype(np.float64))
    return frame.with_columns(will).filter(pl.Series(known, dtype=pl.Boolean))


def present(frame: pl.DataFrame, schema: TableSchema) -> pl.DataFrame:
    """Months to be served, the newest first: those at whose end no bill is so long unpaid."""
    sound = frame.filter(pl.Series(~_is_late(frame), dtype=pl.Boolean))
    return sound[np.argsort(-_numbers(sound, schema), kind="stable")]


def _is_late(frame: pl.DataFrame) -> np.ndarray:
    late: np.ndarray = frame[OVERDUE].cast(pl.Float64).to_numpy() > GRACE_DAYS  # not so where it is no number
    return late


def _numbers(frame: pl.DataFrame, schema: TableSchema) -> np.ndarray:
    """Months since year 0, `(rows,)`; a day counts as its month."""
    texts = frame[schema.one("period").name].to_list()
    return np.array([int(text[:4]) * 12 + int(text[5:7]) for text in texts], dtype=np.int64)
