"""From a member's files to the table a task learns from: mapped, checked, pseudonymised, derived, cached.

Faulty rows are left out before anything else happens and are named to the member alone; nothing about them leaves.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from client_node.data.mapping import DataMap, Field, Origin, data_map, is_given
from client_node.data.tables import Table, check_length, tables_of
from client_node.data.text import BEYOND, Tick, absent
from client_node.data.validation import Checked, Checker, Finding, listed, period
from contracts.envelope import canonical, digest
from contracts.errors import Malformed
from contracts.wording import N_
from engine.bundle import bundle_digest
from engine.table import Column, TableSchema
from engine.task import load

_READERS = ("tables", "formats", "mapping", "member_table", "text", "validation")
MOST_SCORED = 1 << 20  # rows of one file: a full sheet
_NEXT = 1 << 32  # added to the rows of each further table of a source, so that each has a number of its own
_FRESH, _DAY_S = "new-", 86_400  # a table that another process is just writing
_PERIODS = {12: "month", 52: "week"}  # by the season of a schema
_ROWS = 1 << 17  # checked at once: what bounds the memory of a long export


@dataclass(frozen=True, slots=True)
class MemberTable:
    """`training` rows teach, `present` rows are served; ids are pseudonyms, and `names` says whose (it stays here)."""

    training: pl.DataFrame
    present: pl.DataFrame
    names: dict[str, str]
    findings: tuple[Finding, ...]

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of this table under the member's own names, for its eyes."""
        return rows.with_columns(pl.col(pl.String).replace(self.names))

    def with_rows(self) -> MemberTable:
        """This table; Malformed if no sound row is left."""
        if self.training.is_empty() and self.present.is_empty():
            raise Malformed(
                N_("the data have no rows that can be used"),
                why=N_("{faults}")
                if self.findings
                else N_("no fault was found: up to the closing day the files hold nothing, or too little"),
                do=N_("mend these rows or export again, then: client-node data check"),
                faults=listed(self.findings),
            )
        return self


def read_table(
    folder: Path, schema: TableSchema, *, key: bytes, home: Path, tick: Tick = lambda done, every: None
) -> MemberTable:
    """The member's table under a schema. Sound rows only, perhaps none; Malformed if a file cannot be read.

    `key` makes pseudonyms; `tick` is told how far reading, then checking, has come. The result is kept in `home` until a file, the mapping, the schema or the code changes.
    """
    given = is_given(folder, schema)
    found = _direct(Table(folder / schema.file), schema, schema.columns) if given else data_map(folder, home, schema)
    place = home / "tables" / schema.dataset / _cache_name(found, schema, key).removeprefix("sha256:")
    with suppress(FileNotFoundError):  # also if another process forgets it while it is read
        return _kept(place)
    made = _named(schema, *(_given if given else _derived)(found, schema, tick), key)
    _keep(place, made)
    return made


def _given(found: DataMap, schema: TableSchema, tick: Tick) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """Rows of a table that is the task's own."""
    checked = _without_repeats(found, schema, tick)
    frame = checked.frame.drop("row")
    return frame, frame, checked.findings


def _derived(found: DataMap, schema: TableSchema, tick: Tick) -> tuple[pl.DataFrame, pl.DataFrame, list[Finding]]:
    """Rows that the task's rule makes from what bookkeeping programs export."""
    tables: dict[str, Checked] = {}
    for source in (one for one in schema.sources if one.name in found.origins):
        origin = found.origins[source.name]
        fields = {column.name: column.kind for column in source.columns if column.name in origin.fields}
        checker, checked = _checked(origin, fields, found.closed_on, tick)
        tables[source.name] = _linked(checker, checked, fields, tables)
    frames = {name: checked.frame.drop("row") for name, checked in tables.items()}
    training, present = load(schema.task).derive(frames, schema, found.closed_on)
    told = [finding for name, checked in tables.items() for finding in _placed(checked.findings, found.origins[name])]
    return training, present, told


