"""A simulated industry cluster: demand, orders, invoices, payments and defaults whose truth is known.

Deterministic by seed, NumPy and Polars only. Every number is drawn from a mechanism: the market moves,
firms come under stress, stressed firms pay late and order less, and some of them default.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

MONTHS = 36
FIRST = date(2022, 1, 1)
CLOSED = FIRST + timedelta(days=30 * MONTHS)
SPRING = {2021: 2, 2022: 2, 2023: 1, 2024: 2, 2025: 1}  # month of the Spring Festival


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes: customers and product series of the largest member; the smallest has about a third."""

    customers: int
    series: int


PRESETS = {"tiny": Preset(150, 12), "demo": Preset(900, 130), "region": Preset(160, 12)}  # region: for 60 members
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
    invoices: pl.DataFrame
    payments: pl.DataFrame
    sales: pl.DataFrame


def simulate(firms: int, rng: np.random.Generator) -> World:
    """Market AR(1), firm stress AR(1) with a common part, default as a monthly hazard of stress."""
    market = _walk(rng, MONTHS, 0.85, 0.25)
    own = np.stack([_walk(rng, MONTHS, 0.93, 0.35) for _ in range(firms)])
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
    """Invoices and payments of a member's customers up to the day its books are closed. How late a customer pays
    follows its stress; a defaulted customer pays nothing any more."""
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
            issued = FIRST + timedelta(days=30 * month + int(rng.integers(0, 28)))
            rows.append((number, f"C{firm:05d}", issued, issued + timedelta(days=60), round(amount, 2)))
            delay = 1 + max(0.0, rng.normal(0.6 + 0.9 * world.stress[firm, month], 0.7))
            if failed < 0 or month + delay < failed:
                day = issued + timedelta(days=int(30 * delay))
                if day < CLOSED:
                    paid.append((number, day, round(amount, 2)))
    invoices = pl.DataFrame(rows, schema=["invoice", "counterparty", "issued", "due", "amount"], orient="row")
    return invoices, pl.DataFrame(paid, schema=["invoice", "paid", "amount"], orient="row")


def sales(world: World, series: int, rng: np.random.Generator) -> pl.DataFrame:
    """Monthly sales of a member's products: level, trend, season, Spring Festival, the
    market, noise; some start late."""
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
        products = sales(world, max(8, sizes.series * count // sizes.customers), rng)
        again = number // len(NAMES)
        name = NAMES[number % len(NAMES)] + (str(again + 1) if again else "")
        listed.append(MemberData(name, invoices, payments, products))
        first += count
    return world, listed


_CHINESE = {
    "invoices": {
        "invoice": "发票号码",
        "counterparty": "客户编码",
        "issued": "开票日期",
        "due": "到期日",
        "amount": "含税金额",
    },
    "payments": {"invoice": "发票号码", "paid": "收款日期", "amount": "收款金额"},
    "sales": {"series": "产品编码", "period": "月份", "sales": "销售额"},
}
_FILES = {"invoices": "销售发票", "payments": "收款单", "sales": "sales"}


def write(folder: Path, members: int, preset: str = "demo", seed: int = 7) -> list[tuple[str, Path]]:
    """Write a folder a member as such firms have them: CSV in UTF-8, with a BOM, or in GB18030 under Chinese headings;
    every third member's books are XLSX with a title row. The truth goes beside them, never into them. Returns
    (name, folder) of each member."""
    world, listed = build(members, preset, seed)
    written = []
    for number, member in enumerate(listed):
        home = folder / f"member-{number + 1:02d}"
        home.mkdir(parents=True, exist_ok=True)
        for name, frame in (("invoices", member.invoices), ("payments", member.payments), ("sales", member.sales)):
            _write_table(home, name, frame, number)
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


def _write_table(home: Path, name: str, frame: pl.DataFrame, number: int) -> None:
    chinese = number % 3 > 0
    if name == "invoices" and chinese:
        # with a name that must never reach a model, and as the bookkeeping program writes dates
        frame = frame.with_columns(
            pl.col("issued").dt.strftime("%Y/%m/%d"), pl.concat_str(pl.lit("客户"), "counterparty").alias("客户名称")
        )
    shown = frame.rename(_CHINESE[name]) if chinese else frame
    if number % 3 == 2 and name != "sales":
        _write_sheet(home / f"{_FILES[name]}.xlsx", _FILES[name], shown)
        return
    encoding = "gb18030" if chinese else ("utf-8-sig" if number else "utf-8")
    path = home / f"{_FILES[name] if chinese else name}.csv"
    path.write_text(shown.write_csv(), encoding=encoding, newline="")


def _write_sheet(path: Path, title: str, frame: pl.DataFrame) -> None:
    """A sheet as office programs make them: one merged title over the headings."""
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet(title)
        sheet.merge_range(0, 0, 0, frame.width - 1, f"{title}明细")
        sheet.write_row(1, 0, frame.columns)
        for at, row in enumerate(frame.rows(), 2):
            sheet.write_row(at, 0, row)
