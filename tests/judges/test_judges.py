"""Software that we did not write agrees with ours, and disagrees with an altered copy. `make judges`."""

import base64
import json
import subprocess

import pytest

from contracts.envelope import open_entry, pre_authentication
from contracts.receipts import places
from simulator import Trust


@pytest.fixture(scope="module")
def trust():
    made = Trust()
    made.whole_run()
    return made


def altered(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def test_pymerkle_finds_the_same_root(trust):
    pymerkle = pytest.importorskip("pymerkle")

    def root(entries):
        tree = pymerkle.InmemoryTree("sha256")
        for entry in entries:
            tree.append_entry(entry)
        return tree.get_root()

    signed = trust.note().checkpoint.root
    assert root(trust.entries) == signed
    assert root([*trust.entries[:-1], altered(trust.entries[-1])]) != signed


def test_sigstore_accepts_the_audit_paths(trust):
    merkle = pytest.importorskip("sigstore._internal.merkle")

    def root_of(entry, place):
        inner, _border = merkle._decomp_inclusion_proof(place.index, place.size)
        node = merkle._chain_inner(merkle._hash_leaf(entry), list(place.path[:inner]), place.index)
        return merkle._chain_border_right(node, list(place.path[inner:]))

    signed = trust.note().checkpoint.root
    for place in places(trust.entries, range(len(trust.entries))):
        assert root_of(place.data, place) == signed
        assert root_of(altered(place.data), place) != signed


def test_securesystemslib_and_in_toto_accept_the_entries(trust):
    dsse = pytest.importorskip("securesystemslib.dsse")
    signer = pytest.importorskip("securesystemslib.signer")
    statement = pytest.importorskip("in_toto_attestation.v1.statement")
    errors = pytest.importorskip("securesystemslib.exceptions")
    proto = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    from google.protobuf import json_format

    keys = {keyid: base64.b64decode(key.public) for keyid, key in trust.state.keys.items()}
    for entry in trust.entries:
        envelope = json.loads(entry)
        used = [
            signer.SSlibKey(s["keyid"], "ed25519", "ed25519", {"public": keys[s["keyid"]].hex()})
            for s in envelope["signatures"]
        ]
        dsse.Envelope.from_dict(json.loads(entry)).verify(used, len(used))
        said = open_entry(entry).payload
        json_format.Parse(said, made := proto.Statement())
        statement.Statement.copy_from_pb(made).validate()
        envelope["payload"] = base64.b64encode(said.replace(b'"issued_at":"2026', b'"issued_at":"2027')).decode()
        with pytest.raises(errors.VerificationError):
            dsse.Envelope.from_dict(envelope).verify(used, len(used))


def test_openssl_accepts_the_signatures(trust, tmp_path):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from contracts.envelope import load_public

    opened = open_entry(trust.entries[-1])
    [signature] = opened.signatures
    public = load_public(trust.state.keys[signature.keyid].public)
    pem, message, sig = (tmp_path / name for name in ("key.pem", "message", "sig"))
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    sig.write_bytes(signature.sig)

    def holds(data):
        message.write_bytes(data)
        line = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", message, "-sigfile", sig]
        return subprocess.run(line, capture_output=True, timeout=60).returncode == 0

    assert holds(pre_authentication(opened.payload))
    assert not holds(pre_authentication(altered(opened.payload)))
