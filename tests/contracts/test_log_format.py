"""The log's formats against published vectors and against themselves."""

from array import array
from contextlib import suppress
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import canonical, load_public, open_entry, public_text, seal, strict_json, to_base64
from contracts.errors import Invalid, Malformed, TrustError
from contracts.log import merkle, tiles
from contracts.log.checkpoint import (
    WITNESS_KEY,
    Checkpoint,
    NoteKey,
    cosign_note,
    cosigners,
    format_proof,
    parse_line,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    verify_cosignature,
    verify_proof,
)
from contracts.log.quorum import Quorum, quorum_of
from contracts.statements.artefact import Artefact, read_artefact
from contracts.statements.statements import Key, Policy, QuorumRule
from hash_tiles import tile_hashes
from simulator import Trust

# RFC 6962 reference inputs as used by the public test suites of the tree, with their roots.
LEAVES = [
    bytes.fromhex(h)
    for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def test_roots_are_the_published_ones():
    assert [merkle.root(HASHES[:n]).hex() for n in range(1, 9)] == ROOTS


def test_every_proof_of_small_trees_holds_and_no_other():
    tree = merkle.Tree(HASHES)
    for size in range(1, 9):
        top = merkle.root(HASHES[:size])
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            merkle.verify_inclusion(HASHES[index], index, size, proof, top)
            with pytest.raises(Invalid):
                merkle.verify_inclusion(HASHES[index], index, size, [*proof, b"\0" * 32], top)
            for wrong in range(size):
                if wrong != index:
                    with pytest.raises(Invalid):
                        merkle.verify_inclusion(HASHES[index], wrong, size, proof, top)
        for old in range(size + 1):
            proof = tree.consistency_proof(old, size)
            merkle.verify_consistency(old, merkle.root(HASHES[:old]), size, top, proof)
            if 0 < old < size:
                with pytest.raises(Invalid, match="does not extend"):
                    merkle.verify_consistency(old, merkle.root(HASHES[1 : old + 1]), size, top, proof)


def test_proofs_of_a_large_tree_hold_across_the_borders_of_its_tiles():
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(66_000)]
    tree, sizes = merkle.Tree(leaves), (1, 255, 256, 257, 511, 65_535, 65_536, 65_537, 66_000)
    for size in sizes:
        assert tree.root(size) == merkle.root(leaves[:size]) == tree.frontier(size).root()
        for at in {0, size // 2, size - 1}:
            merkle.verify_inclusion(leaves[at], at, size, tree.inclusion_proof(at, size), tree.root(size))
        for old in (old for old in sizes if old <= size):
            proof = tree.consistency_proof(old, size)
            merkle.verify_consistency(old, tree.root(old), size, tree.root(size), proof)
    for name in (name for name in tiles.names(66_000) if name.level is not None):
        first = name.n * tiles.WIDTH
        assert tree.row(name.level, first, first + name.width) == tile_hashes(leaves, name)


@given(st.lists(st.binary(max_size=40), max_size=600), st.integers(0, 70_000))
@settings(max_examples=30, deadline=None)
def test_bundles_and_tile_names_parse_back(entries, n):
    assert tiles.parse_bundle(tiles.bundle(entries), len(entries)) == entries
    for name in (tiles.TileName(None, n), tiles.TileName(2, n, 7)):
        assert tiles.parse_path(name.path()) == name


def test_tile_names_are_those_of_the_specification():
    assert tiles.TileName(0, 1234067).path() == "tile/0/x001/x234/067"
    assert tiles.TileName(None, 5, 12).path() == "tile/entries/005.p/12"
    for wrong in (
        "tile/0/5",
        "tile/0/0005",
        "tile/0/x000/005",
        "tile/00/005",
        "tile/0/005.p/256",
        "tile/0/005.p/0",
        "tile/99/005",
    ):
        with pytest.raises(Malformed):
            tiles.parse_path(wrong)


def test_hash_tiles_of_a_large_tree_lead_to_its_root():
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(600)]
    listed = list(tiles.names(600))
    assert [n.path() for n in listed if n.level == 1] == ["tile/1/000.p/2"]
    top = tile_hashes(leaves, tiles.TileName(1, 0, 2))
    assert merkle.root(leaves[:512]) == merkle.node_hash(top[:32], top[32:])


def test_a_key_with_plus_signs_in_its_base64_parses():
    keys = (NoteKey("chamber.test/log", WITNESS_KEY, Ed25519PrivateKey.generate().public_key()) for _ in range(200))
    texts = [key.vkey() for key in keys]
    assert any(text.count("+") > 2 for text in texts)
    assert all(parse_vkey(text).vkey() == text for text in texts)


