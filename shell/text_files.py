"""Text files that people hand over or edit: read however an editor saved them, or named in words for what they are.

Editors and spreadsheets save text as UTF-8 with a mark, as UTF-16 or as GBK; a torn download is empty; what a web page
says of an error is no file of ours. Each of these has its own way out, so each has its own sentence.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from contracts.errors import Malformed, Unavailable
from contracts.wording import N_

UNREADABLE = N_("{path} cannot be read")
_SAVE = N_("open it in an editor and save it as UTF-8")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KINDS: dict[type, str] = {
    list: N_("it holds a list where a table belongs"),
    str: N_("it holds a text where a table belongs"),
    bool: N_("it holds true or false where a table belongs"),
    int: N_("it holds a number where a table belongs"),
    float: N_("it holds a number where a table belongs"),
    type(None): N_("it holds null where a table belongs"),
}


def read_bytes(path: Path, what: str = UNREADABLE, do: str = "") -> bytes:
    """What lies at `path`; Unavailable if there is no file, or none that can be opened. `what` says of a {path} that it
    is not what was expected, `do` where to get that."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Unavailable(N_("there is no file {path}"), do=do, path=path) from error
    except (OSError, ValueError) as error:  # a folder, somebody else's, or no path
        raise Unavailable(what, why=N_("{error}"), do=do, path=path, error=error) from error


def read_text(path: Path, what: str = UNREADABLE, do: str = "") -> str:
    """The text of a file without an editor's mark; Malformed if it is empty or saved otherwise than as UTF-8."""
    data = read_bytes(path, what, do)
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise Malformed(what, why=N_("it is empty"), do=do, path=path)
    try:
        if data.startswith(_UTF_16) or 0 in data[:4]:
            raise Malformed(what, why=N_("it is saved as UTF-16, not as UTF-8"), do=_SAVE, path=path)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(what, why=_saved_as(data), do=_SAVE, path=path) from error


def _saved_as(data: bytes) -> str:
    try:
        data.decode("gb18030")
    except UnicodeDecodeError:
        return N_("it is not text in UTF-8")
    return N_("it is saved as GBK, not as UTF-8")


def read_table(path: Path, what: str = UNREADABLE, do: str = "") -> dict[str, Any]:
    """The JSON object that a file holds; Malformed for anything else."""
    try:
        held = json.loads(read_text(path, what, do))
    except (ValueError, RecursionError) as error:
        raise Malformed(what, why=N_("it is not JSON: {error}"), do=do, path=path, error=str(error)[:200]) from error
    if not isinstance(held, dict):
        raise Malformed(what, why=_KINDS[type(held)], do=do, path=path)
    return held
