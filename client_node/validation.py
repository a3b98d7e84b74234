"""Text columns -> typed columns: every fault of every cell at once, by named rules; faulty rows are left out.

A finding names file, row, column, rule and what kind of value stood there, never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from contracts.wording import N_

FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y年%m月%d日", "%Y.%m.%d", "%Y%m%d", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S")
LARGEST = 1e12
EARLIEST = date(1990, 1, 1)

# rule -> (what is wrong, what to do)
RULES: dict[str, tuple[str, str]] = {
    "empty": (N_("empty"), N_("fill it in, or leave the row out")),
    "not-a-number": (N_("not a number"), N_("write digits only; unit and tax belong into data.toml")),
    "too-large": (N_("larger than any amount can be"), N_("look for shifted columns or a wrong unit")),
    "not-a-date": (N_("not a date"), N_("write it as 2025-01-31, 2025/1/31 or 2025年1月31日")),
    "date-out-of-range": (
        N_("a date before 1990 or after the books were closed"),
        N_("mend the date, or closed_on in data.toml"),
    ),
    "not-a-period": (N_("not a date YYYY-MM or YYYY-MM-DD"), N_("write it as 2025-01 or 2025-01-31")),
    "not-0-or-1": (N_("neither 0 nor 1"), N_("write 1 for yes and 0 for no")),
    "repeated": (N_("same as an earlier row"), N_("export without repeats; the first is used")),
    "conflicting": (
        N_("the document stands here twice with different content"),
        N_("keep the right one; the first is used"),
    ),
    "due-before-issued": (N_("due before it was issued"), N_("mend one of the two dates")),
    "unknown-document": (
        N_("names a document that is not in the other table"),
        N_("export both tables for the same period"),
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `place` is file and sheet, `row` as a spreadsheet counts, `value` the class of what stands there."""

    place: str
    row: int
    column: str
    rule: str
    value: str

    def text(self) -> str:
        """For a log or an error: no value of the member's data."""
        return f"{self.place} row {self.row}, column {self.column}: {RULES[self.rule][0]}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of field is read: its checks by rule, and its typed expression from text."""

    checks: Mapping[str, Callable[[pl.Expr], pl.Expr]]
    typed: Callable[[pl.Expr], pl.Expr]


def number(text: pl.Expr) -> pl.Expr:
    """Digits with thousands separators, currency signs, or parentheses for less than nothing; null if it is none."""
    bare = text.str.replace_all(r"[,，\s¥￥]", "").str.replace(r"^[(（](.*)[)）]$", "-$1")
    return bare.cast(pl.Float64, strict=False).replace({float("inf"): None, float("-inf"): None, float("nan"): None})


def day(text: pl.Expr) -> pl.Expr:
    """A date in one of the accepted spellings; null if it is none."""
    return pl.coalesce(text.str.to_date(spelling, strict=False, exact=True) for spelling in FORMATS)


def _filled(text: pl.Expr) -> pl.Expr:
    return text.is_not_null() & (text != "")


