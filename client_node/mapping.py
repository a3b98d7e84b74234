"""Which column of which file is which field: one readable TOML file, suggested from the headings, edited by the member."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from client_node.files import Table, tables_in, tables_of
from client_node.text_files import absent
from client_node.validation import EARLIEST, clean, day
from contracts.envelope import canonical, digest
from contracts.errors import Malformed, Unavailable
from contracts.wording import N_
from engine.table import Source, SourceColumn, TableSchema

FILE = "data.toml"
UNITS = {
    "亿元": Decimal(10**8),
    "百万元": Decimal(10**6),
    "万元": Decimal(10**4),
    "千元": Decimal(1000),
    "元": Decimal(1),
}
_UNIT_OF_ALL = re.compile(rf"单位.{{0,6}}?({'|'.join(UNITS)})")  # in a title above the headings
_NOTHING = {"refuse": "?", "absent": "没有也可以 / none is needed"}
_FOREIGN = re.compile(r"[\s_\-()（）\[\]【】:：/、.]")


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
    row, and its fields by name."""

    tables: tuple[Table, ...]
    heading: int
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class DataMap:
    """How a member's folder is read for one task. `closed_on`: the day up to which the books are complete."""

    closed_on: date
    origins: Mapping[str, Origin] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)  # suggested: a source, and the places that fit as well
    unread: tuple[Malformed, ...] = ()  # files that were left aside

    def digest(self) -> str:
        """Digest of what was decided here, whatever the spelling of the file."""
        said = {
            name: [
                [[table.path.name, table.part] for table in o.tables],
                o.heading,
                sorted([k, f.heading, f.tax_percent, f.unit] for k, f in o.fields.items()),
            ]
            for name, o in self.origins.items()
        }
        return digest(canonical([self.closed_on.isoformat(), said]))


def is_given(folder: Path, schema: TableSchema) -> bool:
    """Does the member's folder hold the task's own table? Only where nobody has to say an outcome: a label is always
    computed by the rule."""
    return not schema.sources or (not schema.of_kind("label") and (folder / schema.file).exists())


def data_map(folder: Path, home: Path, schema: TableSchema) -> DataMap:
    """What the member decided in data.toml; Malformed if that says too little."""
    path = home / FILE
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Unavailable(
            N_("nobody has said yet which column is which field"),
            why=N_("{file} is not there"),
            do=N_("client-node data map, then client-node data preview"),
            file=path,
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            N_("{file} is not TOML: {error}"),
            do=N_("mend it, or: client-node data map --force"),
            file=path,
            error=error,
        ) from error
    closed = _closed(path, held.get("closed_on"))
    said = [source for source in schema.sources if source.missing == "refuse" or _names_a_file(held.get(source.name))]
    origins = {source.name: _origin(path, folder, source, held.get(source.name)) for source in said}
    for place, column in ((f"{name}.{k}", f) for name, origin in origins.items() for k, f in origin.fields.items()):
        if _is_identifier(column.heading, schema):
            raise Malformed(
                N_("{file} names a direct identifier at {place}: {heading}"),
                why=N_("names, telephone, tax and account numbers are never read"),
                do=N_("name a column of codes; if there is none, add one to the export"),
                file=path,
                place=place,
                heading=column.heading,
                code="IDENTIFIER",
            )
    return DataMap(closed, origins)


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
    return DataMap(_closing_day(origins, schema, unread) or date.min, origins, others, tuple(unread))


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
    return any(_same(name, source.name, *source.aliases) for name in (table.path.stem, table.part))


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
    """Possible headings, each with the unit of amounts that a title above them names."""
    try:
        found = table.headings()
    except Malformed as error:
        unread.append(error)
        return []
    said = [_UNIT_OF_ALL.search(" ".join(names)) for _row, names in found]
    return [(one, next((s[1] for s in said[:at] if s), "元")) for at, one in enumerate(found)]


def _closing_day(origins: Mapping[str, Origin], schema: TableSchema, unread: list[Malformed]) -> date | None:
    """The last day up to today that the exports name: one after today is a slip of the pen. A proposal: from then on the
    file says it, not the data."""
    today = datetime.now(UTC).date()
    found = []
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
                days = clean(texts.select(headings)).select(day(pl.all()))
                within = days.select(pl.all().filter(pl.all().is_between(EARLIEST, today)).max())
                found += [last for last in within.row(0) if last]
    return max(found, default=None)


