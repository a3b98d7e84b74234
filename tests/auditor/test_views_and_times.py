"""Second views and clocks: what the log says against what others saw, and when."""

from datetime import timedelta

import pytest

from auditor.evidence.mirror import mirror
from auditor.evidence.reader import Folder
from auditor.steps.step3_tree import Rebuild, TiledTree
from auditor.verify import verify
from contracts.fields import time_text
from contracts.log import tiles
from contracts.log.checkpoint import Checkpoint, Note, cosign_note, parse_line, sign_checkpoint, witness_name
from contracts.log.merkle import Tree, leaf_hash, root
from contracts.log.pins import Pins
from contracts.statements.statements import KeyState, Policy, Seen
from hash_tiles import tile_hashes
from simulator import ORIGIN, Trust, keyid


def write(trust, folder, *, kept=()):
    """The log as a folder with kept checkpoints beside it."""
    pins = Pins.model_validate(trust.write(folder))
    for note in kept:
        (folder / "checkpoints" / str(note.checkpoint.size)).write_text(note.text(), encoding="utf-8")
    return pins


def codes(folder, pins):
    return [f.code for f in verify(Folder(folder), pins).findings()]


def cosigned(trust, checkpoint, wrong=()):
    """The checkpoint under all witnesses, of whom the first have clocks that are `wrong` (Unix, or seconds off)."""
    note, now = sign_checkpoint(checkpoint, trust.log_key), int(trust.now.timestamp())
    times = [*(at if at in (0, 2**63, 2**64 - 1) else now + at for at in wrong), *[now] * len(trust.firms)]
    lines = [
        cosign_note(note, firm.witness, name=witness_name(ORIGIN, firm.member), time=at)
        for firm, at in zip(trust.firms, times, strict=False)
    ]
    return Note(note.checkpoint, (*note.signatures, *map(parse_line, lines)))


@pytest.fixture
def trust():
    return Trust()


def test_two_roots_that_the_log_signed_for_one_size_are_shown_as_proof(trust, tmp_path):
    trust.whole_run()
    size = len(trust.entries)
    other = cosigned(trust, Checkpoint(ORIGIN, size, b"\7" * 32))
    pins = write(trust, tmp_path, kept=[other])
    [finding] = verify(Folder(tmp_path), pins).findings()
    assert finding.code == "SELF_EQUIVOCATION"
    assert finding.what.format_map(finding.values).count(f"\n{ORIGIN}\n{size}\n") == 2


def test_a_kept_checkpoint_of_another_history_is_found(trust, tmp_path):
    trust.whole_run()
    pins = write(trust, tmp_path, kept=[cosigned(trust, Checkpoint(ORIGIN, 9, b"\7" * 32))])
    assert codes(tmp_path, pins) == ["EQUIVOCATION"]


def test_a_kept_checkpoint_beyond_the_end_shows_that_the_log_was_cut(trust, tmp_path):
    trust.whole_run()
    later = cosigned(trust, Checkpoint(ORIGIN, len(trust.entries) + 5, b"\7" * 32))
    pins = write(trust, tmp_path, kept=[later])
    assert codes(tmp_path, pins) == ["TRUNCATED"]


def waiting(trust, folder, more, bundles=True):
    """A log of which the last entries are signed and not cosigned; the pins of a member that has seen them."""
    trust.whole_run()
    trust.write(folder)
    for firm in [trust.firms[0]] * more:
        trust.consent(firm)
    pins = Pins.model_validate(trust.pins())
    note = sign_checkpoint(trust.note().checkpoint, trust.log_key)
    (folder / "checkpoints" / str(note.checkpoint.size)).write_text(note.text(), encoding="utf-8")
    for name in tiles.bundle_names(len(trust.entries)) if bundles else ():
        held = trust.entries[name.n * tiles.WIDTH :][: name.width]
        (folder / name.path()).parent.mkdir(parents=True, exist_ok=True)
        (folder / name.path()).write_bytes(tiles.bundle(held))
    return pins


@pytest.mark.parametrize("more", [1, 5, 240, 300])
def test_entries_that_wait_for_cosignatures_are_said_and_nobody_is_blamed(trust, tmp_path, more):
    pins = waiting(trust, tmp_path / "log", more)
    for folder in (tmp_path / "log", tmp_path / "copy"):
        verdict = verify(Folder(folder), pins)
        assert verdict.findings() == []
        said = [what.format_map(values) for step in verdict.steps for what, values in step.said]
        assert f"{more} more entries are signed" in " ".join(said)
        if folder.name == "log":
            mirror(Folder(folder), tmp_path / "copy")


def test_entries_that_were_signed_and_are_not_shown_were_cut_off(trust, tmp_path):
    pins = waiting(trust, tmp_path, 5, bundles=False)
    assert set(codes(tmp_path, pins)) == {"TRUNCATED"}


def test_a_copy_of_a_log_that_was_cut_tells_so_too(trust, tmp_path):
    trust.whole_run()
    pins = Pins.model_validate(trust.pins())
    waiting(trust, tmp_path / "log", 5, bundles=False)
    mirror(Folder(tmp_path / "log"), tmp_path / "copy")
    for folder in ("log", "copy"):
        assert codes(tmp_path / folder, pins) == ["TRUNCATED"]


def test_every_bundle_of_entries_that_wait_is_looked_at(trust, tmp_path):
    pins, size = waiting(trust, tmp_path, 5), len(trust.entries)
    older = tmp_path / f"tile/entries/000.p/{size - 2}"
    older.write_bytes(tiles.bundle(trust.entries[: size - 2]))
    assert codes(tmp_path, pins) == []
    older.write_bytes(tiles.bundle([*trust.entries[: size - 3], b"another entry"]))
    assert codes(tmp_path, pins) == ["TREE_MISMATCH"]


def test_entries_that_wait_go_on_from_the_very_log_that_was_cosigned(trust, tmp_path):
    waiting(trust, tmp_path, 5, bundles=False)
    others = [*trust.entries[:8], b"another entry", *trust.entries[9:]]
    size, other = len(others), Checkpoint(ORIGIN, len(others), root([leaf_hash(e) for e in others]))
    note = sign_checkpoint(other, trust.log_key)
    pins = Pins.model_validate(trust.pins() | {"size": 0, "root": "sha256:" + root([]).hex()})
    (tmp_path / "checkpoints" / str(size)).write_text(note.text(), encoding="utf-8")
    (tmp_path / f"tile/entries/000.p/{size}").write_bytes(tiles.bundle(others))
    assert set(codes(tmp_path, pins)) == {"EQUIVOCATION", "TREE_MISMATCH"}


def test_pins_of_another_history_are_found_among_entries_that_wait_too(trust, tmp_path):
    pins = waiting(trust, tmp_path, 5)
    assert codes(tmp_path, pins.model_copy(update={"root": "sha256:" + "7" * 64})) == ["EQUIVOCATION"]


def test_pins_beyond_all_that_was_signed_show_that_the_log_was_cut(trust, tmp_path):
    pins = waiting(trust, tmp_path, 5)
    assert codes(tmp_path, pins.model_copy(update={"size": pins.size + 1})) == ["TRUNCATED"]


def test_a_consent_that_was_signed_on_another_history_gives_the_fork_away(trust, tmp_path):
    trust.consent(trust.firms[0], seen=Seen(size=5, root="sha256:" + "7" * 64))
    assert codes(tmp_path, write(trust, tmp_path)) == ["EQUIVOCATION"]


def test_a_consent_that_saw_this_very_log_is_clean(trust, tmp_path):
    seen = root([leaf_hash(e) for e in trust.entries[:5]])
    trust.consent(trust.firms[0], seen=Seen(size=5, root="sha256:" + seen.hex()))
    assert codes(tmp_path, write(trust, tmp_path)) == []


