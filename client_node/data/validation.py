"""Text columns -> typed columns: every fault of every cell at once, by named rules; faulty rows are left out.

A finding names file, row, column, rule and what kind of value stood there, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from typing import Protocol

import polars as pl

from client_node.data import reading
from client_node.data.text import BEYOND, UNCLOSED
from contracts.wording import N_, filled

LARGEST = 1e12
EARLIEST, FAR_OFF = date(1990, 1, 1), timedelta(days=3653)
WHOLE_ROW = "*"
AMOUNTS = ("amount", "net", "price")  # kinds that are sums of money
PERIODS = {"period": (7, 10), "month": (7,), "week": (10,)}  # how many characters each is written with
_NUMBERS = (*AMOUNTS, "number", "optional", "label", "promotion")
_IN_VAIN = ("not-a-row", "voided", "not-chosen", "repeated")  # rules of rows that nobody misses
_TOTALS = r"(?i)^(本页|本日|本月|本年|本期)?\s*[合小总累]\s*计\s*[:：]?$|^(sub|grand )?total$"
_NOTHING = ("null", "none", "nan", "n/a", "#n/a", "-", "--", "—", "/", "无", "空", "(空)", "未知", "不详")
_UNSEEN = r"[\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff\ufffd]"

# rule -> (what is wrong, what to do)
RULES: dict[str, tuple[str, str]] = {
    "more-cells": (
        N_("more cells than headings, so that cells stand in wrong columns"),
        N_("put what holds a separator into quotation marks, or export as XLSX"),
    ),
    "unclosed": (N_("a quotation mark that is not closed"), N_("delete or close it, or export as XLSX")),
    "not-a-row": (N_("a total or headings again, not a row"), N_("nothing, if that is what it is")),
    "empty": (N_("empty"), N_("fill it in, or leave the row out")),
    "placeholder": (N_("a word that stands for nothing"), N_("write the code, or leave the row out")),
    "damaged": (
        N_("lost or unseen characters, or digits that a spreadsheet shortened"),
        N_("export again with this column as text"),
    ),
    "not-a-number": (N_("not a number"), N_("write digits only; unit and tax belong into data.toml")),
    "foreign-currency": (
        N_("not in yuan"),
        N_('give its amount in yuan, or leave it out; if it is in yuan, write currency = "" into data.toml'),
    ),
    "voided": (N_("a voided document"), N_("nothing, if it is void")),
    "not-chosen": (
        N_("not among the rows that data.toml takes"),
        N_("nothing, if that is meant; else mend `only` there"),
    ),
    "too-large": (N_("larger than any amount can be"), N_("look for shifted columns or a wrong unit")),
    "not-a-date": (
        N_("not a date"),
        N_("write it as 2025-01-31, 2025/1/31 or 2025年1月31日, with a time that exists or none"),
    ),
    "date-out-of-range": (
        N_("a date before 1990 or after the books were closed"),
        N_("mend the date, or closed_on in data.toml"),
    ),
    "deadline-far-off": (
        N_("due more than ten years after the books were closed"),
        N_("write the day that was agreed; a stand-in such as 9999-12-31 is none"),
    ),
    "not-a-period": (
        N_("not a month YYYY-MM, or in a table by week not a day YYYY-MM-DD"),
        N_("write it as 2025-01, or by week as 2025-01-06"),
    ),
    "period-out-of-range": (
        N_("before 1990, or to come although its results are filled in"),
        N_("mend the month or week; of those to come only promotions and prices are known"),
    ),
    "not-a-share": (N_("not between 0 and 1"), N_("write the share of the period's days: 0.25, not 25")),
    "not-a-price": (N_("not above zero"), N_("write the price of a piece, or leave it empty where there was none")),
    "not-0-or-1": (N_("neither 0 nor 1"), N_("write 1 for yes and 0 for no")),
    "repeated": (N_("same as an earlier row"), N_("export without repeats; the first is used")),
    "conflicting": (
        N_("the document stands here twice with different content"),
        N_("keep the right one; the first is used"),
    ),
    "due-before-issued": (N_("due before it was issued"), N_("mend one of the two dates")),
    "ends-before-it-begins": (N_("ends before it begins"), N_("mend one of the two dates")),
    "unknown-document": (
        N_("names a document that is not in the other table"),
        N_("export both tables for the same period"),
    ),
}


@dataclass(frozen=True, slots=True)
class TableFault:
    """One fault: `place` is file and sheet, `row` as a spreadsheet counts, `value` the class of what stands there."""

    place: str
    row: int
    column: str
    rule: str
    value: str

    def text(self, translate: Callable[[str], str] = str) -> str:
        """For a log or an error: no value of the member's data."""
        said = {"place": self.place, "row": self.row, "column": self.column, "fault": translate(RULES[self.rule][0])}
        return filled(translate(N_("{place} row {row}, column {column}: {fault}")), said)


