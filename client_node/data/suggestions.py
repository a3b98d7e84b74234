"""What data.toml says at first: tables and columns that are recognised by their headings,
units, and the closing day."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

import polars as pl

from client_node.data.mapping import DataMap, Field, Origin, is_identifier
from client_node.data.reading import UNITS, is_called, is_heading_abroad, plain
from client_node.data.tables import Table, tables_in
from client_node.data.validation import AMOUNTS, EARLIEST, clean, day
from contracts.errors import Malformed
from contracts.wording import N_, filled
from engine.table import Source, SourceColumn, TableSchema
from engine.task import Settling, load

_UNIT_OF_ALL = re.compile(rf"单位.{{0,6}}?({'|'.join(UNITS)})")  # in a title above the headings
_CURRENCY_OF_ALL = re.compile(r"(单位|币种|币别|货币|currency).{0,9}", re.IGNORECASE)
_NOTHING = {"refuse": N_("which file is it?"), "absent": N_("none is needed")}


def suggest(folder: Path, schema: TableSchema) -> DataMap:
    """For each source the table whose headings fit best; fields that no heading fits are left out."""
    unread: list[Malformed] = []
    tables = [(table, *found) for table in tables_in(folder, unread) for found in _headings(table, unread)]
    origins: dict[str, Origin] = {}
    others: dict[str, str] = {}
    for source in schema.sources:
        fits = [
            _Fit(len(fields), not table.is_hidden(), _is_called_like(table, source), -row, table, fields)
            for table, (row, names), unit in tables
            if (fields := _fields(source, names, schema, unit))
            and (source.missing == "refuse" or source.needed() <= set(fields))
        ]
        if fits:
            top = max(fit.rank() for fit in fits)
            series = max((_series(fit, fits) for fit in fits if fit.rank() == top), key=len)
            origins[source.name] = Origin(tuple(fit.table for fit in series), -series[0].above, series[0].fields)
            alike = {
                fit.table.place for fit in fits if fit.fields_found == top[0] and source.needed() <= set(fit.fields)
            }
            alike -= {fit.table.place for fit in series}
            others |= {source.name: ", ".join(sorted(alike))} if alike else {}
    ends = _last_days(origins, schema, unread)
    return DataMap(max(ends.values(), default=date.min), origins, others, ends, tuple(unread))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A table under one row of headings as a source; `above` is less the further down that row is."""

    fields_found: int
    is_shown: bool
    is_called_like: bool
    above: int
    table: Table
    fields: dict[str, Field]

    def rank(self) -> tuple[int, bool, bool, int]:
        """The larger, the better."""
        return self.fields_found, self.is_shown, self.is_called_like, self.above


def _is_called_like(table: Table, source: Source) -> bool:
    return any(is_called(name, source.name, *source.aliases) for name in (table.path.stem, table.part))


def _series(fit: _Fit, fits: list[_Fit]) -> list[_Fit]:
    """Those that `fit` is one of: exports of one table, period by period, in order of name."""
    return [
        one
        for one in fits
        if (one.above, one.is_shown, one.fields) == (fit.above, fit.is_shown, fit.fields)
        and _by_date(one.table, fit.table)
    ]


def _by_date(one: Table, other: Table) -> bool:
    """Are they called the same but for a year or month?"""
    return re.sub(r"[\d年月季度至_-]", "", one.place) == re.sub(r"[\d年月季度至_-]", "", other.place)


def _headings(table: Table, unread: list[Malformed]) -> list[tuple[tuple[int, list[str]], str]]:
    """Possible headings, each with the unit of amounts that a title above them names: "" if that is no yuan."""
    try:
        found = table.headings()
    except Malformed as error:
        unread.append(error)
        return []
    titles = [" ".join(names) for _row, names in found]
    units = [said and said[1] for said in map(_UNIT_OF_ALL.search, titles)]
    abroad = [any(is_heading_abroad(said[0]) for said in _CURRENCY_OF_ALL.finditer(title)) for title in titles]
    units = ["" if is_abroad else unit for unit, is_abroad in zip(units, abroad, strict=True)]
    return [(one, next((unit for unit in units[:at] if unit is not None), "元")) for at, one in enumerate(found)]


def _last_days(origins: Mapping[str, Origin], schema: TableSchema, unread: list[Malformed]) -> dict[str, date]:
    """The last day up to today that each export names: one after today is a slip of the pen. A proposal: from then on
    the file says it, not the data."""
    today = datetime.now(UTC).date()
    found: dict[str, date] = {}
    for source in schema.sources:
        origin = origins.get(source.name)
        dated = [c.name for c in source.columns if c.kind == "date" and origin and c.name in origin.fields]
        if origin and dated:
            headings = [origin.fields[name].heading for name in dated]
            for table in origin.tables:
                try:
                    texts = table.read(headings, origin.heading)
                except Malformed as error:
                    unread.append(error)
                    continue
                days = clean(texts.select(headings)).select(day(pl.all(), table.first_day()))
                within = days.select(pl.all().filter(pl.all().is_between(EARLIEST, today)).max())
                found |= {source.name: max([found.get(source.name, date.min), *filter(None, within.row(0))])}
    return {name: last for name, last in found.items() if last > date.min}