def _or_empty(holds: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: ~_filled(text).fill_null(False) | holds(text).fill_null(False)


def kinds(closed_on: date) -> dict[str, Kind]:
    """Every kind of field. A cell that is empty breaks only the rule `empty`."""
    is_number = _or_empty(lambda text: number(text).is_not_null())
    is_sane = _or_empty(lambda text: number(text).is_null() | (number(text).abs() <= LARGEST))
    in_range = _or_empty(lambda text: day(text).is_null() | day(text).is_between(EARLIEST, closed_on))
    deadline = _or_empty(lambda text: day(text).is_null() | (day(text) >= EARLIEST))
    numeric = {"not-a-number": is_number, "too-large": is_sane}
    dated = {"empty": _filled, "not-a-date": _or_empty(lambda text: day(text).is_not_null())}
    label = _or_empty(lambda text: number(text).is_null() | number(text).is_in([0.0, 1.0]))
    name = Kind({"empty": _filled}, lambda text: text)
    return {
        "document": name,
        "reference": name,
        "id": name,
        "amount": Kind({"empty": _filled, **numeric}, number),
        "net": Kind({"empty": _filled, **numeric}, number),
        "number": Kind({"empty": _filled, **numeric}, number),
        "optional": Kind(numeric, number),
        "label": Kind({"empty": _filled, **numeric, "not-0-or-1": label}, number),
        "date": Kind({**dated, "date-out-of-range": in_range}, day),
        "deadline": Kind({**dated, "date-out-of-range": deadline}, day),
        "period": Kind(
            {"empty": _filled, "not-a-period": _or_empty(lambda text: text.str.contains(r"^\d{4}-\d{2}(-\d{2})?$"))},
            lambda text: text,
        ),
    }


@dataclass(frozen=True, slots=True)
class Checked:
    """Typed rows without faults, the row of the file that each stands in, all findings, and the documents of the rows
    that were left out: they exist, so that a row of another table that names one is no fault of its own."""

    frame: pl.DataFrame
    findings: list[Finding]
    left_out: tuple[str, ...] = ()


class Checker:
    """Checks one table whose field `name` is of kind `fields[name]` and stands under the heading `headings[name]`."""

    def __init__(
        self, place: str, heading: int, fields: Mapping[str, str], headings: Mapping[str, str], closed_on: date
    ):
        self._place, self._heading, self._fields, self._headings = place, heading, fields, headings
        self._kinds = kinds(closed_on)

    def check(self, texts: pl.DataFrame) -> Checked:
        """All cells of `texts` `(rows, fields)` at once."""
        stripped = texts.select(pl.all().str.strip_chars())
        findings = self._failures(stripped)
        typed = stripped.select(
            self._kinds[kind].typed(pl.col(name)).alias(name) for name, kind in self._fields.items()
        )
        typed = typed.with_columns(row=pl.int_range(pl.len()) + self._heading + 1)
        faulty = pl.col("row").is_in(sorted({f.row for f in findings}))
        return Checked(typed.filter(~faulty), findings, self._documents(typed.filter(faulty)))

    def _documents(self, rows: pl.DataFrame) -> tuple[str, ...]:
        names = [name for name, kind in self._fields.items() if kind == "document"]
        return tuple(value for name in names for value in rows[name].drop_nulls().to_list())

    def _failures(self, texts: pl.DataFrame) -> list[Finding]:
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
            pandera.DataFrameSchema(columns).validate(texts, lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases.sort("index", "column")
            return [
                self.finding(int(index), column, rule, classify(value))
                for value, column, rule, index in cases.select("failure_case", "column", "check", "index").rows()
            ]
        return []

    def finding(self, index: int, field: str, rule: str, value: str) -> Finding:
        """A finding at a row index of the table."""
        return Finding(self._place, index + self._heading + 1, self._headings[field], rule, value)

    def mark(self, checked: Checked, bad: pl.Expr, field: str, rule: str) -> Checked:
        """Leave out rows for which `bad` holds, as findings of `rule` at `field`."""
        wrong = checked.frame.filter(bad.fill_null(False))
        if wrong.is_empty():
            return checked
        found = [Finding(self._place, row, self._headings[field], rule, "other") for row in wrong["row"].to_list()]
        left = checked.frame.filter(~pl.col("row").is_in(wrong["row"].to_list()))
        return Checked(left, checked.findings + found, checked.left_out + self._documents(wrong))


def classify(value: str | None) -> str:
    """The class of a cell: empty, number, date or text."""
    if value is None or value == "":
        return "empty"
    cell = pl.DataFrame({"cell": [value]})
    if cell.select(number(pl.col("cell"))).item() is not None:
        return "number"
    return "date" if cell.select(day(pl.col("cell"))).item() is not None else "text"
