"""The closed list of statements: each is spelled in one way, and nothing else is read."""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from contracts.envelope import canonical, loose_json
from contracts.errors import Malformed
from contracts.statements import off_log as off_log  # its kinds are of the list as well
from contracts.statements.statements import Predicate
from contracts.wording import N_

_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_TYPE = re.compile(r"urn:mengbang:attest:([a-z-]+):v1")


def payload(predicate: Predicate) -> bytes:
    """The in-toto Statement of a predicate, in canonical bytes."""
    name, subject = predicate.subject()
    return canonical(
        {
            "_type": _STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": subject.removeprefix("sha256:")}}],
            "predicateType": f"urn:mengbang:attest:{predicate.kind}:v1",
            "predicate": predicate.model_dump(mode="json"),
        }
    )


def parse(data: bytes) -> Predicate:
    """The predicate of a statement; Malformed (code PROFILE) unless `payload` would spell it just so."""
    value = loose_json(data)
    match = _TYPE.fullmatch(str(value.get("predicateType"))) if isinstance(value, dict) else None
    kind = Predicate.closed_list.get(match[1]) if match else None
    if kind is None:
        raise Malformed(N_("unknown kind of statement"), code="PROFILE")
    try:
        predicate = kind.model_validate_json(json.dumps(value.get("predicate")))
        respelled = payload(predicate)
    except (ValueError, RecursionError) as error:
        raise Malformed(
            N_("a {kind} statement has a wrong field: {error}"),
            code="PROFILE",
            kind=kind.kind,
            error=_first_error(error),
        ) from error
    if respelled != data:
        raise Malformed(N_("a {kind} statement is not in its one spelling"), code="NOT_CANONICAL", kind=kind.kind)
    return predicate


def _first_error(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