def test_words_under_a_key_that_is_reported_compromised_are_told(trust, tmp_path):
    trust.consent(trust.firms[0])
    first = len(trust.entries)
    trust.consent(trust.firms[1])
    said = KeyState(**trust.stamp(), key=keyid(trust.firms[1].node), state="compromised")
    assert trust.say(said, trust.office) == ()
    pins = write(trust, tmp_path)
    [told] = [values for _, values in verify(Folder(tmp_path), pins).steps[5].not_checked if "key" in values]
    assert (told["key"], told["n"], told["first"]) == (said.key, 2, 3), "its admission and the consent"
    seen = trust.note(first + 1)
    pins = write(trust, tmp_path, kept=[seen])
    assert not any("key" in values for _, values in verify(Folder(tmp_path), pins).steps[5].not_checked)


def test_what_a_torn_bundle_hides_is_not_checked_and_not_accused(trust, tmp_path):
    trust.whole_run()
    pins = write(trust, tmp_path)
    bundle = next(tmp_path.rglob("tile/entries/*.p/*"))
    bundle.write_bytes(bundle.read_bytes()[:-9])
    verdict = verify(Folder(tmp_path), pins)
    assert [f.code for f in verdict.findings()] == ["TREE_MISMATCH"], "whose cosignatures count is not known"
    assert any("cosignatures" in text for text, _ in verdict.steps[1].not_checked)


def test_a_consent_dated_back_before_a_witnessed_checkpoint_is_found(trust, tmp_path):
    kept = trust.note()
    early = trust.now.replace(day=1)
    trust.consent(trust.firms[0], effective_from=time_text(early), issued_at=time_text(early))
    assert codes(tmp_path, write(trust, tmp_path, kept=[kept])) == ["BACKDATED_CONSENT"]


def test_a_statement_of_the_office_from_the_future_or_the_past_is_found(trust, tmp_path):
    for firm in trust.firms:
        trust.consent(firm)
    kept = trust.note()
    trust.order(issued_at=time_text(trust.now.replace(day=2)))
    trust.order(issued_at=time_text(trust.now.replace(day=20)))
    assert codes(tmp_path, write(trust, tmp_path, kept=[kept])) == ["TIME_OUT_OF_WINDOW"] * 2


def test_a_statement_that_went_round_for_signatures_may_be_older_than_the_last_checkpoint(trust, tmp_path):
    said = Policy(**trust.stamp(), prev=trust.state.quorum, quorum="members n, auditors 1")
    trust.now += timedelta(hours=3)
    kept = trust.note()
    trust.now += timedelta(minutes=5)
    assert trust.say(said, trust.office, *(firm.node for firm in trust.firms)) == ()
    assert codes(tmp_path, write(trust, tmp_path, kept=[kept])) == []


def checkpoint_of(trust):
    return Checkpoint(ORIGIN, len(trust.entries), Tree(map(leaf_hash, trust.entries)).root())


YEAR_S = 365 * 86_400
WRONG = [0, -2 * YEAR_S, -3600, 3600, 2 * YEAR_S, 2**63, 2**64 - 1]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("members", [3, 4, 5, 7])
def test_a_minority_of_witnesses_with_wrong_clocks_neither_hides_nor_accuses(tmp_path, wrong, members):
    minority = [wrong] * ((members - 1) // 2)
    for backdated, expected in ((False, []), (True, ["BACKDATED_CONSENT", "TIME_OUT_OF_WINDOW"])):
        trust = Trust(members=members)
        for firm in trust.firms[1:]:
            trust.consent(firm)
        kept = [cosigned(trust, checkpoint_of(trust), minority)]
        early = time_text(trust.now.replace(day=1))
        trust.consent(trust.firms[0], **({"effective_from": early, "issued_at": early} if backdated else {}))
        trust.order(**({"issued_at": time_text(trust.now + timedelta(days=20))} if backdated else {}))
        kept.append(cosigned(trust, checkpoint_of(trust), minority))
        folder = tmp_path / str(backdated)
        assert codes(folder, write(trust, folder, kept=kept)) == expected


@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_all_witnesses_say_about_time_the_audit_ends(tmp_path, wrong):
    trust = Trust()
    trust.consent(trust.firms[0])
    kept = cosigned(trust, checkpoint_of(trust), [wrong] * len(trust.firms))
    trust.consent(trust.firms[1])
    assert verify(Folder(tmp_path), write(trust, tmp_path, kept=[kept])).steps


def test_a_withdrawal_is_never_out_of_time(trust, tmp_path):
    trust.consent(trust.firms[0])
    kept = trust.note()
    trust.consent(trust.firms[0], "withdraw", issued_at=time_text(trust.now.replace(day=2)))
    trust.consent(trust.firms[0], "withdraw", issued_at=time_text(trust.now.replace(day=20)))
    assert "TIME_OUT_OF_WINDOW" not in codes(tmp_path, write(trust, tmp_path, kept=[kept]))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 700])
