"""Published vectors: canonical JSON, and signatures on which implementations differ."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import canonical, load_public, strict_json, to_base64, verifies
from contracts.errors import Invalid, Malformed
from judge_tools import need, run

VECTORS = Path(__file__).parent.parent / "vectors"


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_canonical_json_is_that_of_rfc_8785(name):
    given, wanted = ((VECTORS / "jcs" / f"{name}.{which}.json").read_bytes() for which in ("in", "out"))
    assert canonical(json.loads(given)) == wanted
    with suppress(Malformed):  # numbers that are no integers: not in anything that is signed here
        assert canonical(strict_json(wanted)) == wanted
    with pytest.raises(Malformed):
        strict_json(b" " + wanted)


def holds(message, public, signature):
    try:
        key = load_public(to_base64(public))
    except Invalid as error:
        assert error.code == "WEAK_KEY"
        return False
    return verifies(key, signature, message)


def test_of_the_signatures_that_implementations_differ_on_only_the_sound_one_holds():
    """Small-order keys and points, cofactored-only equations, s above the order, second spellings: all refused."""
    cases = json.loads((VECTORS / "ed25519" / "speccheck.json").read_text())
    held = [
        n for n, one in enumerate(cases) if holds(*(bytes.fromhex(one[k]) for k in ("message", "pub_key", "signature")))
    ]
    assert held == [3]


def test_the_attacks_that_wycheproof_collects_are_refused_and_its_sound_signatures_hold():
    groups = json.loads((VECTORS / "ed25519" / "wycheproof.json").read_text())["testGroups"]
    cases = [(bytes.fromhex(group["publicKey"]["pk"]), case) for group in groups for case in group["tests"]]
    held = {
        case["tcId"] for public, case in cases if holds(bytes.fromhex(case["msg"]), public, bytes.fromhex(case["sig"]))
    }
    wanted = {word: {case["tcId"] for _, case in cases if case["result"] == word} for word in ("valid", "invalid")}
    assert wanted["valid"] <= held and not wanted["invalid"] & held
    assert (len(wanted["valid"]), len(wanted["invalid"])) == (117, 64), "29 others may hold or not, says the set"
    altered = [
        case for public, case in cases if holds(bytes.fromhex(case["msg"]) + b"x", public, bytes.fromhex(case["sig"]))
    ]
    assert altered == []


def test_the_vectors_of_the_authors_of_ed25519_hold_and_altered_ones_do_not():
    """The 128 of them that Go carries."""
    root = Path(run(need("go", "apt-get install golang-go"), "env", "GOROOT").stdout.strip())
    lines = gzip.decompress((root / "src/crypto/ed25519/testdata/sign.input.gz").read_bytes()).decode().split()
    assert len(lines) == 128
    for line in lines:
        seed, public, message, signed = (bytes.fromhex(word) for word in line.split(":")[:4])
        assert Ed25519PrivateKey.from_private_bytes(seed[:32]).sign(message) == signed[:64]
        assert holds(message, public, signed[:64]) and not holds(message + b"x", public, signed[:64])
