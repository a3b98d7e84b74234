"""What the bodies of requests hold, field by field: nothing else is read."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field, ValidationError

from contracts.errors import Malformed
from contracts.fields import Index, Strict
from contracts.wording import N_


class Join(Strict):
    """Two key statements of a new member, the invite's secret, and the document that says who it is."""

    entries: tuple[str, str]
    secret: str
    document: dict[str, str] = Field(alias="register")


class Cosigned(Strict):
    """A signature line under the checkpoint of this size."""

    size: Index
    line: str


class Said(Strict):
    """A signed statement for the log, in base64."""

    entry: str


class Waiting(Strict):
    """A node has nothing to do for up to `wait` seconds, besides what it has `done`."""

    wait: float
    done: tuple[str, ...]


class SubmittedReply(Strict):
    """A signed line and the bytes that it names, both in base64."""

    line: str
    payload: str


Body = TypeVar("Body", bound=Strict)
MOST_PARTS = 2**14  # a poll names up to a thousand questions that are done
_SEPARATORS = (b",", b"[", b"{")


def read(kind: type[Body], body: bytes) -> Body:
    """A request's body; Malformed unless it has exactly these fields, each of its type. What has more parts than any
    request is not even parsed: each part costs fifty times its bytes."""
    try:
        return kind.model_validate_json(body if sum(map(body.count, _SEPARATORS)) <= MOST_PARTS else b"")
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise Malformed(
            N_("the request has exactly the fields {fields}"),
            why=N_("{error}"),
            fields=", ".join(field.alias or name for name, field in kind.model_fields.items()),
            error=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
        ) from error
