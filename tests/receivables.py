"""A receivables ledger in the columns of the shipped risk table, from a rule that models can learn."""

import numpy as np
import polars as pl


def ledger(rows, seed):
    """`rows` customers; late payers with falling orders default."""
    r = np.random.default_rng(seed)
    late, share, trend = r.gamma(1.5, 12, rows), r.beta(1, 6, rows), r.normal(0, 0.3, rows)
    logit = -5.2 + 0.05 * late + 6 * share - 2.5 * trend + r.normal(0, 0.3, rows)
    return pl.DataFrame(
        {
            "counterparty": [f"C{i:05d}" for i in range(rows)],
            "months_known": r.integers(1, 100, rows),
            "owed": r.gamma(1, 50_000, rows),
            "overdue_share": share,
            "mean_delay_days": late,
            "delay_trend": r.normal(0, 8, rows),
            "order_trend": trend.clip(-1, 1),
            "order_gap_months": r.integers(0, 5, rows),
            "defaulted": (r.random(rows) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )
