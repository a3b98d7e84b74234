"""A release file is read in one spelling, and vouches for nothing until somebody whom the log knows has signed it."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import digest
from contracts.errors import Invalid, Malformed
from contracts.log.checkpoint import LOG_KEY, NoteKey
from contracts.release_file import ReleaseFile, office_name, read_release_file, sign_release_file, signers

OFFICE, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
NAME = office_name("chamber.test/consent-log")
KEYS = {NAME: NoteKey(NAME, LOG_KEY, OFFICE.public_key())}
PLAIN = ReleaseFile(
    "0.1.0",
    ("mengbang-0.1.0-py3-none-any.whl", digest(b"wheel")),
    {"contracts/locale/zh_CN.po": digest(b"b"), "contracts/terms/agreement.py": digest(b"a")},
)
SIGNED = sign_release_file(PLAIN, OFFICE, NAME)


def test_it_is_read_as_it_was_written_and_names_who_signed():
    assert read_release_file(PLAIN.text()) == PLAIN
    assert read_release_file(SIGNED.text()) == SIGNED
    both = sign_release_file(SIGNED, OTHER, "chamber.test/consent-log/auditor/0")
    assert signers(read_release_file(both.text()), KEYS) == [NAME], "an unknown signer adds nothing and breaks nothing"
    assert sign_release_file(SIGNED, OFFICE, NAME) == SIGNED, "signing again changes nothing"


@pytest.mark.parametrize(
    "release", [PLAIN, sign_release_file(PLAIN, OTHER, "somebody"), sign_release_file(PLAIN, OTHER, NAME)]
)
def test_without_a_known_signature_it_vouches_for_nothing(release):
    with pytest.raises(Invalid, match="nobody"):
        signers(release, KEYS)


def test_a_signature_does_not_move_to_other_files():
    text = SIGNED.text().replace(digest(b"a"), digest(b"altered"))
    with pytest.raises(Invalid, match="does not hold"):
        signers(read_release_file(text), KEYS)


@given(at=st.integers(0, len(SIGNED.text()) - 1), to=st.characters(codec="utf-8"))
def test_no_changed_character_goes_unseen(at, to):
    text = SIGNED.text()
    changed = text[:at] + to + text[at + 1 :]
    if changed == text:
        return
    with pytest.raises((Malformed, Invalid)):
        signers(read_release_file(changed), KEYS)
