"""A node as witness: every answer of the protocol, one history only, and a memory that cannot be begun anew."""

import threading

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from client_node.home import create_home
from client_node.link.witness import Witness, begin_memory
from client_node.link.witness_server import listen, log_name, make_app, serve
from contracts.errors import Invalid, Malformed, Refused, TrustError, Unavailable
from contracts.log.checkpoint import (
    WITNESS_KEY,
    Checkpoint,
    Note,
    NoteKey,
    format_submission,
    parse_line,
    parse_note,
    parse_submission,
    sign_checkpoint,
    verify_cosignature,
)
from contracts.log.contradiction import fork, judge, truncation
from contracts.log.merkle import Tree, leaf_hash
from simulator import ORIGIN, Trust


class World:
    """A log with two histories that part after `common` entries, and a node that follows the first."""

    def __init__(self, folder, common=5):
        self.trust = Trust()
        leaves = [leaf_hash(entry) for entry in self.trust.entries]
        self.true = Tree([*leaves[:common], *(leaf_hash(b"true %d" % n) for n in range(20))])
        self.false = Tree([*leaves[:common], *(leaf_hash(b"false %d" % n) for n in range(20))])
        self.own = Tree()
        self.settings = create_home(folder / "node", folder)
        self.witness = Witness(
            self.settings.home, self.settings.witness_key, name=f"{ORIGIN}/witness/a", log=self.trust.log
        )
        self.client = TestClient(make_app(lambda: self.witness, self.trust.log, lambda: self.own))

    def note(self, tree, size, key=None, origin=ORIGIN):
        return sign_checkpoint(Checkpoint(origin, size, tree.root(size)), key or self.trust.log_key)

    def own_copy_holds(self, size):
        at = self.own.size
        self.own.extend(self.true.row(0, n, n + 1) for n in range(at, size))

    def add(self, note, old, proof=None, tree=None):
        if proof is None:
            proof = (tree or self.true).consistency_proof(min(old, note.checkpoint.size), note.checkpoint.size)
        return self.client.post("/add-checkpoint", content=format_submission(old, proof, note).encode())


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.own_copy_holds(6)
    return made


def key_of(world):
    return NoteKey(world.witness.name, WITNESS_KEY, world.settings.witness_key.public_key())


def test_every_answer_of_the_protocol(world):
    first = world.note(world.true, 6)
    told = world.add(first, 0)
    assert told.status_code == 200
    assert verify_cosignature(first.checkpoint, parse_line(told.text), key_of(world)) > 1_700_000_000
    grown = world.note(world.true, 11)
    assert world.add(grown, 6).status_code == 200, "growth with a proof"
    assert world.add(grown, 11).status_code == 200, "the same again: a fresh time"
    stale = world.add(world.note(world.true, 12), 6)
    assert (stale.status_code, stale.text) == (409, "11\n") and stale.headers["content-type"].startswith(
        "text/x.tlog.size"
    )
    assert world.add(world.note(world.false, 11), 11).status_code == 422, "two roots for one size"
    assert world.add(world.note(world.false, 15), 11, tree=world.false).status_code == 422, "larger, not consistent"
    assert world.add(world.note(world.true, 11), 12, proof=[]).status_code == 400, "old beyond the checkpoint"
    strange = world.note(world.true, 12, Ed25519PrivateKey.generate())
    assert world.add(strange, 11).status_code == 403
    assert world.add(world.note(world.true, 12, origin="other.test/log"), 11).status_code == 404
    for torn in (b"", b"old 1\n", b"old 01\n\n" + grown.text().encode(), b"\xff", b"old 1\nx\n\n"):
        assert world.client.post("/add-checkpoint", content=torn).status_code == 400
    assert world.client.post("/add-checkpoint", content=b"x" * 70_000).status_code == 413
    newest = parse_note(world.client.get(f"/{log_name(world.trust.log)}/checkpoint").text)
    assert newest.checkpoint == grown.checkpoint and len(newest.signatures) == 2
    assert world.client.get(f"/{'0' * 64}/checkpoint").status_code == 404


def test_size_zero_is_a_checkpoint_and_a_proof_from_it_is_empty(world):
    assert world.client.get(f"/{log_name(world.trust.log)}/checkpoint").status_code == 404
    assert world.add(world.note(world.true, 0), 0).status_code == 200
    assert world.add(world.note(world.true, 4), 0, proof=[b"x" * 32]).status_code == 422
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, b"\1" * 32), world.trust.log_key)
    assert world.add(empty, 0).status_code == 422
    assert world.add(world.note(world.true, 4), 0).status_code == 200


def test_a_first_checkpoint_must_begin_with_the_pinned_entry(world):
    unknown = world.add(world.note(world.true, 9), 0)
    assert unknown.status_code == 422 and "pinned entry" in unknown.text
    assert world.add(world.note(world.false, 6), 0).status_code == 422
    assert world.add(world.note(world.true, 6), 0).status_code == 200


