"""A whole mirror of 60 entries: any change of any file is found, in the file where it was made.
`make flips` tries every byte."""

import random

import pytest

import flips
from auditor.verify import verify
from contracts.envelope import from_base64
from contracts.errors import Malformed, Unavailable


@pytest.fixture(scope="module")
def mirror():
    held, pins = flips.make()
    assert flips.files_found(held, pins) == set()
    return held, pins


def missed(mirror, changes):
    held, pins = mirror
    with flips.remembering():
        return [(path, at) for path, at in changes if path not in flips.files_found(flips.change(held, path, at), pins)]


def test_a_mirror_holds_every_kind_of_file(mirror):
    held, _ = mirror
    kinds = {path.split("/")[0] for path in held.paths()}
    assert kinds == {"checkpoint", "checkpoints", "documents", "policy", "receipts", "tile"}
    assert len(held.files["tile/0/000.p/60"]) == 60 * 32


def test_a_changed_byte_is_found_in_its_file(mirror):
    held, _ = mirror
    ends = [(path, at) for path in held.paths() for at in (0, len(held.files[path]) - 1)]
    assert missed(mirror, [*ends, *random.Random(60).sample(flips.places_of(held), 150)]) == []


@pytest.mark.slow
def test_every_fiftieth_byte(mirror):
    assert missed(mirror, flips.places_of(mirror[0])[::50]) == []


@pytest.mark.parametrize("path", ["checkpoint", "receipts/consent-8.tlog-proof"])
def test_a_signature_line_of_an_unknown_key_is_found(mirror, path):
    held, pins = mirror
    line = held.files["checkpoint"].splitlines(keepends=True)[-1]
    name, sig = line.split(b" ")[1:]
    stranger = b"\xe2\x80\x94 stranger.test/key " + sig
    again = b"\xe2\x80\x94 " + name + b" " + sig
    for added in (stranger, again):
        assert path in flips.files_found(held.changed(path, held.files[path] + added), pins)


def test_base64_in_another_spelling_is_found(mirror):
    """The last digit before `==` holds four bits that carry nothing: another digit there decodes to the same bytes."""
    held, pins = mirror
    text = held.files["checkpoint"].decode()
    lines = text.splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if line.endswith("=\n"))
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body, padding = lines[at].rstrip("=\n"), lines[at][len(lines[at].rstrip("=\n")) :]
    other = body[:-1] + digits[digits.index(body[-1]) ^ 1] + padding
    with pytest.raises(Malformed, match="canonical"):
        from_base64(other.split()[-1])
    lines[at] = other
    assert "checkpoint" in flips.files_found(held.changed("checkpoint", "".join(lines).encode()), pins)


def said_of(evidence, pins):
    """(files that findings name, everything that is said to be unchecked)."""
    verdict = verify(evidence, pins)
    unchecked = [text.format_map(values) for step in verdict.steps for text, values in step.not_checked]
    return {getattr(finding, "file", "") for finding in verdict.findings()}, " ".join(unchecked)


def test_a_file_that_does_not_belong_is_found(mirror):
    held, pins = mirror
    foreign = ("tile/9/0", "tile/0/0000", "receipts/empty", "checkpoints/61", "notes.txt", "..x")
    for path in (*foreign, "documents/" + "0" * 64):
        assert path in flips.files_found(held.changed(path, b"anything"), pins), path
    _, unchecked = said_of(held.changed("tile/0/001", b"anything"), pins)
    assert "tile/0/001 reaches beyond the checkpoint" in unchecked, "a log may have grown since its checkpoint"


def test_a_file_that_is_gone_is_found_or_said(mirror):
    """Kept checkpoints, receipts and older partial tiles may be there or not: nothing in the log promises them."""
    held, pins = mirror
    optional = ("checkpoints/", "receipts/", "tile/0/000.p/19", "tile/entries/000.p/19")
    for path in (path for path in held.paths() if not path.startswith(optional)):
        if path in ("checkpoint", "tile/entries/000.p/60"):
            with pytest.raises(Unavailable):
                verify(held.changed(path, None), pins)
            continue
        named, unchecked = said_of(held.changed(path, None), pins)
        assert path in named or path in unchecked, path


def test_a_renamed_file_is_found(mirror):
    held, pins = mirror
    for path, name in (
        ("tile/0/000.p/60", "tile/0/000.p/59"),
        ("tile/entries/000.p/19", "tile/entries/000.p/20"),
        ("checkpoints/60", "checkpoints/59"),
        ("policy", "policy.txt"),
        (next(p for p in held.paths() if p.startswith("documents/")), "documents/" + "ab" * 32),
    ):
        moved = held.changed(path, None).changed(name, held.files[path])
        assert name in flips.files_found(moved, pins), name
