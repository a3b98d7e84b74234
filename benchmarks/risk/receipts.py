"""What missing, unreadable and short receipts do to the share of defaulted customers, and who is left out for them.

    python -m benchmarks.risk.receipts --seeds 3

The books are those of the simulated cluster (demo/world.py), whose truth is known: receipts of a share of the
lines are taken out, spoilt, or made smaller. `before` is the rule without a look at the receipts, `after` what a
node makes of the files; `worst` is the largest distance of one member's books from its own truth. All shares are
in per cent of rows that teach.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.tables import publish
from client_node.data.mapping import FILE
from client_node.data.member_table import read_table
from client_node.data.suggestions import suggest, to_toml
from demo.world import CLOSED, MemberData, build
from engine.risk.books import training
from engine.table import shipped

RATES = (0.0, 0.005, 0.01, 0.03, 0.05)
RISK = shipped("engine.risk")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares of defaulted rows, and how many of how many customers were left out as doubtful."""

    truth: float
    before: float
    after: float
    left_out: int
    customers: int


def spoilt(payments: pl.DataFrame, kind: str, rate: float, seed: int) -> pl.DataFrame:
    """Receipts as text, of which a share is missing, unreadable (day, amount or number) or
    short (discount, fee, part)."""
    random = np.random.default_rng(seed)
    hit, how = random.random(len(payments)) < rate, random.integers(0, 3, len(payments))
    kept = np.choose(how, [0.98, 0.95, random.uniform(0.1, 0.97, len(payments))])
    rows = payments.with_columns(hit=pl.Series(hit), how=pl.Series(how), kept=pl.Series(kept))
    if kind == "missing":
        return rows.filter(~pl.col("hit")).select(pl.col("invoice", "paid", "amount").cast(pl.String))
    if kind == "short":
        short = pl.when("hit").then((pl.col("amount") * pl.col("kept")).round(2)).otherwise("amount")
        return rows.select("invoice", pl.col("paid").cast(pl.String), short.cast(pl.String).alias("amount"))
    torn = {"invoice": "预收款", "paid": "2024-02-30", "amount": "#VALUE!"}
    return rows.select(
        pl.when(pl.col("hit") & (pl.col("how") == number))
        .then(pl.lit(text))
        .otherwise(pl.col(name).cast(pl.String))
        .alias(name)
        for number, (name, text) in enumerate(torn.items())
    )


def measured(member: MemberData, kind: str, rate: float, seed: int) -> Outcome:
    """One member's books, spoilt, read by its node."""
    receipts = spoilt(member.payments, kind, rate, seed)
    read = receipts.with_columns(
        pl.col("paid").str.to_date(strict=False), pl.col("amount").cast(pl.Float64, strict=False)
    )
    books = {"invoices": member.invoices, "payments": read.drop_nulls()}
    with tempfile.TemporaryDirectory() as place:
        data, home = Path(place) / "data", Path(place) / "home"
        data.mkdir(), home.mkdir()
        member.invoices.write_csv(data / "invoices.csv"), receipts.write_csv(data / "payments.csv")
        said = to_toml([suggest(data, RISK)], [RISK]).splitlines()
        lines = [f"closed_on = {CLOSED}" if line.startswith("closed_on") else line for line in said]
        (home / FILE).write_text("\n".join(lines), encoding="utf-8")
        table = read_table(data, RISK, key=b"k", home=home)
    whole = {"invoices": member.invoices, "payments": member.payments}
    return Outcome(
        _share(training(whole, RISK, CLOSED)),
        _share(training(books, RISK, CLOSED)),
        _share(table.training),
        len({doubt.customer for doubt in table.doubts if doubt.whole}),
        member.invoices["counterparty"].n_unique(),
    )


def _share(rows: pl.DataFrame) -> float:
    return 100 * float(rows["defaulted"].mean() or 0.0)  # type: ignore[arg-type]


def outcomes(kind: str, rate: float, seeds: range, members: int, preset: str) -> Iterator[Outcome]:
    """Of the members of several clusters."""
    for seed in seeds:
        for number, member in enumerate(build(members, preset, seed)[1]):
            yield measured(member, kind, rate, 100 * seed + number)


def line(kind: str, rate: float, found: list[Outcome]) -> dict[str, object]:
    """One row of the table: means over members, the worst of them, customers left out."""
    truth, before, after = (
        float(np.mean([getattr(one, name) for one in found])) for name in ("truth", "before", "after")
    )
    out = sum(one.left_out for one in found) / sum(one.customers for one in found)
    return {
        "receipts": kind,
        "rate %": 100 * rate,
        "truth": round(truth, 2),
        "before": round(before, 2),
        "after": round(after, 2),
        "worst": round(max(abs(one.after - one.truth) for one in found), 2),
        "left out %": round(100 * out, 1),
    }


def main() -> None:
    """Print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--preset", default="demo")
    said = parser.parse_args()
    table = [
        line(kind, rate, list(outcomes(kind, rate, range(7, 7 + said.seeds), said.members, said.preset)))
        for kind in ("missing", "unreadable", "short")
        for rate in RATES
    ]
    notes = [
        (
            "Simulated books (demo/world.py). Per cent of rows that teach; means over members, the worst of them, "
            "customers left out."
        )
    ]
    publish("receipts", "Receipts that are missing, unreadable or short", {"Share of defaulted rows": table}, notes)


if __name__ == "__main__":
    main()
