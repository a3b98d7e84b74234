"""Software that we did not write agrees with ours, and disagrees with an altered copy. `make judges`."""

import base64
import json
import subprocess
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.envelope import load_public, open_entry, pre_authentication, to_base64
from contracts.log.receipts import places
from judge_tools import HERE, absent, need, run
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


def cosigned(trust):
    """(entry, index, path, note) of each receipt: what sigstore calls an inclusion proof with its checkpoint."""
    note = trust.note().text()
    return [(one.data, one.index, one.path, note) for one in places(trust.entries, range(len(trust.entries)))]


def forgeries(entry, index, path, note):
    """The same receipt with one part of it altered."""
    yield altered(entry), index, path, note
    yield entry, index ^ 1, path, note
    yield entry, index, (altered(path[0]), *path[1:]), note
    yield entry, index, path[1:], note
    lines = note.split("\n")
    for at in (1, 2, 4):  # size, root, the log's signature
        middle = len(lines[at]) // 2
        changed = lines[at][:middle] + ("1" if lines[at][middle] != "1" else "2") + lines[at][middle + 1 :]
        yield entry, index, path, "\n".join([*lines[:at], changed, *lines[at + 1 :]])


def test_sigstore_accepts_the_receipts(trust):
    from sigstore._internal import merkle
    from sigstore._internal import trust as keys
    from sigstore._internal.rekor import checkpoint
    from sigstore.errors import VerificationError

    der = trust.log.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kind = keys.common_v1.PublicKeyDetails.PKIX_ED25519
    ring = keys.Keyring([keys.common_v1.PublicKey(raw_bytes=base64.b64encode(der), key_details=kind)])

    def holds(entry, index, path, note):
        signed = checkpoint.SignedCheckpoint.from_text(note)
        proof = SimpleNamespace(
            log_index=index,
            tree_size=signed.checkpoint.log_size,
            hashes=list(path),
            root_hash=bytes.fromhex(signed.checkpoint.log_hash),
            checkpoint=SimpleNamespace(envelope=note),
        )
        log = SimpleNamespace(key_id=trust.log.hash)
        said = SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=proof, log_id=log, canonicalized_body=entry))
        try:
            checkpoint.verify_checkpoint(ring, said)
            merkle.verify_merkle_inclusion(said)
        except VerificationError:
            return False
        return True

    for receipt in cosigned(trust):
        assert holds(*receipt)
        assert not any(holds(*forged) for forged in forgeries(*receipt))


@pytest.fixture(scope="module")
def npm_judge():
    node = need("node", "apt-get install nodejs npm")
    if not (HERE / "node_modules").exists():
        npm = need("npm", "apt-get install nodejs npm")
        done = run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=HERE)
        if done.returncode:
            absent(f"npm could not install @sigstore/verify: {done.stderr[-300:]}")
    return node


def test_sigstore_of_npm_accepts_the_receipts(trust, npm_judge):
    key = trust.log.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    log = {"origin": trust.log.name, "keyHash": to_base64(trust.log.hash), "key": key}

    def asked(entry, index, path, note):
        proof = {"entry": to_base64(entry), "index": index, "path": [to_base64(h) for h in path], "note": note}
        return json.dumps(proof | log)

    genuine = cosigned(trust)
    forged = [one for receipt in genuine for one in forgeries(*receipt)]
    done = run(npm_judge, HERE / "judge.mjs", input="\n".join(asked(*one) for one in genuine + forged))
    assert done.stdout.split() == ["true"] * len(genuine) + ["false"] * len(forged), done.stderr


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
