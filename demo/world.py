"""A simulated industry cluster: demand, orders, invoices, payments and defaults whose truth is known.

Deterministic by seed, NumPy and Polars only. Every number is drawn from a mechanism: the market moves,
firms come under stress, stressed firms pay late and order less, and some of them default.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

MONTHS = 36
HORIZON = 6
SPRING = {2021: 2, 2022: 2, 2023: 1, 2024: 2, 2025: 1}  # month of the Spring Festival


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes: customers and product series of the largest member; the smallest has about a third."""

    customers: int
    series: int


PRESETS = {"tiny": Preset(150, 12), "demo": Preset(900, 130)}
NAMES = (
    "恒锐机械",
    "华岭铸造",
    "新桥精工",
    "远达热处理",
    "宏图装配",
    "博力模具",
    "金川锻压",
    "同盛轴承",
    "长风液压",
    "安泰齿轮",
    "旭日紧固件",
    "南岭焊材",
)


@dataclass(frozen=True, slots=True)
class World:
    """Monthly arrays `(firms, months)` of all customer firms, and the market `(months,)`."""

    market: np.ndarray
    stress: np.ndarray
    default_month: np.ndarray  # -1: never


@dataclass(frozen=True, slots=True)
class MemberData:
    """What one member's own systems hold."""

    name: str
    receivables: pl.DataFrame
    sales: pl.DataFrame
    invoices: pl.DataFrame
    payments: pl.DataFrame


