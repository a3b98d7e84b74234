"""What a customer's receipts leave open, before the rule of `engine.risk.books` sees them.

A receipt that is missing, unreadable or short makes a defaulter of a customer that paid. What the books say otherwise
is put right: receipts of several invoices, red letters, discounts within the member's tolerance. What stays unclear
makes a customer doubtful: one with a doubtful invoice in the year up to its newest one teaches nothing; an older
doubtful invoice is set aside alone, since to leave out whoever has a long history would leave defaulters over.
Everything follows from that customer's own documents, from receipts that may be its own, and from the closing day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from engine.risk.books import GRACE_DAYS, HORIZON_DAYS, PAID
from engine.task import SEVERAL, Received, Settled

_YEAR, _HALF, _FEW_MONTHS, _ROUNDING = timedelta(days=365), 0.5, 6, 0.005
_RATES, _EARLY = 1.25, timedelta(days=200)  # what rates of a currency differ by in the years of the books; a slip's
_WHOSE = ["counterparty", "invoice"]


def settle(
    tables: Mapping[str, pl.DataFrame], unsure: pl.DataFrame, closed_on: date, tolerance: float, unpaid: tuple[str, ...]
) -> Settled:
    """The tables as the rule shall see them, and the doubts: `counterparty`, `invoice`, `row`, `rule`, `whole`.

    `unsure` are receipts that were left out, with what could be read of them: `invoice` (null: none that is there),
    `paid`, `amount`, `counterparty`. `tolerance` is the share by which a receipt may fall short; `unpaid` are invoices
    that the member knows to be unpaid."""
    payments, unclear = _split(tables["invoices"], tables["payments"])
    invoices, credits = _credited(_reversed(tables["invoices"], payments), payments)
    payments = _forgiven(invoices, payments, tolerance)
    state = _state(invoices, payments)
    told = [
        _named(state, pl.concat([_references(unsure), unclear, _beyond(state)]), "receipt-faulty"),
        _unmatched(state, unsure),
        _other_unit(state, closed_on),
        _short(state, closed_on),
        _missing(state, closed_on),
        _named(state, credits, "credit-unclear"),
        _early(state),
    ]
    doubts = pl.concat(told).unique(_WHOSE, keep="first", maintain_order=True)
    doubts = doubts.filter(~pl.col("invoice").is_in(unpaid)).sort("row", "counterparty")
    newest = invoices.group_by("counterparty").agg(newest=pl.col("issued").max())
    doubts = doubts.join(newest, on="counterparty", how="left", maintain_order="left")
    doubts = doubts.with_columns(whole=(pl.col("issued") > pl.col("newest") - _YEAR)).drop("newest", "issued")
    out = doubts.filter("whole").select("counterparty").unique()
    left = invoices.join(out, on="counterparty", how="anti").join(doubts, on=_WHOSE, how="anti")
    return Settled({**tables, "invoices": left, "payments": payments}, doubts)


def _split(invoices: pl.DataFrame, payments: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Receipts of several invoices as one line each, and the invoices whose sum such a receipt does not fit."""
    several = payments.filter(pl.col("invoice").str.contains(SEVERAL))
    if several.is_empty():
        return payments, pl.DataFrame(schema={"invoice": pl.String})
    single = payments.join(several, on="row", how="anti")
    got = dict(single.group_by("invoice").agg(pl.col("amount").sum()).rows())
    owed = dict(invoices.group_by("invoice").agg(pl.col("amount").max()).rows())
    parts, unclear = [], set()
    for receipt in several.sort("paid", "row").rows(named=True):
        named = receipt["invoice"].split(SEVERAL)
        left = {name: max(owed.get(name, 0.0) - got.get(name, 0.0), 0.0) for name in named}
        if abs(receipt["amount"] - sum(left.values())) > (1 - PAID) * abs(receipt["amount"]):
            unclear |= set(named)
        for name, amount in _shared(left, receipt["amount"]):
            parts.append(receipt | {"invoice": name, "amount": amount})
            got[name] = got.get(name, 0.0) + amount
    made = pl.concat([single, pl.DataFrame(parts, schema=payments.schema, orient="row")])
    return made, pl.DataFrame({"invoice": sorted(unclear)}, schema={"invoice": pl.String})


def _shared(left: Mapping[str, float], amount: float) -> Iterator[tuple[str, float]]:
    """One after another as they are named; the last one takes what is over."""
    *first, last = left
    for name in first:
        part = min(left[name], amount)
        amount -= part
        yield name, part
    yield last, amount


