"""A member's table as a task learns from it: mapped, checked, derived, pseudonymised; kept until
something it follows from changes.

Faulty rows are left out before anything else happens and are named to the member alone; nothing about them leaves.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import polars as pl

from client_node.data.columns import own_columns
from client_node.data.doubts import Doubt
from client_node.data.mapping import DataMap, data_map, is_given
from client_node.data.pseudonyms import pseudonym, pseudonyms, swapped
from client_node.data.tables import Table
from client_node.data.task_rows import TaskRows, derived, given
from client_node.data.text import Tick
from client_node.data.validation import TableFault, listed
from contracts.envelope import canonical, digest
from contracts.errors import Malformed
from contracts.wording import N_
from engine.bundle import bundle_digest
from engine.table import TableSchema

_FRESH, _DAY_S = "new-", 86_400  # a table that another process is just writing


@dataclass(frozen=True, slots=True)
class MemberTable:
    """`training` rows teach, `present` rows are served; ids are pseudonyms, and `names` says whose (it stays here)."""

    training: pl.DataFrame
    present: pl.DataFrame
    names: dict[str, str]
    findings: tuple[TableFault, ...]
    doubts: tuple[Doubt, ...] = ()  # customers that are left out, under their own names: for the member's eyes
    received: float | None = None  # see TaskRows
    few: tuple[str, ...] = ()

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of this table under the member's own names, for its eyes."""
        return rows.with_columns(pl.col(pl.String).replace(self.names))

    def with_rows(self) -> MemberTable:
        """This table; Malformed if no sound row is left."""
        if self.training.is_empty() and self.present.is_empty():
            raise Malformed(
                N_("the data have no rows that can be used"),
                why=N_("{faults}")
                if self.findings or self.doubts
                else N_("no fault was found: up to the closing day the files hold nothing, or too little"),
                do=N_("mend these rows or export again, then: client-node data check"),
                faults=listed((*self.findings, *self.doubts)),
            )
        return self


def read_table(
    folder: Path, schema: TableSchema, *, key: bytes, home: Path, tick: Tick = lambda done, every: None
) -> MemberTable:
    """The member's table under a schema. Sound rows only, perhaps none; Malformed if a file cannot be read.

    `key` makes pseudonyms; `tick` is told how far reading, then checking, has come. The result is kept in `home` until
    a file, the mapping, the schema or the code changes.
    """
    own = is_given(folder, schema)
    found = own_columns(Table(folder / schema.file), schema, schema.columns) if own else data_map(folder, home, schema)
    place = home / "tables" / schema.dataset / _cache_name(found, schema, key).removeprefix("sha256:")
    with suppress(FileNotFoundError):  # also if another process forgets it while it is read
        return _kept(place)
    made = _pseudonymised((given if own else derived)(found, schema, tick), schema, key)
    _keep(place, made)
    return made


def _pseudonymised(rows: TaskRows, schema: TableSchema, key: bytes) -> MemberTable:
    training, present = rows.training, rows.present
    ids = [column.name for column in schema.of_kind("id")]
    known = pseudonyms(key, ids, (training, present))
    names = {pseudonym: value for value, pseudonym in known.items()}
    return MemberTable(
        swapped(training, ids, known),
        swapped(present, ids, known),
        names,
        tuple(rows.findings),
        rows.doubts,
        rows.received,
        rows.few,
    )


def _cache_name(found: DataMap, schema: TableSchema, key: bytes) -> str:
    """Digest of everything that a kept table follows from: files, mapping, schema, key and code."""
    content = []
    for path in {table.path for origin in found.origins.values() for table in origin.tables}:
        with path.open("rb") as file:
            content.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest(canonical([schema.digest(), found.digest(), pseudonym(key, ""), sorted(set(content)), _code()]))


@cache
def _code() -> str:
    """Digest of the installed code, with all files of this room: what newer rules would find is not
    hidden by an older result."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    return digest(canonical([bundle_digest(), {path.name: digest(path.read_bytes()) for path in room}]))


def _keep(place: Path, made: MemberTable) -> None:
    """Whole or not at all; what an older file led to is forgotten."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=place.parent))
    made.training.write_parquet(fresh / "training.parquet")
    made.present.write_parquet(fresh / "present.parquet")
    told = {
        name: [asdict(one) for one in listed] for name, listed in (("findings", made.findings), ("doubts", made.doubts))
    }
    about = {"names": made.names, "received": made.received, "few": made.few, **told}
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
    findings, doubts = (
        tuple(TableFault(**one) for one in about["findings"]),
        tuple(Doubt(**one) for one in about["doubts"]),
    )
    return MemberTable(training, present, about["names"], findings, doubts, about["received"], tuple(about["few"]))
