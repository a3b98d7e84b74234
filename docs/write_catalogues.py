"""Compile every zh_CN.po for gettext: `make docs`."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SAME = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent


def compiled() -> dict[Path, bytes]:
    """The bytes of every compiled catalogue by where it belongs."""
    made = {}
    for source in sorted(ROOT.glob("*/locale/zh_CN.po")):
        with source.open("rb") as file, io.BytesIO() as out:
            read = read_po(file, locale="zh_CN", abort_invalid=True)
            read.creation_date = read.revision_date = SAME  # in the heading: the same sentences have the same bytes
            write_mo(out, read)
            made[source.parent / "zh_CN" / "LC_MESSAGES" / f"{source.parent.parent.name}.mo"] = out.getvalue()
    return made


if __name__ == "__main__":
    for place, data in compiled().items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        print(place)
