"""Which column of which file is which field: one readable TOML file, the member's to edit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import polars as pl

from client_node.data.reading import UNITS, identifiers, is_called, is_heading_abroad
from client_node.data.side_columns import chosen
from client_node.data.tables import Table, tables_of
from client_node.data.text import absent
from client_node.data.validation import EARLIEST
from contracts.envelope import canonical, digest
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from engine.table import Source, TableSchema
from shell.text_files import read_text

FILE = "data.toml"
MOST_TOLERANCE = 20  # per cent: more is no discount


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field comes from: the heading, and for amounts the tax they include (per cent) and their unit."""

    heading: str
    tax_percent: str = "0"
    unit: str = "元"

    def factor(self) -> float:
        """What an amount is multiplied with to be in yuan without tax."""
        return float(UNITS[self.unit] / (1 + Decimal(self.tax_percent) / 100))


@dataclass(frozen=True, slots=True)
class Origin:
    """One source of a task: its tables (exports by year or month are several), all with the same headings in the same
    row, and its fields by name. `only` says which values of which other columns a row must have, `currency` which
    column names a currency ("": all is in yuan; None: the one that is called so)."""

    tables: tuple[Table, ...]
    heading: int
    fields: Mapping[str, Field]
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """What the member says of its receipts: per cent that a discount or a bank's fee may keep back, and
    invoices that are unpaid indeed."""

    tolerance_percent: str = "1"
    really_unpaid: tuple[str, ...] = ()

    def tolerance(self) -> float:
        """As a share."""
        return float(Decimal(self.tolerance_percent) / 100)


@dataclass(frozen=True, slots=True)
class DataMap:
    """How a member's folder is read for one task. `closed_on`: the day up to which the books are complete."""

    closed_on: date
    origins: Mapping[str, Origin] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)  # suggested: a source, and the places that fit as well
    ends: Mapping[str, date] = field(default_factory=dict)  # the last day of each source
    unread: tuple[Malformed, ...] = ()  # files that were left aside
    receipts: Receipts = Receipts()

    def digest(self) -> str:
        """Digest of what was decided here, whatever the spelling of the file."""
        said = {
            name: [
                [[table.path.name, table.part] for table in o.tables],
                o.heading,
                sorted([k, f.heading, f.tax_percent, f.unit] for k, f in o.fields.items()),
                sorted([heading, *values] for heading, values in o.only.items()),
                o.currency,
            ]
            for name, o in self.origins.items()
        }
        receipts = [self.receipts.tolerance_percent, sorted(self.receipts.really_unpaid)]
        return digest(canonical([self.closed_on.isoformat(), said, receipts]))


def is_given(folder: Path, schema: TableSchema) -> bool:
    """Does the member's folder hold the task's own table? Only where nobody has to say an outcome: a label is always
    computed by the rule."""
    return not schema.sources or (not schema.of_kind("label") and (folder / schema.file).exists())


def data_map(folder: Path, home: Path, schema: TableSchema) -> DataMap:
    """What the member decided in data.toml; Malformed if that says too little."""
    path = home / FILE
    if not path.exists():
        raise Unavailable(
            N_("nobody has said yet which column is which field"),
            why=N_("{file} is not there"),
            do=N_("client-node data map, then client-node data preview"),
            file=path,
        )
    try:
        held = tomllib.loads(read_text(path, do=N_("mend it, or: client-node data map --force")))
    except tomllib.TOMLDecodeError as error:
        raise Malformed(
            N_("{file} is not TOML: {error}"),
            do=N_("mend it, or: client-node data map --force"),
            file=path,
            error=error,
        ) from error
    closed = _closed(path, held.get("closed_on"))
    said = [source for source in schema.sources if source.missing == "refuse" or _names_a_file(held.get(source.name))]
    origins = {source.name: _origin(path, folder, source, held.get(source.name)) for source in said}
    for name, origin in origins.items():
        _check_headings(path, name, origin, schema)
    return DataMap(closed, origins, receipts=_receipts(path, held.get("receipts", {})))


def _check_headings(path: Path, source: str, origin: Origin, schema: TableSchema) -> None:
    """Malformed if a heading is that of a direct identifier, or of amounts that are not in yuan."""
    named = {f"{source}.{name}": one.heading for name, one in origin.fields.items()}
    named |= {f"{source}.only": heading for heading in origin.only}
    for place, heading in named.items():
        if is_identifier(heading, schema):
            raise Malformed(
                N_("{file} names a direct identifier at {place}: {heading}"),
                why=N_("names, telephone, tax and account numbers are never read"),
                do=N_("name a column of codes; if there is none, add one to the export"),
                file=path,
                place=place,
                heading=heading,
                code="IDENTIFIER",
            )
        if is_heading_abroad(heading) and origin.currency is None:
            raise Malformed(
                N_("{file} names amounts that are not in yuan at {place}: {heading}"),
                why=N_("they would be counted as yuan"),
                do=N_('name the column in yuan, or export it; if it is in yuan, write currency = "" below the source'),
                file=path,
                place=place,
                heading=heading,
                code="CURRENCY",
            )


