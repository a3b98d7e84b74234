"""The few field types that everything signed is made of, and the strict base of every signed model."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from contracts.errors import Refused
from contracts.wording import N_, is_plain

_UUID = r"^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


def _is_instant(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _is_base64(text: str) -> str:
    if b64encode(b64decode(text, validate=True)).decode("ascii") != text:
        raise ValueError("not in its canonical spelling")
    return text


RecordId = Annotated[str, StringConstraints(pattern=_UUID)]
MemberId = Annotated[str, StringConstraints(pattern=_UUID)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
KeyText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
# The DER bytes of a certificate in base64; what its bytes say is for whoever connects under it.
CertificateText = Annotated[str, StringConstraints(min_length=4, max_length=8192), AfterValidator(_is_base64)]
Time = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$"),
    AfterValidator(
        _is_instant
    ),  # the 31st of February fits the pattern; every Time sorts as text because all have one form
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Decimal = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$")]
Delta = Annotated[str, StringConstraints(pattern=r"^1e-([5-9]|1[0-2])$")]
SignedDecimal = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$")]
Index = Annotated[int, Field(ge=0, lt=2**53)]
Count = Annotated[int, Field(ge=1, lt=2**53)]


class Strict(BaseModel):
    """Frozen, no unknown field, no conversion between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def check_text(text: str) -> str:
    """The text, if everyone who reads it sees all of it and sees the same; Refused (TEXT) otherwise."""
    if is_plain(text):
        return text
    raise Refused(
        N_("“{text}” cannot stand in what others read and sign"),
        why=N_("it is empty, holds a new line, a control or an invisible character, or is not written in Unicode NFC"),
        do=N_("type it again, in letters, digits and single spaces"),
        code="TEXT",
        text=text,
    )


def new_id() -> str:
    """A fresh `urn:uuid`."""
    return f"urn:uuid:{uuid4()}"


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The instant that a Time names."""
    return datetime.fromisoformat(text)