def test_of_two_histories_at_once_one_is_signed(world):
    assert world.add(world.note(world.true, 5), 0).status_code == 200
    asked = [(world.note(tree, 12), tree) for tree in (world.true, world.false) for _ in range(6)]
    codes = [None] * len(asked)

    def ask(place, note, tree):
        codes[place] = world.add(note, 5, tree=tree).status_code

    world.own = Tree()
    threads = [threading.Thread(target=ask, args=(n, *pair)) for n, pair in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(codes) == [200] + [409] * 11


def test_a_lost_memory_is_never_begun_anew(world):
    world.add(world.note(world.true, 6), 0)
    memory = world.settings.home / "witness.db"
    kept = memory.read_bytes()
    for damage in (memory.unlink, lambda: memory.write_bytes(b""), lambda: memory.write_bytes(b"x" * 4096)):
        damage()
        assert not world.witness.has_memory()
        assert world.add(world.note(world.true, 6), 0).status_code == 503
        with pytest.raises(Refused, match="not known any more"):
            world.witness.follow(world.note(world.true, 6), world.own)
    memory.write_bytes(kept)
    assert world.witness.latest().checkpoint.size == 6


def test_a_memory_restored_from_an_old_copy_signs_no_second_view(world):
    memory = world.settings.home / "witness.db"
    world.add(world.note(world.true, 6), 0)
    old = memory.read_bytes()
    world.own_copy_holds(12)
    line = world.witness.follow(world.note(world.true, 12), world.own)
    memory.write_bytes(old)
    other = Tree([*(world.true.row(0, n, n + 1) for n in range(8)), *(leaf_hash(b"%d" % n) for n in range(9))])
    assert world.add(world.note(other, 10), 6, tree=other).status_code == 422, "the node's copy says otherwise"
    assert world.add(world.note(other, 16), 6, tree=other).status_code == 503, "the proof does not reach that copy"
    assert world.witness.latest().checkpoint.size == 6
    assert world.witness.follow(world.note(world.true, 12), world.own) is not None, "the one history goes on"
    memory.write_bytes(old)
    note = world.note(world.true, 12)
    world.witness.compare(Note(note.checkpoint, (*note.signatures, parse_line(line))))
    assert not world.witness.has_memory() and world.add(note, 6).status_code == 503
    successor = Ed25519PrivateKey.generate()
    begin_memory(world.settings.home, successor)
    assert not world.witness.has_memory(), "the memory of a successor is not its predecessor's"
    world.witness = Witness(world.settings.home, successor, name=world.witness.name, log=world.trust.log)
    assert world.add(note, 0).status_code == 200, "a server that runs answers with the key that its node has now"


def test_pull_mode_signs_the_newest_and_nothing_older(world):
    world.own_copy_holds(12)
    assert world.witness.follow(world.note(world.true, 12), world.own) is not None
    assert world.witness.follow(world.note(world.true, 8), world.own) is None
    with pytest.raises(Invalid) as told:
        world.witness.follow(world.note(world.false, 12), world.own)
    assert told.value.code == "EQUIVOCATION"


def test_the_witness_is_served_over_http(world):
    listener = listen("127.0.0.1:0")
    stop = serve(make_app(lambda: world.witness, world.trust.log, lambda: world.own), listener)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    note = world.note(world.true, 6)
    body = format_submission(0, [], note).encode()
    assert httpx.post(f"{url}/add-checkpoint", content=body, trust_env=False).status_code == 200
    assert httpx.get(f"{url}/{log_name(world.trust.log)}/checkpoint", trust_env=False).status_code == 200
    with pytest.raises(Unavailable, match="cannot listen"):
        listen(f"127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(Unavailable, match="cannot listen"):
        listen("here")
    stop()


def test_a_submission_has_one_spelling(world):
    text = format_submission(3, [b"a" * 32], world.note(world.true, 6))
    assert parse_submission(text)[:2] == (3, [b"a" * 32])
    for wrong in (text.replace("old 3", "old 03"), text + "\n", text[1:], text.replace("\n\n", "\n", 1)):
        with pytest.raises(Malformed):
            parse_submission(wrong)


def test_two_histories_are_proven_to_whoever_holds_the_logs_key(world):
    true, false = world.note(world.true, 9), world.note(world.false, 14)
    proof = fork(true, false, world.false).model_dump_json().encode()
    assert judge(proof, world.trust.log).kind == "fork"
    same = fork(world.note(world.true, 9), world.note(world.false, 9), world.false).model_dump_json().encode()
    assert judge(same, world.trust.log).kind == "fork"
    less = truncation(world.note(world.true, 5), world.note(world.true, 9)).model_dump_json().encode()
    assert judge(less, world.trust.log).kind == "truncated"
    with pytest.raises(Invalid):
        judge(proof, NoteKey(ORIGIN, 1, Ed25519PrivateKey.generate().public_key()))
    with pytest.raises(ValueError, match="do not contradict"):
        fork(world.note(world.true, 4), true, world.true)
    honest = fork(true, false, world.false).model_copy(update={"larger": world.note(world.true, 14).text()})
    with pytest.raises(TrustError):
        judge(honest.model_dump_json().encode(), world.trust.log)
    stranger = Note(true.checkpoint, ())
    with pytest.raises(TrustError):
        judge(truncation(stranger, false).model_dump_json().encode(), world.trust.log)