def test_the_streamed_tree_is_the_tree(tmp_path, size):
    entries = [b"entry %d" % n for n in range(size)]
    leaves = [leaf_hash(e) for e in entries]
    tree, served = Rebuild({1, size // 2, size}), {}
    for at in range(0, size, 256):
        served |= dict(tree.take(entries[at : at + 256]))
    served |= dict(tree.unfinished())
    assert served == {n: tile_hashes(leaves, n) for n in tiles.names(size) if n.level is not None}
    assert tree.root() == root(leaves)
    assert tree.roots == {s: root(leaves[:s]) for s in {1, size // 2, size} if s}
    for name, data in served.items():
        (tmp_path / name.path()).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name.path()).write_bytes(data)
    held = TiledTree(Folder(tmp_path), size)
    for some in {1, size // 3 or 1, size}:
        assert held.root_at(some) == root(leaves[:some])
        for index in {0, some // 2, some - 1}:
            assert held.audit_path(index, some) == Tree(leaves).inclusion_proof(index, some)


def told_of_keys(folder, pins):
    return [values for _, values in verify(Folder(folder), pins).steps[5].not_checked if "key" in values]


@pytest.mark.parametrize(("seconds", "told"), [(0, 1), (1, 1), (59, 1), (60, 0), (3600, 0)])
def test_a_key_that_was_used_just_before_it_was_reported_is_told_though_a_checkpoint_lies_between(
    trust, tmp_path, seconds, told
):
    """In one second the office cosigns and the owner reports: which was first in the world, the order does not say."""
    firm, early = trust.firms[1], trust.note()
    trust.now += timedelta(hours=1)
    trust.consent(firm)
    kept = trust.note()
    trust.now += timedelta(seconds=seconds - 60)
    assert trust.say(KeyState(**trust.stamp(), key=keyid(firm.node), state="compromised"), firm.node) == ()
    found = told_of_keys(tmp_path, write(trust, tmp_path, kept=[early, kept]))
    assert [(one["n"], one["first"]) for one in found] == [(1, len(trust.entries) - 2)] * told


def test_no_old_date_makes_a_word_older_than_the_checkpoint_before_it(trust, tmp_path):
    firm = trust.firms[1]
    trust.now += timedelta(hours=1)
    early, old = trust.note(), time_text(trust.now - timedelta(minutes=59))
    trust.consent(firm, "withdraw", issued_at=old)
    kept = trust.note()
    trust.now -= timedelta(seconds=90)
    trust.say(KeyState(**trust.stamp(), key=keyid(firm.node), state="compromised"), firm.node)
    assert len(told_of_keys(tmp_path, write(trust, tmp_path, kept=[early, kept]))) == 1


def test_a_report_that_arrives_late_leaves_all_that_came_between_in_doubt(trust, tmp_path):
    firm, made = trust.firms[1], time_text(trust.now)
    trust.now += timedelta(hours=1)
    trust.consent(firm)
    kept = trust.note()
    trust.now += timedelta(hours=1)
    said = KeyState(**trust.stamp() | {"issued_at": made}, key=keyid(firm.node), state="compromised")
    trust.say(said, firm.node)
    [told] = told_of_keys(tmp_path, write(trust, tmp_path, kept=[kept]))
    assert told["first"] <= len(trust.entries) - 2