class Told(Protocol):
    """What says itself in the reader's language."""

    def text(self, translate: Callable[[str], str]) -> str:
        """One line."""


def listed(findings: Sequence[Told], most: int = 5) -> Callable[[Callable[[str], str]], str]:
    """The first findings as a value of an error, in the language of whoever reads it."""
    return lambda translate: "; ".join(finding.text(translate) for finding in findings[:most])


@dataclass(frozen=True, slots=True)
class FieldKind:
    """How a kind of field is read: its checks by rule, and its typed expression from text."""

    checks: Mapping[str, Callable[[pl.Expr], pl.Expr]]
    typed: Callable[[pl.Expr], pl.Expr]


def number(text: pl.Expr) -> pl.Expr:
    """See reading.amounts."""
    return text.map_batches(reading.amounts, return_dtype=pl.Float64, is_elementwise=True)


def day(text: pl.Expr, start: date = reading.FROM_1900) -> pl.Expr:
    """See reading.days."""
    return text.map_batches(lambda texts: reading.days(texts, start), return_dtype=pl.Date, is_elementwise=True)


def identifier(text: pl.Expr) -> pl.Expr:
    """See reading.identifiers."""
    return text.map_batches(reading.identifiers, return_dtype=pl.String, is_elementwise=True)


def period(text: pl.Expr) -> pl.Expr:
    """The first day of a month YYYY-MM, or the day itself of a week; null if it is none."""
    first = pl.when(text.str.contains(r"^\d{4}-\d{2}$")).then(text + "-01").otherwise(text)
    return pl.when(first.str.contains(r"^\d{4}-\d{2}-\d{2}$")).then(first).str.to_date("%Y-%m-%d", strict=False)


def _filled(text: pl.Expr) -> pl.Expr:
    return text.is_not_null() & (text != "")


