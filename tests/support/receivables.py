"""Risk tables from rules that models can learn: a receivables ledger in the shipped columns, and
a small table of its own."""

import numpy as np
import polars as pl

from engine.table import Column, TableSchema

CLIENTS = TableSchema(
    format="mengbang-table/1",
    task="risk",
    dataset="clients",
    file="clients.csv",
    unit="counterparty",
    purpose="research",
    row_meaning="a client",
    max_units=5000,
    max_rows_per_unit=1,
    columns=(
        Column(name="counterparty", aliases=("客户",), kind="id"),
        Column(name="overdue_share", aliases=("逾期占比",), kind="number"),
        Column(name="order_trend", aliases=("趋势",), kind="number", low="-1", missing="flag"),
        Column(name="defaulted", aliases=("违约",), kind="label"),
    ),
)


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


def clients(rows, seed=0):
    """`rows` clients under the aliases of CLIENTS."""
    random = np.random.default_rng(seed)
    share, trend = random.beta(1, 4, rows), random.uniform(-1, 1, rows)
    chance = 1 / (1 + np.exp(-(6 * share - 1.5 * trend - 3)))
    return pl.DataFrame(
        {
            "客户": [f"K{i:04d}" for i in range(rows)],
            "逾期占比": share.round(4),
            "趋势": trend.round(4),
            "违约": (random.random(rows) < chance).astype(int),
        }
    )
