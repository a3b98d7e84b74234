"""The monitor: a fork and a truncation are seen by comparing views, and the proof convinces whoever holds the pins."""

import json

import pytest

from auditor.evidence.reader import Folder
from auditor.monitor import Watch, log_name
from contracts.log import tiles
from contracts.log.checkpoint import Checkpoint, sign_checkpoint
from contracts.log.merkle import Tree, leaf_hash
from contracts.log.pins import Pins
from simulator import ORIGIN, Trust


class Chamber:
    """Serves any list of entries as the log, and a witness that shows any checkpoint."""

    def __init__(self, folder):
        self.trust, self.folder = Trust(), folder
        self.pins = Pins.model_validate(self.trust.pins())

    def history(self, *more):
        return [*self.trust.entries, *more]

    def note(self, entries):
        tree = Tree(map(leaf_hash, entries))
        return sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), self.trust.log_key)

    def serve(self, entries, name="coordinator"):
        root = self.folder / name
        for tile in tiles.bundle_names(len(entries)):
            first = tile.n * tiles.WIDTH
            put(root / tile.path(), tiles.bundle(entries[first : first + tile.width]))
        put(root / "checkpoint", self.note(entries).text().encode())
        return Folder(root)

    def witness(self, entries, name="witness"):
        put(self.folder / name / log_name(self.trust.log) / "checkpoint", self.note(entries).text().encode())
        return {name: Folder(self.folder / name)}

    def watch(self):
        return Watch(self.folder / "state", self.pins)


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def chamber(tmp_path):
    return Chamber(tmp_path)


def judged(chamber, run_command, seen):
    [(_, error, proof)] = seen.wrong
    put(chamber.folder / "pins.json", chamber.pins.model_dump_json().encode())
    done = run_command(
        "auditor", "verify-proof", str(proof), "--pins", str(chamber.folder / "pins.json"), "--json", "--lang", "en"
    )
    assert done.returncode == 0, done.stderr
    return error.code, json.loads(done.stdout)["kind"]


def test_one_growing_log_is_one_log_whoever_is_asked(chamber):
    first = chamber.watch().look(chamber.serve(chamber.history()), chamber.witness(chamber.history()[:3]))
    assert not first.wrong and not first.unheard and first.size == len(chamber.history())
    longer = chamber.history(*(b"%d" % n for n in range(300)))
    again = chamber.watch().look(chamber.serve(longer), chamber.witness(chamber.history(b"0")))
    assert not again.wrong and not again.unheard and again.size == len(longer)


@pytest.mark.parametrize("seen_by_witness", [1, 4, 8])
def test_a_fork_is_exposed_by_one_honest_witness(chamber, run_command, seen_by_witness):
    shown = chamber.history(*(b"shown %d" % n for n in range(4)))
    hidden = chamber.history(*(b"hidden %d" % n for n in range(seen_by_witness)))
    watch = chamber.watch()
    seen = watch.look(chamber.serve(shown), chamber.witness(hidden))
    if len(hidden) > len(shown):
        # nothing shown so far reaches the witness's size: it looks like a truncation until the log has grown past it
        assert judged(chamber, run_command, seen) == ("TRUNCATED", "truncated")
        shown = [*shown, *(b"shown more %d" % n for n in range(9))]
        seen = chamber.watch().look(chamber.serve(shown), chamber.witness(hidden))
    assert judged(chamber, run_command, seen) == ("EQUIVOCATION", "fork")


def test_a_rewritten_log_is_exposed_by_the_watch_alone(chamber, run_command):
    chamber.watch().look(chamber.serve(chamber.history(b"first")), {})
    seen = chamber.watch().look(chamber.serve(chamber.history(b"other", b"second"), "rewritten"), {})
    assert judged(chamber, run_command, seen) == ("EQUIVOCATION", "fork")


def test_a_truncated_log_is_exposed(chamber, run_command):
    seen = chamber.watch().look(chamber.serve(chamber.history()), chamber.witness(chamber.history(b"gone")))
    assert judged(chamber, run_command, seen) == ("TRUNCATED", "truncated")


def test_a_forged_proof_and_a_wrong_file_convince_nobody(chamber, run_command):
    put(chamber.folder / "pins.json", chamber.pins.model_dump_json().encode())
    honest = {
        "kind": "truncated",
        "smaller": chamber.note(chamber.history()).text(),
        "larger": chamber.note(chamber.history()).text(),
        "root": "",
        "proof": [],
    }
    for text in (json.dumps(honest), "{}", "no"):
        put(chamber.folder / "claimed.json", text.encode())
        done = run_command(
            "auditor", "verify-proof", str(chamber.folder / "claimed.json"), "--pins", str(chamber.folder / "pins.json")
        )
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) <= 3