def _or_empty(holds: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: ~_filled(text).fill_null(False) | holds(text).fill_null(False)


def kinds(closed_on: date, start: date = reading.FROM_1900) -> dict[str, FieldKind]:
    """Every kind of field. A cell that is empty breaks only the rule `empty`. `start`: see reading.days."""
    when = partial(day, start=start)
    is_number = _or_empty(lambda text: number(text).is_not_null() | reading.is_abroad(text))
    is_sane = _or_empty(lambda text: number(text).is_null() | (number(text).abs() <= LARGEST))
    at_home = _or_empty(lambda text: ~reading.is_abroad(text))
    in_range = _or_empty(lambda text: when(text).is_null() | when(text).is_between(EARLIEST, closed_on))
    deadline = _or_empty(lambda text: when(text).is_null() | (when(text) >= EARLIEST))
    last = closed_on + FAR_OFF if closed_on < date.max - FAR_OFF else date.max
    near = _or_empty(lambda text: when(text).is_null() | (when(text) <= last))
    numeric = {"not-a-number": is_number, "too-large": is_sane, "foreign-currency": at_home}
    dated = {"empty": _filled, "not-a-date": _or_empty(lambda text: when(text).is_not_null())}
    label = _or_empty(lambda text: number(text).is_null() | number(text).is_in([0.0, 1.0]))
    share = _or_empty(lambda text: number(text).is_null() | number(text).is_between(0.0, 1.0))
    above = _or_empty(lambda text: number(text).is_null() | (number(text) > 0.0))
    said = _or_empty(lambda text: ~text.str.to_lowercase().is_in(_NOTHING))
    whole = _or_empty(lambda text: ~text.str.contains(_UNSEEN) & ~reading.is_shortened(text))
    name = FieldKind({"empty": _filled, "placeholder": said, "damaged": whole}, identifier)
    lies_near = _or_empty(lambda text: period(text).is_null() | period(text).is_between(EARLIEST, last))
    return {
        "document": name,
        "reference": replace(name, typed=lambda text: text),  # of several documents perhaps, told apart by blanks
        "id": name,
        "beside": FieldKind({}, lambda text: identifier(text).replace("", None)),
        "amount": FieldKind({"empty": _filled, **numeric}, number),
        "net": FieldKind({"empty": _filled, **numeric}, number),
        "number": FieldKind({"empty": _filled, **numeric}, number),
        "optional": FieldKind(numeric, number),
        "group": FieldKind({"damaged": _or_empty(whole)}, lambda text: text.replace("", None)),
        "label": FieldKind({"empty": _filled, **numeric, "not-0-or-1": label}, number),
        "promotion": FieldKind({**numeric, "not-a-share": share}, number),
        "price": FieldKind({**numeric, "not-a-price": above}, number),
        "date": FieldKind({**dated, "date-out-of-range": in_range}, when),
        "deadline": FieldKind({**dated, "date-out-of-range": deadline, "deadline-far-off": near}, when),
        **{kind: _of_periods(lies_near, lengths) for kind, lengths in PERIODS.items()},
    }


def _of_periods(lies_near: Callable[[pl.Expr], pl.Expr], lengths: tuple[int, ...]) -> FieldKind:
    spelled = _or_empty(lambda text: period(text).is_not_null() & text.str.len_chars().is_in(lengths))
    return FieldKind({"empty": _filled, "not-a-period": spelled, "period-out-of-range": lies_near}, lambda text: text)


@dataclass(frozen=True, slots=True)
class Checked:
    """Typed rows without faults, the row of the file that each stands in, all findings, and what can be read of the
    rows that were left out with the `rule` of each: their documents exist, so that a row of another table that names
    one is no fault of its own."""

    frame: pl.DataFrame
    findings: list[TableFault]
    left_out: pl.DataFrame

    def missed(self) -> pl.DataFrame:
        """Rows left out that something else may depend on."""
        return self.left_out.filter(~pl.col("rule").is_in(_IN_VAIN))


@dataclass(frozen=True, slots=True)
class RowRule:
    """Rows of which `holds` is not true of what stands in column `name`, under `heading`, are left out by `rule`."""

    name: str
    heading: str
    rule: str
    holds: Callable[[pl.Expr], pl.Expr]


@dataclass(frozen=True, slots=True)
class Columns:
    """Fields of a table: what each is (`kinds`), the heading over it, the unit of amounts that name none, day 0 of
    serial numbers, and what is asked of a row by columns that are no fields."""

    kinds: Mapping[str, str]
    headings: Mapping[str, str]
    units: Mapping[str, float] = field(default_factory=dict)
    start: date = reading.FROM_1900
    rules: tuple[RowRule, ...] = ()


class Checker:
    """Checks one table by its columns."""

    def __init__(self, place: str, heading: int, columns: Columns, closed_on: date):
        self._place, self._heading, self._columns = place, heading, columns
        self._fields, self._headings = columns.kinds, columns.headings
        self._kinds = kinds(closed_on, columns.start)

    def check(self, texts: pl.DataFrame) -> Checked:
        """All cells of `texts` `(rows, fields)` at once. Lines that say nothing are no rows; a line that
        is torn, a total, the headings again or one that is not asked for has one finding of its own,
        whatever its cells look like."""
        cells = clean(texts).with_columns(row=pl.int_range(pl.len()) + self._heading + 1)
        torn = [BEYOND] if BEYOND in texts.columns else []
        cells = cells.filter(pl.any_horizontal(_filled(pl.col(name)) for name in (*self._fields, *torn)))
        cells = cells.with_columns(rule=self._of_the_line(bool(torn)))
        aside, rows = cells.filter(pl.col("rule").is_not_null()), cells.filter(pl.col("rule").is_null())
        under = {one.rule: one.heading for one in self._columns.rules}
        told = [
            TableFault(self._place, row, under.get(rule, WHOLE_ROW), rule, "other")
            for row, rule in aside["row", "rule"].rows()
        ]
        faults = self._failures(rows)
        typed, first = self._typed(rows), {f.row: f.rule for f in reversed(faults)}
        faulty = pl.DataFrame(
            {"row": list(first), "rule": list(first.values())}, schema={"row": pl.Int64, "rule": pl.String}
        )
        left_out = pl.concat(
            [self._typed(aside).with_columns(aside["rule"]), typed.join(faulty, on="row", maintain_order="left")]
        )
        return Checked(typed.join(faulty, on="row", how="anti", maintain_order="left"), told + faults, left_out)

    def _typed(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(pl.col("row"), *(self._value(name, kind).alias(name) for name, kind in self._fields.items()))

    def _value(self, name: str, kind: str) -> pl.Expr:
        """Amounts as multiples of their column's unit, also where the cell names another one."""
        value, unit = self._kinds[kind].typed(pl.col(name)), self._columns.units.get(name, 1.0)
        return value if unit == 1.0 else pl.when(reading.names_a_unit(pl.col(name))).then(value / unit).otherwise(value)

    def _of_the_line(self, may_be_torn: bool) -> pl.Expr:
        """The rule that a line as a whole breaks, or null."""
        names = [name for name, kind in self._fields.items() if kind not in _NUMBERS]
        total = pl.any_horizontal(pl.lit(False), *(pl.col(name).str.contains(_TOTALS) for name in names))
        again = pl.any_horizontal(pl.col(name) == heading for name, heading in self._headings.items())
        no_row = pl.when(total.fill_null(False) | again.fill_null(False)).then(pl.lit("not-a-row"))
        asked = [pl.when(~one.holds(pl.col(one.name))).then(pl.lit(one.rule)) for one in self._columns.rules]
        if not may_be_torn:
            return pl.coalesce(no_row, *asked)
        torn = pl.when(pl.col(BEYOND) == UNCLOSED).then(pl.lit("unclosed"))
        more = pl.when(_filled(pl.col(BEYOND))).then(pl.lit("more-cells"))
        return pl.coalesce(torn, more, no_row, *asked)

    def _failures(self, rows: pl.DataFrame) -> list[TableFault]:
        import pandera.polars as pandera

        def holds(rule: Callable[[pl.Expr], pl.Expr]) -> Callable[..., pl.LazyFrame]:
            return lambda data: data.lazyframe.select(rule(pl.col(data.key)).fill_null(False))

        columns = {
            name: pandera.Column(
                pl.String,
                [pandera.Check(holds(check), name=rule) for rule, check in self._kinds[kind].checks.items()],
                nullable=True,
            )
            for name, kind in self._fields.items()
        }
        try:
            pandera.DataFrameSchema(columns).validate(rows.select(list(self._fields)), lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases.sort("index", "column")
            return [
                TableFault(self._place, rows["row"][int(index)], self._headings[column], rule, classify(value))
                for value, column, rule, index in cases.select("failure_case", "column", "check", "index").rows()
            ]
        return []

    def mark(self, checked: Checked, bad: pl.Expr, name: str, rule: str) -> Checked:
        """Leave out rows for which `bad` holds, as findings of `rule` at `name`."""
        wrong = checked.frame.filter(bad.fill_null(False))
        if wrong.is_empty():
            return checked
        found = [TableFault(self._place, row, self._headings[name], rule, "other") for row in wrong["row"].to_list()]
        left = checked.frame.filter(~pl.col("row").is_in(wrong["row"].to_list()))
        out = wrong.with_columns(rule=pl.lit(rule)).select(checked.left_out.columns)
        return Checked(left, checked.findings + found, pl.concat([checked.left_out, out]))


def clean(texts: pl.DataFrame) -> pl.DataFrame:
    """Without blanks around, marks by which a cell was kept as text (' and =""), and
    letters or digits of full width."""
    cells = texts.select(pl.exclude(BEYOND).str.strip_chars().str.strip_prefix("'"), pl.col(f"^{BEYOND}$"))
    if cells.select(pl.any_horizontal(pl.all().str.starts_with('="').any())).item():
        cells = cells.with_columns(pl.exclude(BEYOND).str.replace('^="(.*)"$', "$1"))
    wide = [name for name in cells.columns if cells[name].str.contains("[！-～]").any()]
    return cells.with_columns(
        pl.when(pl.col(name).str.contains("[！-～]")).then(pl.col(name).str.normalize("NFKC")).otherwise(pl.col(name))
        for name in wide
    )


def classify(value: str | None) -> str:
    """The class of a cell: empty, number, date or text."""
    if value is None or value == "":
        return "empty"
    cell = pl.DataFrame({"cell": [value]})
    if cell.select(number(pl.col("cell"))).item() is not None:
        return "number"
    return "date" if cell.select(day(pl.col("cell"))).item() is not None else "text"
