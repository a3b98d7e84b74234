"""The Go checksum database's own code reads our log: signatures, tiles, entries, root, proofs."""

import os
import shutil

import pytest

from contracts.envelope import to_base64
from contracts.log.merkle import Tree, leaf_hash
from judge_tools import HERE, absent, need, run
from simulator import Trust


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    go = need("go", "apt-get install golang-go golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    paths = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    built = run(go, "build", "-o", folder / "judge", HERE / "judge.go", env={**os.environ, **paths})
    if "cannot find package" in built.stderr:
        absent("Go's x/mod is not here; install it: apt-get install golang-golang-x-mod-dev")
    assert built.returncode == 0, built.stderr
    return folder / "judge"


@pytest.fixture(scope="module")
def trust():
    made = Trust()
    made.whole_run()
    return made


@pytest.fixture(scope="module")
def mirror(trust, tmp_path_factory):
    """A mirror of 600 entries, so with full and partial tiles, and checkpoints of three sizes."""
    signed = len(trust.entries)
    folder = tmp_path_factory.mktemp("mirror") / "log"
    trust.write(folder)
    for size in (256, 600):
        trust.entries += [b"entry %d" % n for n in range(len(trust.entries), size)]
        trust.write(folder)
    yield folder
    del trust.entries[signed:]


def test_go_reads_the_whole_log(judge, trust, mirror):
    done = run(judge, mirror, trust.log.vkey())
    assert (done.stdout, done.stderr) == ("600 entries and 3 checkpoints\n", "")


@pytest.mark.parametrize(
    "name",
    ["checkpoint", "checkpoints/256", "tile/entries/000", "tile/entries/002.p/88", "tile/0/001", "tile/1/000.p/2"],
)
def test_go_refuses_an_altered_copy(judge, trust, mirror, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(mirror, copy)
    data = bytearray((copy / name).read_bytes())
    data[40] ^= 1
    (copy / name).write_bytes(data)
    assert run(judge, copy, trust.log.vkey()).returncode == 1


def proofs(trust, alter):
    """Our inclusion proof of every entry and consistency proofs between many sizes, as lines for the judge."""
    tree = Tree(map(leaf_hash, trust.entries))
    size, root = tree.size, to_base64(tree.root())
    for at, entry in enumerate(trust.entries):
        path = [to_base64(h) for h in tree.inclusion_proof(at, size)]
        yield " ".join(["record", str(size), root, str(at), to_base64(leaf_hash(entry + alter)), *path])
    for old in range(1, size + 1):
        path = [to_base64(h) for h in tree.consistency_proof(old, size)]
        yield " ".join(["tree", str(size), root, str(old), to_base64(tree.root(old)), *path])


@pytest.mark.parametrize("alter", [b"", b"x"])
def test_go_accepts_our_proofs_of_what_is_there_and_no_other(judge, trust, mirror, tmp_path, alter):
    (tmp_path / "proofs").write_text("\n".join(proofs(trust, alter)))
    done = run(judge, mirror, trust.log.vkey(), tmp_path / "proofs")
    assert done.returncode == bool(alter) and ("1200 proofs" in done.stdout) is (not alter)