def simulate(firms: int, rng: np.random.Generator) -> World:
    """Market AR(1), firm stress AR(1) with a common part, default as a monthly hazard of stress."""
    market = _walk(rng, MONTHS + HORIZON, 0.85, 0.25)
    own = np.stack([_walk(rng, MONTHS + HORIZON, 0.93, 0.35) for _ in range(firms)])
    stress = own + rng.normal(0, 0.8, (firms, 1)) - 0.6 * market
    hazard = 1 / (1 + np.exp(-(1.9 * stress - 7.4)))
    fails = rng.random(stress.shape) < hazard
    fails[:, : MONTHS // 3] = False  # firms that had failed before are no customers
    first = np.where(fails.any(1), fails.argmax(1), -1)
    return World(market, stress, first)


def _walk(rng: np.random.Generator, length: int, keep: float, shock: float) -> np.ndarray:
    path = np.zeros(length)
    path[0] = rng.normal(0, shock / np.sqrt(1 - keep**2))
    for t in range(1, length):
        path[t] = keep * path[t - 1] + rng.normal(0, shock)
    return path


def ledger(world: World, firms: np.ndarray, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Invoices and payments of a member's customers. Paid months after issue follow the customer's stress;
    a defaulted customer pays nothing any more."""
    rows, paid = [], []
    for firm in firms:
        size = float(np.exp(rng.normal(9, 0.9)))
        start = int(rng.integers(0, MONTHS // 2))
        for month in range(start, MONTHS):
            failed = world.default_month[firm]
            if 0 <= failed <= month or rng.random() < 0.25 / (1 + np.exp(-(world.stress[firm, month] - 1))):
                continue
            number = f"{firm:05d}-{month:02d}"
            amount = size * float(
                np.exp(0.2 * world.market[month] - 0.25 * world.stress[firm, month] + rng.normal(0, 0.3))
            )
            rows.append((number, f"C{firm:05d}", month, month + 2, round(amount, 2)))
            delay = 1 + max(0.0, rng.normal(0.6 + 0.9 * world.stress[firm, month], 0.7))
            if failed < 0 or month + delay < failed:
                paid.append((number, month + delay, round(amount, 2)))
    invoices = pl.DataFrame(rows, schema=["invoice", "counterparty", "issued", "due", "amount"], orient="row")
    return invoices, pl.DataFrame(paid, schema=["invoice", "paid", "amount"], orient="row")


def receivables(
    world: World, firms: np.ndarray, invoices: pl.DataFrame, payments: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """One row a customer, seen at a month of its own in the last two years: what the seller's ledger shows then,
    and whether the customer defaulted within six months after."""
    open_book = invoices.join(payments.rename({"amount": "got"}), on="invoice", how="left")
    whole = float(invoices["amount"].sum()) / MONTHS
    seen = {f"C{f:05d}": int(rng.integers(MONTHS - 20, MONTHS)) for f in firms}
    out = []
    for (name,), book in open_book.group_by("counterparty", maintain_order=True):
        at, failed = seen[str(name)], int(world.default_month[int(str(name)[1:])])
        past = book.filter(pl.col("issued") <= at)
        if past.height < 3 or 0 <= failed <= at:
            continue
        out.append((str(name), *_features(past, at, whole, rng), int(at < failed <= at + HORIZON)))
    columns = [
        "counterparty",
        "months_known",
        "exposure_share",
        "overdue_share",
        "mean_delay_days",
        "delay_trend",
        "order_trend",
        "order_gap_months",
        "defaulted",
    ]
    return pl.DataFrame(out, schema=columns, orient="row")


def _features(past: pl.DataFrame, at: int, whole: float, rng: np.random.Generator) -> tuple[float | None, ...]:
    issued, due, amount = (past[c].to_numpy().astype(float) for c in ("issued", "due", "amount"))
    paid = past["paid"].to_numpy().astype(float)
    unpaid = ~(paid <= at)
    delay = np.where(unpaid, at - due, paid - due) * 30.0
    owed = float(amount[unpaid].sum())
    overdue = float(amount[unpaid & (due < at)].sum())
    recent, before = amount[issued > at - 6].sum(), amount[(issued <= at - 6) & (issued > at - 12)].sum()
    trend = float((recent - before) / (recent + before)) if before > 0 else None
    later, earlier = delay[issued > at - 6], delay[issued <= at - 6]
    change = float(later.mean() - earlier.mean()) if len(later) and len(earlier) else None
    noise = float(rng.normal(0, 2))
    return (
        float(at - issued.min()),
        min(owed / whole, 1.0),
        overdue / owed if owed else 0.0,
        float(delay.mean()) + noise,
        change,
        trend,
        float(at - issued.max()),
    )


def sales(world: World, series: int, rng: np.random.Generator) -> pl.DataFrame:
    """Monthly sales of a member's products: level, trend, season, Spring Festival, the market, noise; some start late."""
    rows = []
    for number in range(series):
        level, trend = np.exp(rng.normal(10, 0.8)), rng.normal(0, 0.006)
        phase, depth = rng.uniform(0, 12), abs(rng.normal(0.12, 0.05))
        start = int(rng.integers(0, 8)) if rng.random() < 0.25 else 0
        for t in range(start, MONTHS):
            year, month = 2022 + t // 12, t % 12 + 1
            festival = -0.22 if month == SPRING.get(year) else 0.0
            log_sales = trend * t + depth * np.sin(2 * np.pi * (t + phase) / 12) + 0.25 * world.market[t] + festival
            if rng.random() > 0.01:  # a month that was not booked
                rows.append(
                    (
                        f"P{number:03d}",
                        f"{year}-{month:02d}",
                        round(float(level * np.exp(log_sales + rng.normal(0, 0.09))), 2),
                    )
                )
    return pl.DataFrame(rows, schema=["series", "period", "sales"], orient="row")


def build(members: int, preset: str = "demo", seed: int = 7) -> tuple[World, list[MemberData]]:
    """The world, and each member's own books."""
    rng, sizes = np.random.default_rng(seed), PRESETS[preset]
    counts = [int(sizes.customers * (1 - 0.66 * i / max(1, members - 1))) for i in range(members)]
    world = simulate(sum(counts), rng)
    listed, first = [], 0
    for number, count in enumerate(counts):
        firms = np.arange(first, first + count)
        invoices, payments = ledger(world, firms, rng)
        books = receivables(world, firms, invoices, payments, rng)
        products = sales(world, max(8, sizes.series * count // sizes.customers), rng)
        listed.append(MemberData(NAMES[number % len(NAMES)], books, products, invoices, payments))
        first += count
    return world, listed


_CHINESE = {
    "counterparty": "客户编码",
    "months_known": "合作月数",
    "exposure_share": "应收占比",
    "overdue_share": "逾期占比",
    "mean_delay_days": "平均付款延迟天数",
    "delay_trend": "延迟变化天数",
    "order_trend": "订单趋势",
    "order_gap_months": "停单月数",
    "defaulted": "违约",
    "series": "产品编码",
    "period": "月份",
    "sales": "销售额",
}


def write(folder: Path, members: int, preset: str = "demo", seed: int = 7) -> list[tuple[str, Path]]:
    """Write a folder a member as such firms have them: half in Chinese and GB18030, one UTF-8 with BOM. The truth
    goes beside them, never into them. Returns (name, folder) of each member."""
    world, listed = build(members, preset, seed)
    written = []
    for number, member in enumerate(listed):
        home = folder / f"member-{number + 1:02d}"
        home.mkdir(parents=True, exist_ok=True)
        encoding = "gb18030" if number % 2 else ("utf-8-sig" if number == 2 else "utf-8")
        for name, frame in (("receivables.csv", member.receivables), ("sales.csv", member.sales)):
            shown = frame.rename({c: _CHINESE[c] for c in frame.columns}) if number % 2 else frame
            (home / name).write_text(shown.write_csv(), encoding=encoding, newline="")
        written.append((member.name, home))
    truth = folder / "truth"
    truth.mkdir(exist_ok=True)
    pl.DataFrame(
        {
            "firm": np.arange(len(world.default_month)),
            "default_month": world.default_month,
            "mean_stress": world.stress.mean(1),
        }
    ).write_csv(truth / "firms.csv")
    pl.DataFrame({"month": np.arange(len(world.market)), "market": world.market}).write_csv(truth / "market.csv")
    return written
