"""What somebody writes who wants a reader to fall: values, documents and bytes that no honest party would make."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

from contracts.envelope import canonical
from contracts.statements.artefact import KINDS

RAW = (  # JSON texts, some of which Python would not spell so
    "null", "true", "0", "-1", "-0", "-0.0", "1.5", "1e400", "NaN", "Infinity", "-Infinity",
    str(2**53 - 1), str(2**53), str(2**63), str(-(2**63)), "1" + "0" * 400, "9" * 5000,
    '""', '"\\u0000"', '"\\ud800"', '"\\u202e"', '"a\\nb"', '"\\u001b[31m"', '"AAAA"', '"=="', '"é"',
    '"' + "x" * 10_000 + '"',
    '"0000-01-01T00:00:00Z"', '"2000-01-01T00:00:00Z"', '"2099-12-31T23:59:59Z"', '"99999-01-01T00:00:00Z"',
    '"2026-02-31T00:00:00Z"',
    '"sha256:' + "0" * 64 + '"', '"urn:uuid:00000000-0000-4000-9000-000000000000"', '"{0.__class__}"', '"%s{x}"',
    "[]", "{}", "[[]]", "[null]", "[1,2,3]", '{"":[]}', '{"a":1,"a":2}', "[" * 300 + "]" * 300,
    "[" * 100_000 + "]" * 100_000,
)  # fmt: skip
DOCUMENTS = (
    *(text.encode() for text in RAW),
    b"",
    b"\x00",
    b"\xff\xfe",
    b"[",
    b'["',
    b"not JSON",
    b"[" + b"0," * 200_000 + b"0]",
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        found += _places(one, (*path, key))
    return found


def alter_json(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """(what was done, bytes) of a JSON text in which one value is another, gone, doubled or beside a new one."""
    value = json.loads(data)
    path = draw.choice(_places(value))
    text, mark = draw.choice(RAW), "@@@"
    if not path:
        return f"all is {text[:40]}", text.encode()
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    how = draw.randrange(6)
    if how == 0 and isinstance(inner, dict):
        del inner[path[-1]]
        what = f"without {path}"
    elif how == 1 and isinstance(inner, list):
        inner.insert(path[-1], inner[path[-1]])
        what = f"twice {path}"
    elif how == 2 and isinstance(inner, dict):
        inner["x"] = mark
        what = f"beside {path} {text[:40]}"
    else:
        inner[path[-1]] = mark
        what = f"{path} is {text[:40]}"
    return what, canonical(value).decode().replace(f'"{mark}"', text).encode()


def artefact(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """An artefact whose header says something else, or whose numbers are others."""
    magic, header, body = data.split(b"\n", 2)
    if draw.random() < 0.5:
        what, header = alter_json(draw, header)
        return f"header {what}", b"\n".join((magic, header, body))
    fields, size = json.loads(header), len(body) // 8
    if draw.random() < 0.3:
        size = draw.choice([0, 1, size + 1, 100_000])
    if draw.random() < 0.2:
        fields["kind"] = draw.choice(sorted(KINDS))
    if draw.random() < 0.1:
        fields["type"] = draw.choice("dq")
    fields["length"] = size
    floats = [0.0, -0.0, -1.0, 1.0, 1 / 0.9, 1 / 0.99, 1e308, -1e308, 5e-324, float("nan"), float("inf")]
    whole = [0, 1, -1, 2**62, 2**62 - 1, -(2**62), 2**63 - 1, -(2**63)]
    numbers = [
        struct.unpack("<q", struct.pack("<d", draw.choice(floats)))[0] if fields["type"] == "d" else draw.choice(whole)
        for _ in range(min(size, 50))
    ]
    old = [struct.unpack("<q", body[8 * n : 8 * n + 8])[0] for n in range(len(body) // 8)]
    mixed = (
        [draw.choice([old[n] if n < len(old) else 0, numbers[n % max(1, len(numbers))]]) for n in range(size)]
        if numbers
        else []
    )
    return f"numbers of {fields}", b"\n".join((magic, canonical(fields), struct.pack(f"<{len(mixed)}q", *mixed)))


def document(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """Another document in the place of `data`: nonsense, or nearly right."""
    if draw.random() < 0.25:
        other = draw.choice(DOCUMENTS)
        return f"document {other[:40]!r} of {len(other)}", other
    if data.startswith(b"mengbang-artefact/1\n"):
        return artefact(draw, data)
    if data[:1] in b"[{":
        return alter_json(draw, data)
    return alter_bytes(draw, data)


def alter_bytes(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    """A file after a byte, a line or a piece of it was changed, doubled or lost."""
    at, lines = draw.randrange(len(data) or 1), data.splitlines(keepends=True)
    line = draw.randrange(len(lines) or 1)
    match draw.randrange(9):
        case 0:
            return f"byte {at}", data[:at] + bytes([data[at] ^ (1 + draw.randrange(255))]) + data[
                at + 1 :
            ] if data else b"x"
        case 1:
            return f"cut at {at}", data[:at]
        case 2:
            return f"lost {at}", data[:at] + data[at + draw.randrange(1, 40) :]
        case 3:
            return f"doubled {at}", data[:at] + data[at : at + 1 + draw.randrange(200)] * draw.choice([2, 1000]) + data[
                at:
            ]
        case 4:
            return "line lost", b"".join(lines[:line] + lines[line + 1 :])
        case 5:
            return "line repeated", b"".join(
                lines[:line] + lines[line : line + 1] * draw.choice([2, 5000]) + lines[line:]
            )
        case 6:
            other = draw.choice(DOCUMENTS)
            return f"all is {other[:40]!r}", other
        case 7:
            number = draw.choice([b"0", b"00", b"-1", b"9" * 15, b"9" * 16, b"9" * 5000, b"1e9", "１２".encode()])
            return f"number {number[:20]!r}", re.sub(rb"[0-9]+", number, data, count=1 + draw.randrange(3))
    return "random bytes", data[:at] + draw.randbytes(draw.randrange(1, 100)) + data[at:]