def _placed(findings: list[Finding], origin: Origin) -> list[Finding]:
    """In the order of tables and rows, each with the table that it stands in and the row there."""
    inside = sorted(findings, key=lambda finding: finding.row)
    return [replace(f, place=origin.tables[f.row // _NEXT].place, row=f.row % _NEXT) for f in inside]


def _checked(origin: Origin, fields: dict[str, Any], closed_on: date, tick: Tick) -> tuple[Checker, Checked]:
    headings = {name: origin.fields[name].heading for name in fields}
    parts = []
    for number, table in enumerate(origin.tables):
        texts = table.read(list(dict.fromkeys(headings.values())), origin.heading, tick)
        torn = [pl.col(BEYOND)] if BEYOND in texts.columns else []
        texts = texts.select(*(pl.col(heading).alias(name) for name, heading in headings.items()), *torn)
        for at in range(0, max(len(texts), 1), _ROWS):
            part = Checker(table.place, origin.heading + at + number * _NEXT, fields, headings, closed_on)
            parts.append(part.check(texts.slice(at, _ROWS)))
            tick(min(at + _ROWS, len(texts)), len(texts))
    findings = [finding for part in parts for finding in part.findings]
    checked = Checked(
        pl.concat([part.frame for part in parts]), findings, tuple(name for part in parts for name in part.left_out)
    )
    checker = Checker(origin.tables[0].place, origin.heading, fields, headings, closed_on)
    scaled = checked.frame.with_columns(
        pl.col(name) * origin.fields[name].factor() for name, kind in fields.items() if kind in ("amount", "net")
    )
    return checker, replace(checked, frame=scaled)


def _linked(checker: Checker, checked: Checked, fields: dict[str, Any], earlier: dict[str, Checked]) -> Checked:
    """Rules between rows and tables: no line stands twice, and no document of one customer; it is due after it was issued, and
    exists when referred to. What becomes of a customer's rows depends on that customer's rows alone."""
    document = next((name for name, kind in fields.items() if kind == "document"), None)
    checked = checker.mark(checked, _again(checked.frame, fields), document or next(iter(fields)), "repeated")
    if document:
        whose = [name for name, kind in fields.items() if kind == "id"]
        checked = checker.mark(checked, ~pl.struct(document, *whose).is_first_distinct(), document, "conflicting")
    if {"issued", "due"} <= set(fields):
        checked = checker.mark(checked, pl.col("due") < pl.col("issued"), "due", "due-before-issued")
    if {"begins", "ends"} <= set(fields):
        checked = checker.mark(checked, pl.col("ends") < pl.col("begins"), "ends", "ends-before-it-begins")
    for name, kind in fields.items():
        named = next((t for t in earlier.values() if name in t.frame.columns), None) if kind == "reference" else None
        if named:
            known = pl.concat([named.frame[name], pl.Series(name, named.left_out, dtype=pl.String)])
            checked = checker.mark(checked, ~pl.col(name).is_in(known.implode()), name, "unknown-document")
    return checked


def _again(frame: pl.DataFrame, fields: dict[str, Any]) -> pl.Expr:
    """Rows that say the same as an earlier one; where rows name documents, as one of an earlier table: an invoice may be paid
    in equal parts on one day. Compared in full only where hashes agree: whole rows of a long export, side by side, would
    take more memory than all else."""
    whole, table = pl.struct(list(fields)), pl.col("row") // _NEXT
    again = ~whole.is_first_distinct()
    if "reference" in fields.values():
        again = table > table.min().over(list(fields))
    alike = frame.filter(whole.hash().is_duplicated())
    return pl.col("row").is_in(alike.filter(again)["row"].implode())


def _direct(table: Table, schema: TableSchema, columns: Sequence[Column]) -> DataMap:
    """The mapping of a table whose headings are names or aliases of the columns."""
    if not table.path.exists():
        raise absent(table.path)
    tried: list[tuple[int, list[str], dict[str, Field]]]
    tried = [(heading, names, _headed(columns, names)) for heading, names in table.headings()]
    heading, names, found = max(tried, key=lambda one: (len(one[2]), -one[0]), default=(1, [], {}))
    missing = [" / ".join((c.name, *c.aliases)) for c in columns if c.name not in found and c.missing != "absent"]
    if missing:
        raise Malformed(
            N_("{file} lacks the column {columns}"),
            why=N_("the task needs it; found: {found}"),
            do=N_("export it too, under one of these names")
            if not schema.sources or columns is not schema.columns
            else N_(
                "export it too, under one of these names; if the rows are single lines, give the file another name"
            ),
            file=table.path,
            columns=", ".join(missing),
            found=", ".join(names),
            code="COLUMN",
        )
    return DataMap(_end_of_this_month(), {schema.dataset: Origin((table,), heading, found)})


def _end_of_this_month() -> date:
    """Until when a table without a closing day may know results; of tomorrow's, since it may be tomorrow elsewhere."""
    end: date = pl.Series([datetime.now(UTC).date() + timedelta(days=1)]).dt.month_end().item()
    return end


def _headed(columns: Sequence[Column], names: Sequence[str]) -> dict[str, Field]:
    known = {c.name: next((n for n in (c.name, *c.aliases) if n in names), None) for c in columns}
    return {name: Field(heading) for name, heading in known.items() if heading}


def read_rows(path: Path, schema: TableSchema) -> Checked:
    """Sound rows of a file that are to be scored: the schema's columns without the label, and `row`, the row of the
    file that each stands in. All faults are found at once; nothing is kept. Malformed if they are more than MOST_SCORED."""
    if not (tables := tables_of(path)):
        raise Malformed(
            N_("{file} is of a kind that is not read"),
            do=N_("use CSV, XLSX, Parquet or SQLite"),
            file=path,
            code="KIND",
        )
    check_length(path, MOST_SCORED)
    found = _direct(max(tables, key=lambda table: _fit(table, _scored(schema))), schema, _scored(schema))
    checked = _checked(found.origins[schema.dataset], _kinds(schema), found.closed_on, lambda done, every: None)[1]
    check_length(path, MOST_SCORED, len(checked.frame))
    return checked


def _fit(table: Table, columns: Sequence[Column]) -> int:
    """How many of the columns one row of headings names, at best: the first sheet may be a cover."""
    return max((len(_headed(columns, names)) for _row, names in table.headings()), default=0)


def frame_of(rows: Sequence[Mapping[str, object]], schema: TableSchema) -> pl.DataFrame:
    """Rows given as name -> value, checked like a file; Malformed names the first fault, never the value."""
    fields = _kinds(schema)
    texts = [[None if (cell := row.get(name)) is None else str(cell) for name in fields] for row in rows]
    frame = pl.DataFrame(texts, schema=dict.fromkeys(fields, pl.String), orient="row")
    checked = Checker(schema.dataset, 0, fields, {name: name for name in fields}, date.max).check(frame)
    unknown = sorted({name for row in rows for name in row} - {column.name for column in schema.columns})
    if checked.findings or unknown or len(checked.frame) < len(rows):  # results are told in the order of the rows
        why = N_("there is no such column: {unknown}") if unknown else N_("a row is empty")
        raise Malformed(
            N_("the rows cannot be scored"),
            why=N_("{faults}") if checked.findings else why,
            do=N_("columns of the table: {columns}"),
            faults=listed(checked.findings),
            unknown=", ".join(unknown[:5]),
            columns=", ".join(fields),
            code="ROW",
        )
    return checked.frame.drop("row")


def _scored(schema: TableSchema) -> list[Column]:
    return [column for column in schema.columns if column.kind in ("id", "number")]


def _kinds(schema: TableSchema) -> dict[str, str]:
    return {column.name: _kind(column, schema) for column in _scored(schema)}


def _without_repeats(found: DataMap, schema: TableSchema, tick: Tick) -> Checked:
    """One row an id and period; where one id may have several rows, only whole repeats are faults, and where each row is a
    unit of its own, nothing is: what becomes of a row may not depend on others."""
    origin = found.origins[schema.dataset]
    fields = {column.name: _kind(column, schema) for column in schema.columns if column.name in origin.fields}
    checker, checked = _checked(origin, fields, found.closed_on, tick)
    checked = _without_foreseen(checker, checked, schema, found.closed_on)
    keys = [c.name for c in schema.columns if c.kind in ("id", "period")]
    if not keys or schema.unit == "row":
        return checked
    several = schema.max_rows_per_unit > 1 and not schema.of_kind("period")
    same = pl.struct(list(fields) if several else keys)
    return checker.mark(checked, ~same.is_first_distinct(), keys[0], "repeated")


def _without_foreseen(checker: Checker, checked: Checked, schema: TableSchema, closed_on: date) -> Checked:
    """Results of a period to come are a slip of the pen, and would have forecasts begin after it."""
    results = [c.name for c in schema.of_kind("number") if c.name in checked.frame.columns]
    for column in schema.of_kind("period"):
        known = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_not_null() for name in results))
        late = (period(pl.col(column.name)) > closed_on) & known
        checked = checker.mark(checked, late, column.name, "period-out-of-range")
    return checked


def _kind(column: Column, schema: TableSchema) -> str:
    if column.kind == "period":
        return _PERIODS.get(schema.options.get("season", 0), "period")
    return "optional" if column.kind == "number" and column.missing == "flag" else column.kind


def _named(
    schema: TableSchema, training: pl.DataFrame, present: pl.DataFrame, findings: list[Finding], key: bytes
) -> MemberTable:
    """Ids replaced by keyed pseudonyms."""
    ids = [column.name for column in schema.of_kind("id")]
    values = {value for name in ids for frame in (training, present) for value in frame[name].unique().to_list()}
    pseudonyms = {value: _pseudonym(key, value) for value in sorted(values)}
    swap = [pl.col(name).replace_strict(pseudonyms, return_dtype=pl.String) for name in ids]
    names = {pseudonym: value for value, pseudonym in pseudonyms.items()}
    return MemberTable(training.with_columns(swap), present.with_columns(swap), names, tuple(findings))


def _pseudonym(key: bytes, value: str) -> str:
    return hmac.new(key, b"pseudonym/" + value.encode(), hashlib.sha256).hexdigest()[:20]


def _cache_name(found: DataMap, schema: TableSchema, key: bytes) -> str:
    content = []
    for path in {table.path for origin in found.origins.values() for table in origin.tables}:
        with path.open("rb") as file:
            content.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest(canonical([schema.digest(), found.digest(), _pseudonym(key, ""), sorted(set(content)), _readers()]))


@cache
def _readers() -> str:
    """Digest of the installed code that made a kept table: what newer rules would find is not hidden by an older result."""
    own = [digest((Path(__file__).parent / f"{name}.py").read_bytes()) for name in _READERS]
    return digest(canonical([bundle_digest(), own]))


def _keep(place: Path, made: MemberTable) -> None:
    """Whole or not at all; what an older file led to is forgotten."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=place.parent))
    made.training.write_parquet(fresh / "training.parquet")
    made.present.write_parquet(fresh / "present.parquet")
    about = {"names": made.names, "findings": [asdict(finding) for finding in made.findings]}
    (fresh / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    try:
        os.replace(fresh, place)
    except OSError:  # another process kept the same thing first
        shutil.rmtree(fresh, ignore_errors=True)
    for old in place.parent.iterdir():
        if old != place and not (old.name.startswith(_FRESH) and time.time() - old.stat().st_mtime < _DAY_S):
            shutil.rmtree(old, ignore_errors=True)


def _kept(place: Path) -> MemberTable:
    about = json.loads((place / "about.json").read_text(encoding="utf-8"))
    training, present = (pl.read_parquet(place / f"{name}.parquet") for name in ("training", "present"))
    return MemberTable(training, present, about["names"], tuple(Finding(**told) for told in about["findings"]))
