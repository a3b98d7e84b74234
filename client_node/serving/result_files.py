"""Results as a file for spreadsheets and other programs: one row a result, the receipt's id beside each."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from client_node.serving.predict import Result
from contracts.errors import Malformed
from contracts.wording import N_, visible

_TRIMMED = r"'\s"  # what a reader takes off the beginning of a text
_FORMULA = r"=+\-@＝＋－＠"  # with what a spreadsheet takes it for a formula
_AS_TEXT = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
}


def to_frame(result: Result) -> pl.DataFrame:
    """Columns: id, each number of the outcome, reasons with their weights, receipt. Where lines have totals, those of
    families and then the member's are the last rows, and `level` says which row is what, so that nobody adds one twice;
    where they look ahead, `first_period` is the one that low_1, median_1 and high_1 are of."""
    lines = result.all_lines()
    told = max((len(line.reasons) for line in lines), default=0)
    columns: dict[str, object] = {"id": [line.id for line in lines]}
    if result.total is not None:
        columns["level"] = [line.level for line in lines]
    columns |= {name: [line.outcome[name] for line in lines] for name in (lines[0].outcome if lines else ())}
    for at in range(told):
        columns[f"reason_{at + 1}"] = [line.reasons[at][0] if at < len(line.reasons) else None for line in lines]
        columns[f"weight_{at + 1}"] = [line.reasons[at][1] if at < len(line.reasons) else None for line in lines]
    if result.ahead:
        columns["first_period"] = [result.ahead[0]] * len(lines)
    if result.note:
        columns["note"] = [result.note] * len(lines)
    return pl.DataFrame(columns).with_columns(receipt=pl.lit(result.receipt_id))


def write_result(result: Result, path: Path) -> None:
    """CSV that office programs open as UTF-8, XLSX or Parquet, by the ending; Malformed for another one."""
    frame = to_frame(result).with_columns(pl.col(pl.String).map_elements(visible, return_dtype=pl.String))
    match path.suffix.lower():
        case ".csv":
            _marked(frame, _TRIMMED + _FORMULA).write_csv(path, include_bom=True, quote_style="non_numeric")
        case ".xlsx":
            _write_workbook(_marked(frame, _TRIMMED), path)
        case ".parquet":
            _marked(frame, _TRIMMED).write_parquet(path)
        case _:
            raise Malformed(
                N_("{file} is of a kind that is not written"), do=N_("end it in .csv, .xlsx or .parquet"), file=path
            )


def _marked(frame: pl.DataFrame, first: str) -> pl.DataFrame:
    """With a ' before each text that begins with one of these: spreadsheets then show it and never compute it, and our
    own readers drop exactly one (client_node.data.validation.clean)."""
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(text.str.contains(f"^[{first}]")).then("'" + text).otherwise(text).name.keep())


def _write_workbook(frame: pl.DataFrame, path: Path) -> None:
    """Text stays text, whatever it looks like."""
    from xlsxwriter import Workbook

    with Workbook(str(path), _AS_TEXT) as book:
        frame.write_excel(book, autofit=True)
