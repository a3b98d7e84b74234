"""One spelling for everything signed: RFC 8785 bytes, SHA-256 digests, Ed25519 in DSSE (in-toto payloads)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contracts.errors import Invalid, Malformed
from contracts.wording import N_

PAYLOAD_TYPE = "application/vnd.in-toto+json"
ENTRY_MAX_BYTES = 65_535
_KEY_NAME = re.compile(r"sha256:[0-9a-f]{64}")
_FIELD_PRIME = 2**255 - 19
# The y coordinates of the points whose order divides 8: under such a key one signature can hold for
# many messages.
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


def canonical(value: Any) -> bytes:
    """`value` in RFC 8785 (JCS) bytes: the only form that is hashed or signed."""
    return rfc8785.dumps(value)


def digest(data: bytes) -> str:
    """`sha256:<64 hex digits>` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def strict_json(data: bytes) -> Any:
    """Parse JSON that has exactly one spelling: JCS bytes, no floats, no repeated keys.

    Raises Malformed otherwise.
    """
    value = loose_json(data)
    try:
        respelled = canonical(value)
    except (RecursionError, ValueError) as error:  # a lone surrogate in a key is no CanonicalizationError
        raise Malformed(N_("the JSON cannot be read: {error}"), code="NOT_CANONICAL", error=error) from error
    if respelled != data:
        raise Malformed(N_("the JSON is not in its canonical spelling"), code="NOT_CANONICAL")
    return value


def loose_json(data: bytes) -> Any:
    """JSON without floats, in any spelling: for callers that spell again what they read and compare the bytes."""
    try:
        return json.loads(data.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise Malformed(N_("the JSON cannot be read: {error}"), code="NOT_CANONICAL", error=error) from error


def _no_float(text: str) -> None:
    raise ValueError(f"number {text} is not an integer")


def key_id(public: Ed25519PublicKey) -> str:
    """The name of a key: digest of its raw 32 bytes."""
    return digest(public.public_bytes_raw())


def public_text(public: Ed25519PublicKey) -> str:
    """A public key as base64 of its raw 32 bytes."""
    return base64.b64encode(public.public_bytes_raw()).decode("ascii")


def load_public(text: str) -> Ed25519PublicKey:
    """The key of `public_text`; refuses non-canonical and small-order points (code WEAK_KEY)."""
    raw = from_base64(text)
    if len(raw) != 32:
        raise Malformed(N_("a public key has 32 bytes, this one has {n}"), n=len(raw))
    if not _is_sound_point(raw):
        raise Invalid(
            N_("this Ed25519 key is weak: a signature under it would prove nothing"),
            do=N_("make a new key"),
            code="WEAK_KEY",
        )
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise Malformed(N_("this is not an Ed25519 public key")) from error


def _is_sound_point(raw: bytes) -> bool:
    """In its one spelling, and not of small order."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    return y < _FIELD_PRIME and y not in _SMALL_ORDER_Y


def verifies(public: Ed25519PublicKey, sig: bytes, message: bytes) -> bool:
    """True if an Ed25519 signature holds and has the one spelling that an honest signer gives it.

    OpenSSL already refuses s >= the group order; it does not look at R, which a signer can only make of small order
    or in a second spelling by leaving the algorithm.
    """
    if len(sig) != 64 or not _is_sound_point(sig[:32]):
        return False
    try:
        public.verify(sig, message)
    except InvalidSignature:
        return False
    return True


def to_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: object) -> bytes:
    """Standard base64 in its one canonical spelling; Malformed otherwise, also for what is no text at all."""
    try:
        if not isinstance(text, str):
            raise ValueError("no text")
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Malformed(N_("this is not base64")) from error
    if to_base64(data) != text:
        raise Malformed(N_("this base64 is not in its canonical spelling"), code="NOT_CANONICAL")
    return data


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope: who is said to have signed (KeyId) and the 64 bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """An envelope that reads well; whether its signatures hold is asked with `holds_for`."""

    payload: bytes
    signatures: tuple[Signature, ...]

    def holds_for(self, public: Ed25519PublicKey) -> bool:
        """True if `public` signed this payload and the envelope names it."""
        name, message = key_id(public), pre_authentication(self.payload)
        return any(verifies(public, s.sig, message) for s in self.signatures if s.keyid == name)

    def signers(self, keys: Mapping[str, Ed25519PublicKey]) -> set[str]:
        """KeyIds whose signature holds; every signature must be by a key of `keys`, or Invalid."""
        for signature in self.signatures:
            public = keys.get(signature.keyid)
            if public is None:
                raise Invalid(N_("signed by an unknown key {keyid}"), code="UNKNOWN_KEY", keyid=signature.keyid)
            if not self.holds_for(public):
                raise Invalid(
                    N_("the signature of key {keyid} does not hold"), code="BAD_SIGNATURE", keyid=signature.keyid
                )
        return {signature.keyid for signature in self.signatures}


def pre_authentication(payload: bytes) -> bytes:
    """The bytes that DSSE signs (PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def seal(payload: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """Entry bytes: `payload` signed by every key, signatures in order of KeyId."""
    if not keys:
        raise ValueError("an envelope needs at least one signing key")
    message = pre_authentication(payload)
    return _format(payload, [Signature(key_id(k.public_key()), k.sign(message)) for k in keys])


def cosign(entry: bytes, key: Ed25519PrivateKey) -> bytes:
    """The same entry with one more signature; nothing changes if the key has signed it already."""
    return merge([entry, seal(open_entry(entry).payload, [key])])


def merge(entries: Sequence[bytes]) -> bytes:
    """One entry with the signatures of several copies of it; Malformed if they are not copies of one."""
    opened = [open_entry(entry) for entry in entries]
    found = {signature.keyid: signature for one in opened for signature in one.signatures}
    if len({one.payload for one in opened}) != 1:
        raise Malformed(N_("these files do not hold one and the same statement"))
    return _format(opened[0].payload, list(found.values()))


def _format(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    ordered = sorted(signatures, key=lambda s: s.keyid)
    return canonical(
        {
            "payload": to_base64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": s.keyid, "sig": to_base64(s.sig)} for s in ordered],
        }
    )


def _key_name(text: str) -> str:
    if not _KEY_NAME.fullmatch(text):
        raise Malformed(N_("an envelope has payload, payloadType and signatures"))
    return text


def open_entry(entry: bytes) -> OpenedEnvelope:
    """Read an envelope in its one spelling; Malformed otherwise."""
    if len(entry) > ENTRY_MAX_BYTES:
        raise Malformed(N_("an entry has at most {limit} bytes, this one has {n}"), limit=ENTRY_MAX_BYTES, n=len(entry))
    value = loose_json(entry)
    try:
        if value["payloadType"] != PAYLOAD_TYPE:
            raise Malformed(N_("unknown payload type {found}"), code="TYPE_CONFUSION", found=value["payloadType"])
        signatures = tuple(Signature(_key_name(s["keyid"]), from_base64(s["sig"])) for s in value["signatures"])
        opened = OpenedEnvelope(from_base64(value["payload"]), signatures)
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(N_("an envelope has payload, payloadType and signatures")) from error
    names = [s.keyid for s in signatures]
    if not names or len(set(names)) < len(names):
        raise Malformed(N_("an envelope needs signatures, one a key"))
    if _format(opened.payload, signatures) != entry:  # also catches repeated keys, other fields, other spellings
        raise Malformed(N_("the envelope is not in its canonical spelling"), code="NOT_CANONICAL")
    return opened