def _reversed(invoices: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Without red letters of a whole invoice that is open, and without that invoice: the oldest of the open ones.
    Others are the rule's, which takes the oldest of all."""
    state = _state(invoices, payments)
    nth = pl.int_range(pl.len()).over("counterparty", "size")
    letters = invoices.filter(pl.col("amount") < 0).with_columns(size=-pl.col("amount")).sort("issued", "invoice")
    fits = state.filter("is_open").with_columns(size=pl.col("amount")).sort("issued", "invoice")
    pairs = letters.with_columns(nth=nth).join(fits.with_columns(nth=nth), on=["counterparty", "size", "nth"])
    pairs = pairs.filter(pl.col("issued_right") <= pl.col("issued"))
    gone = pl.concat([pairs["row"], pairs["row_right"]])
    return invoices.filter(~pl.col("row").is_in(gone.implode()))


def _credited(invoices: pl.DataFrame, payments: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Invoices less the red letters of a part of them, and those among which a letter could not be placed. A letter
    belongs to an invoice that it leaves paid in full; it is unclear where one is paid in part and short of more."""
    sizes = invoices.filter(pl.col("amount") > 0).select("counterparty", amount=-pl.col("amount"))
    letters = invoices.filter(pl.col("amount") < 0).join(sizes, on=["counterparty", "amount"], how="anti")
    begun = _state(invoices, payments).filter(pl.col("is_open") & (pl.col("got") > 0))
    left = {row["row"]: row for row in begun.join(letters, on="counterparty", how="semi").rows(named=True)}
    less: dict[int, float] = {}
    unclear: list[str] = []
    for letter in letters.sort("issued", "row").rows(named=True) if left else []:
        among = [one for one in left.values() if _may_be_of(letter, one)]
        exact = [one for one in among if abs(one["short"] + letter["amount"]) <= (1 - PAID) * one["amount"]]
        for one in exact[:1]:
            less[one["row"]] = left.pop(one["row"])["short"]
        unclear += [] if exact else [one["invoice"] for one in among]
    taken = pl.DataFrame({"row": list(less), "less": list(less.values())}, schema={"row": pl.Int64, "less": pl.Float64})
    made = invoices.join(taken, on="row", how="left", maintain_order="left")
    made = made.with_columns(amount=pl.col("amount") - pl.col("less").fill_null(0.0)).drop("less")
    return made, pl.DataFrame({"invoice": unclear}, schema={"invoice": pl.String})


def _may_be_of(letter: Mapping[str, Any], invoice: Mapping[str, Any]) -> bool:
    """Is it of the same customer, not older, and not larger than what is open?"""
    is_later = letter["counterparty"] == invoice["counterparty"] and letter["issued"] >= invoice["issued"]
    return bool(is_later and -PAID * letter["amount"] <= invoice["short"])


def _forgiven(invoices: pl.DataFrame, payments: pl.DataFrame, tolerance: float) -> pl.DataFrame:
    """Receipts, and what a discount or a bank's fee kept back of an invoice, as received with its last one."""
    least = (1 - tolerance) * pl.col("amount")
    kept = _state(invoices, payments).filter(pl.col("is_open") & (pl.col("got") >= least - _ROUNDING))
    lines = kept.select("invoice", paid="last", amount="short").unique("invoice")
    return pl.concat([payments, lines], how="diagonal") if len(lines) else payments


def _state(invoices: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Each invoice that is none of credit with what it `got`, by when, what it is `short` of, whether it `is_open`, and
    whether a receipt that came in was `taken_back`, so that it is known to be unpaid."""
    got = payments.group_by("invoice").agg(
        got=pl.col("amount").sum(), last=pl.col("paid").max(), taken_back=(pl.col("amount") < 0).any()
    )
    got = got.with_columns(taken_back=pl.col("taken_back") & (pl.col("got") >= -_ROUNDING))
    made = invoices.filter(pl.col("amount") > 0).join(got, on="invoice", how="left", maintain_order="left")
    made = made.with_columns(pl.col("got").fill_null(0.0), pl.col("taken_back").fill_null(False))
    return made.with_columns(short=pl.col("amount") - pl.col("got"), is_open=pl.col("got") < PAID * pl.col("amount"))


def _told(invoices: pl.DataFrame, rule: str) -> pl.DataFrame:
    return invoices.select(*_WHOSE, "row", "issued", rule=pl.lit(rule))


def _references(unsure: pl.DataFrame) -> pl.DataFrame:
    """The invoices that receipts name which were left out."""
    return unsure.drop_nulls("invoice").select(pl.col("invoice").str.split(SEVERAL)).explode("invoice").unique()


def _beyond(state: pl.DataFrame) -> pl.DataFrame:
    """The invoices of which more was taken back than came in: a sign that means something
    else, or a receipt is missing."""
    return state.filter(pl.col("got") < -_ROUNDING).select("invoice")


def _named(state: pl.DataFrame, which: pl.DataFrame, rule: str) -> pl.DataFrame:
    """Those that are open without the receipt in question."""
    return _told(state.filter("is_open").join(which, on="invoice", how="semi"), rule)


def _unmatched(state: pl.DataFrame, unsure: pl.DataFrame) -> pl.DataFrame:
    """Open invoices that a receipt without a number may have paid, by its customer or by its exact amount, unless it
    came in long before them; and those that a customer paid with what stands at another invoice of its own."""
    lone = unsure.filter(pl.col("invoice").is_null()).select("counterparty", cents=_cents("amount"), then="paid")
    is_open = state.filter("is_open").with_columns(cents=_cents("short"))
    near = pl.col("then").is_null() | (pl.col("then") > pl.col("issued") - timedelta(days=HORIZON_DAYS))
    theirs = is_open.join(lone.drop_nulls("counterparty").drop("cents"), on="counterparty").filter(near)
    nobodys = lone.filter(pl.col("counterparty").is_null()).drop_nulls("cents").drop("counterparty")
    exact = is_open.join(nobodys, on="cents").filter(near)
    over = state.filter(pl.col("got") > (2 - PAID) * pl.col("amount")).group_by("counterparty")
    beyond = is_open.join(over.agg(over=-pl.col("short").sum()), on="counterparty")
    beyond = beyond.filter(pl.col("over") >= PAID * pl.col("short"))
    return pl.concat([_told(each, "receipt-unmatched") for each in (theirs, exact, beyond)])


def _cents(name: str) -> pl.Expr:
    return (pl.col(name) * 100).round().cast(pl.Int64)


def _failed(state: pl.DataFrame, closed_on: date) -> pl.DataFrame:
    return state.filter(pl.col("is_open") & ~pl.col("taken_back") & (_limit() <= closed_on))


def _limit() -> pl.Expr:
    return pl.col("due") + timedelta(days=GRACE_DAYS)


def _short(state: pl.DataFrame, closed_on: date) -> pl.DataFrame:
    """Who paid most of an invoice is seldom one that pays no more."""
    return _told(_failed(state, closed_on).filter(pl.col("got") > _HALF * pl.col("amount")), "receipt-short")


def _other_unit(state: pl.DataFrame, closed_on: date) -> pl.DataFrame:
    """Open, as each invoice of which this customer paid anything, and by the same share of at most half: its receipts
    may be in another unit or currency. (A larger share is a discount or a fee: see `_short`.)"""
    begun = state.filter(pl.col("got") > _ROUNDING).with_columns(share=pl.col("got") / pl.col("amount"))
    shares = begun.group_by("counterparty").agg(n=pl.len(), low=pl.col("share").min(), high=pl.col("share").max())
    alike = shares.filter(pl.col("n") > 1, pl.col("high") <= _HALF, pl.col("high") <= _RATES * pl.col("low"))
    return _told(_failed(state, closed_on).join(alike, on="counterparty", how="semi"), "receipt-unit")


def _early(state: pl.DataFrame) -> pl.DataFrame:
    """Paid in full so long before it was issued that the day of the receipt may be of another year."""
    return _told(state.filter(~pl.col("is_open"), pl.col("last") < pl.col("issued") - _EARLY), "receipt-early")


def _missing(state: pl.DataFrame, closed_on: date) -> pl.DataFrame:
    """Unpaid, though the customer paid a later invoice after this one was due (where a part of this one came in: one of
    the half year after it); or, where nothing of it came in, though it was supplied on after the 90 days."""
    failed = _failed(state, closed_on)
    later = state.filter(~pl.col("is_open")).select("counterparty", then="issued", paid_then="last")
    between = failed.join(later, on="counterparty").filter(
        pl.col("then") > pl.col("issued"),
        pl.col("paid_then") > pl.col("due"),
        (pl.col("got") <= 0) | (pl.col("then") <= pl.col("issued") + timedelta(days=HORIZON_DAYS)),
    )
    newest = state.group_by("counterparty").agg(newest=pl.col("issued").max())
    supplied = failed.join(newest, on="counterparty").filter(pl.col("got") <= 0, pl.col("newest") > _limit())
    found = pl.concat([between.select("row"), supplied.select("row")]).unique()
    return _told(failed.join(found, on="row", how="semi"), "receipt-missing")


def received(tables: Mapping[str, pl.DataFrame], closed_on: date) -> Received:
    """What the books as a whole say of receipts. It decides about nobody's rows: those depend on
    their own customer alone."""
    payments, _unclear = _split(tables["invoices"], tables["payments"])
    state = _state(tables["invoices"], payments).filter(_limit() <= closed_on)
    due, got = state.select(pl.col("amount").sum(), pl.min_horizontal("got", "amount").sum().alias("sum")).row(0)
    return Received(got / due if due else None, _thin_months(payments, closed_on))


def _thin_months(payments: pl.DataFrame, closed_on: date) -> tuple[str, ...]:
    """Months of less than a third of the usual sum, from the first usual one up to the last whole one."""
    sums = payments.group_by(month=pl.col("paid").dt.truncate("1mo")).agg(pl.col("amount").sum()).sort("month")
    if sums.is_empty():
        return ()
    every = pl.date_range(
        sums["month"][0], (closed_on + timedelta(days=1)).replace(day=1), "1mo", closed="left", eager=True
    )
    whole = pl.DataFrame({"month": every}).join(sums, on="month", how="left", maintain_order="left")
    usual = whole.with_columns(few=pl.col("amount").fill_null(0.0) < pl.col("amount").median() / 3)
    begun = usual.filter(~pl.col("few").cum_min())
    return tuple(begun.filter("few")["month"].dt.strftime("%Y-%m")) if len(whole) >= _FEW_MONTHS else ()