def _receipts(path: Path, held: Any) -> Receipts:
    expected = 'tolerance_percent = "2", really_unpaid = ["FP0007"]'
    if not isinstance(held, dict) or set(held) - {"tolerance_percent", "really_unpaid"}:
        raise _wrong(path, "receipts", expected)
    tolerance, unpaid = str(held.get("tolerance_percent", "1")), held.get("really_unpaid", [])
    try:
        is_sane = 0 <= Decimal(tolerance) <= MOST_TOLERANCE
    except InvalidOperation:
        is_sane = False
    if not is_sane or not isinstance(unpaid, list) or not all(isinstance(one, str) for one in unpaid):
        raise _wrong(path, "receipts", expected)
    return Receipts(tolerance, tuple(identifiers(pl.Series(unpaid, dtype=pl.String)).to_list()))


def _closed(path: Path, said: Any) -> date:
    """The day up to which the books are complete; Malformed if it is none, or to come."""
    if type(said) is not date:  # a time of day is a date, too
        raise _wrong(path, "closed_on", "2025-12-31")
    if not EARLIEST <= said <= datetime.now(UTC).date() + timedelta(days=1):  # it may be tomorrow elsewhere
        raise Malformed(
            N_("{file} says that the books are complete up to {day}"),
            why=N_("that is to come, or before 1990; an invoice that is not paid by then counts as open"),
            do=N_("write the last day whose documents are all in the exports: closed_on = 2025-12-31"),
            file=path,
            day=said,
        )
    return said


def _names_a_file(held: Any) -> bool:
    return held is not None and not (isinstance(held, dict) and held.get("file") == "")


def is_identifier(heading: str, schema: TableSchema) -> bool:
    """Is a column called like a direct identifier?"""
    return is_called(re.sub(r" \(\d+\)$", "", heading), *schema.identifiers)


def _origin(path: Path, folder: Path, source: Source, held: Any) -> Origin:
    if not isinstance(held, dict) or not isinstance(held.get("columns"), dict) or not isinstance(held.get("file"), str):
        raise _wrong(path, source.name, "file, columns")
    file, part = folder / held["file"], str(held.get("part", ""))
    if held["file"] and not file.is_file():
        raise absent(file)
    fields = {name: _field(path, f"{source.name}.{name}", said) for name, said in held["columns"].items()}
    if unknown := sorted(set(fields) - {column.name for column in source.columns}):
        raise _wrong(path, f"{source.name}.{unknown[0]}", " / ".join(column.name for column in source.columns))
    missing = [column.name for column in source.columns if column.name in source.needed() - set(fields)]
    if not held["file"] or missing:
        raise Malformed(
            N_("{file} does not say yet what {fields} of [{source}] is"),
            why=N_("no heading was recognised"),
            do=N_(
                "name file and heading there; without such data consent to the other task alone: client-node "
                "consent narrow"
            ),
            file=path,
            fields=", ".join(missing) or "file",
            source=source.name,
        )
    heading, more = held.get("heading", 1), held.get("more", [])
    if (
        type(heading) is not int
        or not 1 <= heading < 1 << 20
        or not (isinstance(more, list) and all(type(t) is str for t in more))
    ):
        raise _wrong(path, source.name, 'heading = 1, more = ["2024.xlsx:Sheet1"]')
    try:
        only, currency = chosen(held.get("only", {})), held.get("currency")
        if not (currency is None or isinstance(currency, str)):
            raise TypeError(currency)
    except TypeError as error:
        raise _wrong(path, source.name, 'only = { "状态" = ["正常"] }, currency = "币种"') from error
    places = [(file, part), *((folder / name, rest) for name, _, rest in (text.partition(":") for text in more))]
    return Origin(tuple(_table(path, source, *place) for place in places), heading, fields, only, currency)


def _table(path: Path, source: Source, file: Path, part: str) -> Table:
    if not file.is_file():
        raise absent(file)
    tables = tables_of(file)
    table = next((t for t in tables if part in ("", t.part)), None)
    if table is None:
        raise _wrong(path, source.name, f"{file.name}: part = {' / '.join(t.part for t in tables) or '?'}")
    return table


def _field(path: Path, place: str, said: Any) -> Field:
    try:
        made = Field(said) if isinstance(said, str) else Field(**said)
        if not isinstance(made.heading, str):
            raise TypeError(made.heading)
        made.factor()
        if not 1 <= Decimal(made.tax_percent) < 100 and Decimal(made.tax_percent) != 0:  # .13 was meant as 13
            raise KeyError(made.tax_percent)
    except (TypeError, KeyError, InvalidOperation, ZeroDivisionError) as error:
        raise _wrong(path, place, '"金额" / { heading = "金额", tax_percent = "13", unit = "万元" }') from error
    return made


def _wrong(path: Path, place: str, expected: str) -> Malformed:
    return Malformed(
        N_("{file} is wrong at {place}"),
        why=N_("expected: {expected}"),
        do=N_("mend it, or: client-node data map --force"),
        file=path,
        place=place,
        expected=expected,
    )