def _fields(source: Source, names: list[str], schema: TableSchema, unit: str) -> dict[str, Field]:
    allowed = [name for name in names if not is_identifier(name, schema) and not is_heading_abroad(name)]
    found: dict[str, Field] = {}
    for column in (one for one in source.columns if unit or one.kind not in AMOUNTS):
        heading = _heading(column, [n for n in allowed if n not in {f.heading for f in found.values()}])
        if heading:
            found[column.name] = _guess(column, heading, unit)
    return found


def _heading(column: SourceColumn, names: list[str]) -> str | None:
    """Exact name or alias first, then the vendors' usual headings, then a heading that contains an alias."""
    known = (column.name, *column.aliases, *_vendors().get(column.name, ()))
    exact = next((n for alias in known for n in names if is_called(n, alias)), None)
    return exact or next(
        (n for alias in column.aliases for n in names if len(alias) > 1 and plain(alias) in plain(n)), None
    )


def _guess(column: SourceColumn, heading: str, unit: str) -> Field:
    if column.kind not in ("amount", "net"):
        return Field(heading)
    taxed = ("含税" in heading and "不含税" not in heading) or "价税合计" in heading
    own = next((one for one in UNITS if one in heading), unit)
    return Field(heading, "13" if taxed and column.kind == "net" else "0", own)


def _vendors() -> dict[str, tuple[str, ...]]:
    """Field -> headings of common bookkeeping programs (not verified with the vendors)."""
    text = files("client_node.data").joinpath("aliases.toml").read_text("utf-8")
    merged: dict[str, tuple[str, ...]] = {}
    for listed in tomllib.loads(text)["headings"].values():
        for name, headings in listed.items():
            merged[name] = (*merged.get(name, ()), *headings)
    return merged


def closing_day(found: list[DataMap]) -> date:
    """The last day that any of the exports names; today if none names one."""
    last = max(one.closed_on for one in found)
    return last if last > date.min else datetime.now(UTC).date()


_HEAD = N_(
    "Which column of which file is which field; client-node data preview shows what comes of it.\n"
    "tax_percent: the rate, where amounts include tax; unit: 元, 千元, 万元, 百万元 or 亿元.\n"
    'only: the rows that count, as only = {{ "发票状态" = ["正常"] }}; currency: its column, "" where all is yuan.'
)


def to_toml(found: list[DataMap], schemas: list[TableSchema], translate: Callable[[str], str] = str) -> str:
    """The file that `client-node data map` writes: every field, also those for which no heading fits; with comments in
    the language of `translate`."""
    complete = translate(N_("the day up to which the books are complete"))
    lines = [f"# {line}" for line in filled(translate(_HEAD), {}).splitlines()]
    lines.append(f"closed_on = {closing_day(found).isoformat()}  # {complete}")
    for one, source in ((m, s) for m, schema in zip(found, schemas, strict=True) for s in schema.sources):
        origin = one.origins.get(source.name)
        lines += ["", f"[{source.name}]"]
        lines += _place(origin) if origin else [f'file = ""  # {translate(_NOTHING[source.missing])}']
        lines.append(f"[{source.name}.columns]")
        lines += [_line(column, origin.fields.get(column.name) if origin else None) for column in source.columns]
    if any(isinstance(load(schema.task), Settling) for schema in schemas):
        kept, unpaid = N_("what a discount or a bank's fee may keep back"), N_("invoices that are unpaid indeed")
        lines += ["", "[receipts]", f'tolerance_percent = "1"  # {translate(kept)}']
        lines.append(f'really_unpaid = []  # {translate(unpaid)}: ["FP0007"]')
    return "\n".join(lines) + "\n"


def _place(origin: Origin) -> list[str]:
    first, *more = origin.tables
    where = [f"file = {_text(first.path.name)}", f"heading = {origin.heading}"]
    where += [f"part = {_text(first.part)}"] if first.part else []
    return where + ([f"more = [{', '.join(_text(table.place) for table in more)}]"] if more else [])


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _line(column: SourceColumn, given: Field | None) -> str:
    if given is None:
        return f'# {column.name} = "?"  # {" / ".join(column.aliases[:3])}'
    if column.kind not in ("amount", "net"):
        return f"{column.name} = {_text(given.heading)}"
    return (
        f"{column.name} = "
        f'{{ heading = {_text(given.heading)}, tax_percent = "{given.tax_percent}", unit = "{given.unit}" }}'
    )
