"""Write docs/reference/log-fields.md from the models of the statements: `make docs`."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

PAGE = Path(__file__).resolve().parent / "reference" / "log-fields.md"
HEAD = """# Fields of every statement

Written by `make docs` from the models; a test compares the two. Read it with [the format of the log](log-format.md).

`id` is `urn:uuid:` and a version-4 UUID in lower case. `digest` is `sha256:` and 64 lower-case hexadecimal digits. `key` is
the base64 of 32 bytes. `time` is `YYYY-MM-DDThh:mm:ssZ`, a moment that exists, from the year 2000 to 2099. `name` is 1 to 200
characters. `index` is an integer from 0, `count` from 1, both below 2^53. `decimal` is a plain decimal of at most six digits on
either side of the point, `delta` is `1e-5` to `1e-12`. A choice is written as its values. Every field is always present, `null`
where there is nothing to say; one that may be absent is never null.
Integers without a name lie within -2^53 ... 2^53; the rules narrow them.
"""


def page() -> str:
    """The whole page."""
    from contracts import fields as types_of_fields
    from contracts.rules.kinds import KINDS
    from contracts.statements.off_log import OffLog

    names = {str(getattr(types_of_fields, name)): word for name, word in _WORDS.items()}
    parts: dict[str, Any] = {}
    texts = [HEAD, "## Statements on the log\n"]
    logged = [kind for kind in KINDS.values() if not issubclass(kind.statement, OffLog)]
    texts += [_model(kind.statement.kind, kind.statement, names, parts, _signers(kind)) for kind in logged]
    texts += ["## Statements in off-log documents\n"]
    texts += [_model(one.kind, one, names, parts) for one in KINDS if issubclass(one, OffLog)]
    texts += ["## Parts\n"]
    done: set[str] = set()
    while waiting := [name for name in parts if name not in done]:
        done.add(waiting[0])
        texts.append(_model(waiting[0], parts[waiting[0]], names, parts))
    return "\n".join(texts)


_WORDS = {
    "RecordId": "id",
    "Digest": "digest",
    "KeyText": "key",
    "Time": "time",
    "Name": "name",
    "Decimal": "decimal",
    "Delta": "delta",
    "Index": "index",
    "Count": "count",
}


def _signers(kind: Any) -> str:
    """Whose word a kind is, as the rule itself says it."""
    rule, _, words = " ".join(kind.signed.__doc__.split()).partition(": ")
    return f" Signed ({rule}) by {words}"


def _model(title: str, model: Any, names: dict[str, str], parts: dict[str, Any], signers: str = "") -> str:
    hints = get_type_hints(model, include_extras=True)
    listed = [f.name for f in fields(model)] if is_dataclass(model) else list(model.model_fields)
    first = (model.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    rows = [f"| `{name}` | {_type(hints[name], names, parts)} |" for name in listed]
    absent = [] if is_dataclass(model) else [n for n, f in model.model_fields.items() if f.exclude_if]
    rows = [row.replace(" or null |", ", or absent |") if listed[n] in absent else row for n, row in enumerate(rows)]
    return "\n".join(
        [f"### {title}\n", " ".join(first.split()) + signers, "", "| field | value |", "|---|---|", *rows, ""]
    )


def _type(hint: Any, names: dict[str, str], parts: dict[str, Any]) -> str:
    if str(hint) in names:
        return names[str(hint)]
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(inside[0], names, parts)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one, names, parts) for one in inside)
    if origin is tuple:
        if inside[-1] is Ellipsis:
            return f"list of ({_type(inside[0], names, parts)})"
        return "[" + ", ".join(_type(one, names, parts) for one in inside) + "]"
    if hint is type(None):
        return "null"
    if is_dataclass(hint) or hasattr(hint, "model_fields"):
        parts.setdefault(hint.__name__, hint)
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    if hasattr(hint, "__members__"):
        return " or ".join(f"`{member.value}`" for member in hint)
    return {str: "text", int: "integer", bool: "`true` or `false`"}[hint]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
