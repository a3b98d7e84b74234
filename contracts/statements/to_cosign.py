"""A statement: one statement in a file that goes round until everyone whose word it needs has signed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import from_base64, key_id, merge, public_text, seal, to_base64
from contracts.errors import Malformed
from contracts.fields import new_id
from contracts.statements.closed_list import payload
from contracts.statements.signed import read_statement
from contracts.statements.statements import Key, Policy
from contracts.wording import N_

Said = Key | Policy


def write(entry: bytes) -> str:
    """The text of the file."""
    return json.dumps({"entries": [to_base64(entry)]})


def read(texts: Sequence[bytes]) -> tuple[bytes, Said]:
    """(entry with the signatures of all copies, what it says); Malformed unless they are copies of one statement."""
    try:
        entry = merge([from_base64(held) for text in texts for held in json.loads(text)["entries"]])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(N_("this is no statement to cosign")) from error
    said = read_statement(entry).said
    if not isinstance(said, Said):
        raise Malformed(N_("this is no statement to cosign"))
    return entry, said


def words(said: Said, translate: Callable[[str], str] = str) -> str:
    """What whoever signs a statement says with it."""
    if isinstance(said, Policy):
        text = N_("From its entry on the log's quorum is “{quorum}”, and no longer “{prev}”.")
        return translate(text).format(quorum=said.quorum, prev=said.prev)
    text = N_("From its entry on {public} is the {role} key of {member}; it replaces {replaces}, which ends.")
    member = said.member or translate(N_("the chamber") if said.role in ("office", "agreement") else N_("an auditor"))
    return translate(text).format(public=said.public, role=said.role, member=member, replaces=said.replaces or "-")


def successor(
    old: Ed25519PrivateKey | str, new: Ed25519PrivateKey, *, member: str | None, role: str, issued_at: str
) -> bytes:
    """The statement that `new` takes the place of `old` in its role, signed by `new`, and by `old` if that is at hand
    (not only its KeyId)."""
    signers = [new] if isinstance(old, str) else [old, new]
    said = Key(
        record_id=new_id(),
        issued_at=issued_at,
        member=member,
        role=role,  # type: ignore[arg-type]
        public=public_text(new.public_key()),
        register_document=None,
        replaces=old if isinstance(old, str) else key_id(old.public_key()),
    )
    return seal(payload(said), signers)
