"""Files over the local interface: rows of a file in, a file of results out, the receipt's id beside each row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response

from client_node.data.scored_rows import read_rows
from client_node.data.validation import Checked, TableFault, listed
from client_node.serving.predict import Result
from client_node.serving.prepared import PreparedModels
from client_node.serving.result_files import write_result
from contracts.errors import Malformed
from contracts.wording import N_
from engine.table import TableSchema

MOST_BYTES = 64 * 2**20  # of a request: about a million rows of a table
LEFT_OUT = "Mengbang-Left-Out"
Kind = Literal["csv", "xlsx", "parquet"]
_TYPES: dict[Kind, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
_ANSWER = {"content": {kind.partition(";")[0]: {} for kind in _TYPES.values()}, "description": "one row a result"}


def file_routes(desk: PreparedModels) -> APIRouter:
    """What `client-node score FILE --out FILE` and `forecast --out FILE` do, for programs."""
    router = APIRouter()

    @router.get("/v1/tasks/{task}/file", response_class=Response, responses={200: _ANSWER})
    def own(task: str, to: Kind = "csv") -> Response:
        """Scores or forecasts of the member's own file, as a file."""
        return _file(desk.own(task), task, to)

    @router.post("/v1/tasks/{task}/file", response_class=Response, responses={200: _ANSWER})
    def score(
        task: str,
        rows: Annotated[bytes, Body(media_type="application/octet-stream")],
        kind: Kind = "csv",
        to: Kind | None = None,
        leave_out: bool = False,
        name: Annotated[str, Query(max_length=60, pattern=r"""^[^/\\:*?"<>|\x00-\x1f]+$""")] = "rows",
    ) -> Response:
        """Results of a file of rows (`kind`: what is sent, UTF-8 or GB18030 if CSV), as a file of kind `to`, by default
        the same. A faulty row refuses the file and every fault is named; with `leave_out` the other rows are scored and
        the header `Mengbang-Left-Out` says how many were not. `name` is what faults call the file."""
        ready = desk.ready(task)
        checked = _checked(rows, f"{name.removesuffix(f'.{kind}')}.{kind}", ready.panel.schema)
        if checked.findings and not leave_out:
            raise _faulty(checked.findings)
        answer = _file(ready.score(checked.frame.drop("row")), task, to or kind)
        answer.headers[LEFT_OUT] = str(len({finding.row for finding in checked.findings}))
        return answer

    return router


def _checked(rows: bytes, name: str, schema: TableSchema) -> Checked:
    """The rows of a file that was sent; errors call it as its sender does, not by where it lay for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(rows)
        try:
            return read_rows(path, schema)
        except Malformed as error:
            values = {**error.values, "file": name}
            raise Malformed(error.what, why=error.why, do=error.do, code=error.code, **values) from error


def _faulty(findings: list[TableFault]) -> Malformed:
    return Malformed(
        N_("{n} faults; no row was scored"),
        why=N_("{faults}"),
        do=N_("mend these rows, or send leave_out=true to score the others"),
        faults=listed(findings, 100),
        n=len(findings),
        code="ROWS",
    )


def _file(result: Result, task: str, kind: Kind) -> Response:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.{kind}"
        write_result(result, path)
        named = {"Content-Disposition": f'attachment; filename="{path.name}"'}
        return Response(path.read_bytes(), media_type=_TYPES[kind], headers=named)