def _is_identifier(heading: str, schema: TableSchema) -> bool:
    return _same(re.sub(r" \(\d+\)$", "", heading), *schema.identifiers)


def _fields(source: Source, names: list[str], schema: TableSchema, unit: str) -> dict[str, Field]:
    allowed = [name for name in names if not _is_identifier(name, schema)]
    found: dict[str, Field] = {}
    for column in source.columns:
        heading = _heading(column, [n for n in allowed if n not in {f.heading for f in found.values()}])
        if heading:
            found[column.name] = _guess(column, heading, unit)
    return found


def _heading(column: SourceColumn, names: list[str]) -> str | None:
    """Exact name or alias first, then the vendors' usual headings, then a heading that contains an alias."""
    known = (column.name, *column.aliases, *_vendors().get(column.name, ()))
    exact = next((n for alias in known for n in names if _same(n, alias)), None)
    return exact or next(
        (n for alias in column.aliases for n in names if len(alias) > 1 and _plain(alias) in _plain(n)), None
    )


def _guess(column: SourceColumn, heading: str, unit: str) -> Field:
    if column.kind not in ("amount", "net"):
        return Field(heading)
    taxed = ("含税" in heading and "不含税" not in heading) or "价税合计" in heading
    own = next((one for one in UNITS if one in heading), unit)
    return Field(heading, "13" if taxed and column.kind == "net" else "0", own)


def _same(text: str, *names: str) -> bool:
    return bool(text) and _plain(text) in {_plain(name) for name in names}


def _plain(text: str) -> str:
    bare = re.sub(rf"[(（]({'|'.join(UNITS)}|含税|不含税)[)）]", "", text)
    return _FOREIGN.sub("", bare or text).lower()


def _vendors() -> dict[str, tuple[str, ...]]:
    """Field -> headings of common bookkeeping programs (not verified with the vendors)."""
    text = files("client_node").joinpath("aliases.toml").read_text("utf-8")
    merged: dict[str, tuple[str, ...]] = {}
    for listed in tomllib.loads(text)["headings"].values():
        for name, headings in listed.items():
            merged[name] = (*merged.get(name, ()), *headings)
    return merged


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
                "name file and heading there; without such data consent to the other task alone: client-node consent narrow"
            ),
            file=path,
            fields=", ".join(missing) or "file",
            source=source.name,
        )
    heading, more = held.get("heading", 1), held.get("more", [])
    if type(heading) is not int or heading < 1 or not (isinstance(more, list) and all(type(t) is str for t in more)):
        raise _wrong(path, source.name, 'heading = 1, more = ["2024.xlsx:Sheet1"]')
    places = [(file, part), *((folder / name, rest) for name, _, rest in (text.partition(":") for text in more))]
    return Origin(tuple(_table(path, source, *place) for place in places), heading, fields)


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


def closing_day(found: list[DataMap]) -> date:
    """The last day that any of the exports names; today if none names one."""
    last = max(one.closed_on for one in found)
    return last if last > date.min else datetime.now(UTC).date()


def to_toml(found: list[DataMap], schemas: list[TableSchema]) -> str:
    """The file that `client-node data map` writes: every field, also those for which no heading fits."""
    lines = [
        "# 哪个文件的哪一列是什么。Which column of which file is which field. client-node data preview 可查看结果。",
        "# tax_percent: 金额含税时的税率; unit: 元 / 千元 / 万元 / 百万元 / 亿元。",
        f"closed_on = {closing_day(found).isoformat()}  # 账目完整到哪一天 / the day up to which the books are complete",
    ]
    for one, source in ((m, s) for m, schema in zip(found, schemas, strict=True) for s in schema.sources):
        origin = one.origins.get(source.name)
        lines += ["", f"[{source.name}]"]
        lines += _place(origin) if origin else [f'file = ""  # {_NOTHING[source.missing]}']
        lines.append(f"[{source.name}.columns]")
        lines += [_line(column, origin.fields.get(column.name) if origin else None) for column in source.columns]
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
    return f'{column.name} = {{ heading = {_text(given.heading)}, tax_percent = "{given.tax_percent}", unit = "{given.unit}" }}'
