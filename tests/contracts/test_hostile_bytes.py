"""Weak keys and odd bytes: refused with a code, never with a traceback, wherever they come in."""

import base64
import json
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import canonical, load_public, open_entry, seal, strict_json, to_base64, verifies
from contracts.errors import Invalid, Malformed, TrustError
from contracts.log import tiles
from contracts.log.checkpoint import NoteKey, parse_body, parse_line, parse_note, parse_vkey, verify_proof
from contracts.rules.fold import apply, replay
from contracts.statements.artefact import read_artefact
from contracts.statements.closed_list import parse
from editor import Editor
from golden import read_entries, read_keys

ENTRIES = read_entries()
STATES = [replay(ENTRIES[:n])[0] for n in range(len(ENTRIES))]
KEYS = read_keys()
LOG = NoteKey("chamber.test/consent-log", 1, KEYS["log"].public_key())
PRIME, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493


def refused(entry, index):
    """The entry gives a finding, and neither a key nor a consent nor a charge comes of it."""
    before = STATES[index]
    after, findings = apply(before, entry, index)
    assert findings and after.size == index + 1
    assert (after.keys, after.consents, after.charges) == (before.keys, before.consents, before.charges)
    return True


@pytest.mark.parametrize("index", [0, 1, 7, 8, 11, 12, 13, len(ENTRIES) - 1])
def test_no_flipped_byte_of_an_entry_passes(index):
    entry = ENTRIES[index]
    for at in range(0, len(entry), 3):
        assert refused(entry[:at] + bytes([entry[at] ^ (1 << at % 8)]) + entry[at + 1 :], index), at


@pytest.mark.slow
def test_no_flipped_byte_of_any_entry_passes():
    for index, entry in enumerate(ENTRIES):
        for at in range(len(entry)):
            assert refused(entry[:at] + bytes([entry[at] ^ (1 << at % 8)]) + entry[at + 1 :], index), (index, at)


def test_a_signature_with_a_second_spelling_does_not_hold():
    key, message = KEYS["office"], b"words"
    good = key.sign(message)
    s = int.from_bytes(good[32:], "little") + ORDER
    assert verifies(key.public_key(), good, message)
    assert not verifies(key.public_key(), good[:32] + s.to_bytes(32, "little"), message)
    assert not verifies(key.public_key(), good[:-1], message) and not verifies(key.public_key(), b"", message)


@pytest.mark.parametrize("y", [0, 1, PRIME - 1, PRIME, PRIME + 1, 2**255 - 1])
def test_a_signature_over_a_point_of_small_order_does_not_hold_whatever_else_is_right(y):
    """The signer knows its own key, so it can make R the neutral element: the plain equation would hold."""
    import hashlib

    key = KEYS["office"]
    public = key.public_key().public_bytes_raw()
    secret = int.from_bytes(hashlib.sha512(key.private_bytes_raw()).digest()[:32], "little")
    secret = (secret & ~7 & ((1 << 254) - 1)) | (1 << 254)
    first = y.to_bytes(32, "little")
    k = int.from_bytes(hashlib.sha512(first + public + b"words").digest(), "little") % ORDER
    forged = first + (k * secret % ORDER).to_bytes(32, "little")
    assert not verifies(key.public_key(), forged, b"words")
    if y == 1:  # OpenSSL alone takes this one
        key.public_key().verify(forged, b"words")


@pytest.mark.parametrize("text", ["", "A", "AAAA", "=" * 44, "A" * 43 + "=", "é" * 44, "A" * 42 + "B="])
def test_text_that_is_no_public_key_is_refused(text):
    with pytest.raises((Malformed, Invalid)):
        load_public(text)


def test_an_entry_may_have_so_many_bytes_and_no_more():
    big = seal(canonical({"a": "x" * 60_000}), [KEYS["office"]])
    with pytest.raises(Malformed, match="at most"):
        open_entry(big)
    assert refused(big, 8)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: e.replace(b"{", b"{ ", 1), "NOT_CANONICAL"),
        (lambda e: e + b"\n", "NOT_CANONICAL"),
        (lambda e: e.replace(b'"payloadType"', b'"payloadTypes"'), "MALFORMED"),
        (lambda e: e.replace(b"in-toto", b"in-tata"), "TYPE_CONFUSION"),
        (lambda e: json.dumps(json.loads(e) | {"more": 1}, separators=(",", ":")).encode(), "NOT_CANONICAL"),
        (lambda e: json.dumps(json.loads(e) | {"signatures": []}, separators=(",", ":")).encode(), "MALFORMED"),
        (lambda e: json.dumps(json.loads(e) | {"payload": 1.5}, separators=(",", ":")).encode(), "NOT_CANONICAL"),
        (lambda e: b"[" * 60_000, "NOT_CANONICAL"),
    ],
)
def test_an_envelope_has_one_spelling(change, code):
    with pytest.raises(Malformed) as told:
        open_entry(change(ENTRIES[8]))
    assert told.value.code == code


PARSERS = {
    "note": lambda b: parse_note(b.decode()),
    "body": lambda b: parse_body(b.decode()),
    "line": lambda b: parse_line(b.decode()),
    "vkey": lambda b: parse_vkey(b.decode()),
    "proof": lambda b: verify_proof(b.decode(), bytes(32), LOG),
    "path": lambda b: tiles.parse_path(b.decode()),
    "bundle": lambda b: tiles.parse_bundle(b, 3),
    "artefact": lambda b: read_artefact(b, "model", "d"),
    "json": strict_json,
    "envelope": open_entry,
    "statement": parse,
}


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_parser_fails_otherwise_than_by_refusing(parser, data):
    noise = data.draw(
        st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")))
    )
    with suppress(TrustError, UnicodeDecodeError):
        PARSERS[parser](noise)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12) | st.sampled_from(["1e-6", "risk"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_in_any_field_of_a_rightly_signed_statement_is_judged_without_a_traceback(data):
    editor = Editor()
    index = data.draw(st.integers(1, len(ENTRIES) - 1))
    line = editor.lines[index]
    held, path = line.said, []
    while isinstance(held, dict | list) and held:
        step = data.draw(st.sampled_from(sorted(held) if isinstance(held, dict) else range(len(held))))
        path.append(step)
        held = held[step]
        if data.draw(st.booleans()):
            break
    parent = line.said
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = data.draw(JSON)
    payload = json.loads(open_entry(ENTRIES[index]).payload) | {"predicate": line.said}
    with suppress(ValueError):  # a number that JCS cannot spell never becomes an entry
        entry = seal(canonical(payload), [editor.keys[name] for name in line.signers])
        after, _ = apply(STATES[index], entry, index)
        assert after.size == index + 1


def test_every_time_is_a_moment_that_exists():
    for wrong in ("2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z"):
        editor = Editor()
        editor.find("incident").said["issued_at"] = wrong
        [finding] = replay(editor.build())[1]
        assert finding.code == "PROFILE"


def test_base64_has_one_spelling_in_keys_too():
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    loose = to_base64(key)[:-2] + chr(ord(to_base64(key)[-2]) + 1) + "="
    with pytest.raises(Malformed):
        load_public(loose)
    assert base64.b64decode(to_base64(key)) == key