def test_the_note_vector_of_the_go_implementation_holds():
    key = parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    body = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = parse_line(
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert line.hash == key.hash
    key.public.verify(line.sig, body.encode())


def test_checkpoints_cosignatures_and_receipts():
    trust = Trust()
    note = trust.note()
    assert parse_note(note.text()) == note
    assert set(cosigners(note, trust.log, trust.state.witnesses())) == set(trust.state.witnesses())
    proof = merkle.Tree(merkle.leaf_hash(e) for e in trust.entries).inclusion_proof(2, len(trust.entries))
    receipt = format_proof(2, proof, note)
    assert verify_proof(receipt, merkle.leaf_hash(trust.entries[2]), trust.log) == (2, note)
    with pytest.raises(Invalid):
        verify_proof(receipt, merkle.leaf_hash(trust.entries[3]), trust.log)
    with pytest.raises(Invalid, match="unknown key"):
        cosigners(note, trust.log, {})


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_signed_checkpoint_passes(data):
    text = bytearray(_TEXT)
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((TrustError, UnicodeDecodeError)):
        cosigners(parse_note(bytes(text).decode()), _TRUST.log, _TRUST.state.witnesses())


_TRUST = Trust()
_TEXT = _TRUST.note().text().encode()


def test_quorums_of_two_halves_share_a_witness():
    wanted = {rule: [quorum_of(rule, n) for n in (0, 1, 2, 3, 4, 7)] for rule in get_args(QuorumRule)}
    assert list(wanted.values()) == [[1, 1, 2, 2, 3, 4], [1, 1, 2, 3, 3, 5], [1, 1, 2, 3, 4, 7]]


def test_a_checkpoint_needs_members_and_auditors_as_they_were_at_its_size():
    trust = Trust(members=4)
    before, size = trust.state.quorum_at(trust.state.size), trust.state.size
    names, auditor = list(before.members), Ed25519PrivateKey.generate()
    assert (before.of_members, before.of_auditors) == (3, 0) and before.is_met(names[:3])
    assert not before.is_met(names[:2]) and not before.is_met([*names[:2], names[0], "stranger"])
    trust.say(
        Key(
            **trust.stamp(),
            member=None,
            role="auditor",
            public=public_text(auditor.public_key()),
            register_document=None,
        ),
        trust.office,
        auditor,
    )
    with_auditor = trust.state.quorum_at(trust.state.size)
    [name] = with_auditor.auditors
    assert not with_auditor.is_met(names) and with_auditor.is_met([*names[:3], name])
    strict = Policy(**trust.stamp(), prev=trust.state.quorum, quorum="members n, auditors 1")
    assert trust.say(strict, trust.office, *(firm.node for firm in trust.firms[:3]))[0].code == "POLICY", "no auditor"
    again = strict.model_copy(update=trust.stamp())
    assert trust.say(again, trust.office, auditor, *(firm.node for firm in trust.firms[:3])) == ()
    assert not trust.state.quorum_at(trust.state.size).is_met([*names[:3], name])
    assert trust.state.quorum_at(size).is_met(names[:3]), "older checkpoints keep the rule of their size"


def test_the_policy_file_names_both_groups():
    trust, key = Trust(members=2), Ed25519PrivateKey.generate()
    quorum = trust.state.quorum_at(trust.state.size)
    with_auditor = Quorum(quorum.rule, quorum.members, {"a": NoteKey("a", WITNESS_KEY, key.public_key())})
    text = with_auditor.policy(trust.log, "https://chamber.test")
    assert [line.split()[0] for line in text.splitlines()] == [
        "log",
        *["witness"] * 2,
        "group",
        "witness",
        *["group"] * 2,
        "quorum",
    ]
    assert "group members 2 w0 w1\n" in text and text.endswith("group both all members auditors\nquorum both\n")
    assert Quorum(quorum.rule, {}, {}).policy(trust.log, "u").endswith("quorum none\n")


def test_a_cosignature_of_another_time_does_not_hold():
    key = Ed25519PrivateKey.generate()
    note = sign_checkpoint(Checkpoint("chamber.test/log", 0, b"\0" * 32), key)
    line = parse_line(cosign_note(note, key, name="w", time=1_700_000_000))
    witness = NoteKey("w", WITNESS_KEY, key.public_key())
    assert verify_cosignature(note.checkpoint, line, witness) == 1_700_000_000
    with pytest.raises(Invalid):
        verify_cosignature(note.checkpoint, type(line)(line.name, line.hash, b"\1" + line.sig[1:]), witness)


@pytest.mark.parametrize(
    "text", [b'{"a":1,"a":2}', b'{"b":1,"a":2}', b'{"a":1.0}', b'{"a": 1}', b"NaN", b"\xff", b"[" * 100_000]
)
def test_json_has_one_spelling(text):
    with pytest.raises(Malformed):
        strict_json(text)


def test_small_order_and_non_canonical_keys_are_refused():
    prime = 2**255 - 19
    for y in (0, 1, prime - 1, prime, prime + 1, 2**255 - 1):
        for sign in (0, 1 << 255):
            with pytest.raises(Invalid, match="weak"):
                load_public(to_base64((y | sign).to_bytes(32, "little")))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_of_an_envelope_passes(data):
    key = Ed25519PrivateKey.generate()
    entry = bytearray(seal(canonical({"a": "text"}), [key]))
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(Malformed):
        assert not open_entry(bytes(entry)).holds_for(key.public_key())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_artefacts_read_back(values):
    artefact = Artefact("model", {"task": "risk", "round": 3}, array("d", values))
    assert read_artefact(artefact.to_bytes(), "model", "d").to_bytes() == artefact.to_bytes()


def test_artefacts_refuse_nan_wrong_kind_and_torn_bytes():
    good = Artefact("model", {}, array("d", [1.0, 2.0])).to_bytes()
    for wrong in (
        good[:-1],
        good + b"\0",
        Artefact("model", {}, array("d", [float("nan")])).to_bytes(),
        b"",
        b"x\ny\n",
    ):
        with pytest.raises(Malformed):
            read_artefact(wrong, "model", "d")
    with pytest.raises(Malformed, match="expected contribution"):
        read_artefact(good, "contribution", "q")
