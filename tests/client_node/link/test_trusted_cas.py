"""Whom a node trusts: the invite's CA, and those that the cosigned log names; nothing that a coordinator says alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from client_node.home import create_home
from client_node.link.authorities import KEPT, check_pinned, note_end, trusted
from client_node.link.mirror import Mirror
from client_node.settings import INVITE
from contracts.envelope import digest, to_base64
from contracts.errors import Invalid, Malformed, Unavailable
from contracts.fields import time_text
from contracts.log.fingerprints import grouped
from contracts.statements.statements import Authority
from coordinator.trust.certificates import new_issuer, pem
from shell.log_folder import LogFolder
from simulator import NOTHING, Trust

NOW = datetime.now(UTC)


def authority(name="hub.example"):
    """(certificate as DER in base64, as PEM, digest)."""
    made = new_issuer("商会", name, NOW).certificate
    der = made.public_bytes(Encoding.DER)
    return to_base64(der), pem(made).decode(), digest(der)


@pytest.fixture
def trust():
    made = Trust(3)
    made.now = NOW
    return made


@pytest.fixture
def node(tmp_path, trust):
    """A node of the first member, whose invite names the CA of genesis."""
    (tmp_path / "data").mkdir()
    settings = create_home(tmp_path / "node", tmp_path / "data")
    _, text, name = authority()
    others = dict.fromkeys(INVITE - {"secret"}, "x") | {"schema": "mengbang-invite/1"}
    invite = others | {
        "log_vkey": trust.log.vkey(),
        "genesis": digest(trust.entries[0]),
        "member": trust.firms[0].member,
        "ca_pem": text,
        "ca_fingerprint": name,
    }
    (settings.home / "invite.json").write_text(json.dumps(invite), encoding="utf-8")
    return settings


def named(trust, certificate, *signers):
    return trust.say(
        Authority(**trust.stamp(), certificate=certificate, replaces=NOTHING), *(signers or (trust.office,))
    )


def follow(trust, node, folder, cosigned_by=3):
    """The node takes the log as a folder shows it, its checkpoint cosigned by so many members."""
    trust.write(folder)
    note = trust.note()
    text = type(note)(note.checkpoint, note.signatures[: 1 + cosigned_by]).text()
    for path in ("checkpoint", f"checkpoints/{len(trust.entries)}"):
        (folder / path).write_text(text, encoding="utf-8")
    mirror = Mirror(node, node.invite)
    mirror.take(LogFolder(folder))
    return mirror


def test_a_cosigned_entry_adds_a_ca_and_the_replaced_one_ends_after_sixty_days(trust, node, tmp_path):
    certificate, text, name = authority()
    assert named(trust, certificate) == ()
    mirror = follow(trust, node, tmp_path / "log")
    assert list(mirror.trusted()) == [node.invite["ca_fingerprint"], name] and mirror.pins().ca_pem == text
    for days, count in ((59, 2), (61, 2)):  # the CA of this invite is none that the log replaces
        assert len(trusted(node.home, node.invite, NOW + timedelta(days=days))) == count
    invite = node.invite | {"ca_pem": text, "ca_fingerprint": name}
    following, _, last = authority()
    trust.say(Authority(**trust.stamp(), certificate=following, replaces=name), trust.office)
    follow(trust, node, tmp_path / "log")
    assert list(trusted(node.home, invite, NOW + timedelta(days=59))) == [name, last]
    assert list(trusted(node.home, invite, NOW + timedelta(days=61))) == [last]


def test_an_entry_that_too_few_have_cosigned_moves_nobody(trust, node, tmp_path):
    named(trust, authority()[0])
    mirror = follow(trust, node, tmp_path / "log", cosigned_by=1)
    assert list(mirror.trusted()) == [node.invite["ca_fingerprint"]] and len(mirror.unheeded()) == 1
    assert not (node.home / KEPT).exists()


def test_an_entry_without_the_office_s_key_moves_nobody_however_often_cosigned(trust, node, tmp_path):
    stranger = Ed25519PrivateKey.generate()
    for signer in (stranger, trust.log_key, trust.firms[0].node):
        assert named(trust, authority()[0], signer)
    mirror = follow(trust, node, tmp_path / "log")
    assert list(mirror.trusted()) == [node.invite["ca_fingerprint"]] and mirror.unheeded() == ()


@pytest.mark.parametrize("certificate", [to_base64(b"no certificate"), to_base64(bytes(3000))])
def test_what_is_no_certificate_takes_the_place_of_none(trust, node, tmp_path, certificate):
    named(trust, certificate)
    assert list(follow(trust, node, tmp_path / "log").trusted()) == [node.invite["ca_fingerprint"]]
    assert len(trusted(node.home, node.invite, NOW + timedelta(days=90))) == 1


def test_a_certificate_that_is_no_ca_is_not_trusted(trust, node, tmp_path):
    from coordinator.trust.certificates import server_certificate

    issuer = new_issuer("商会", "hub.example", NOW)
    leaf = server_certificate(issuer, issuer.key.public_key(), ("hub.example",), NOW)
    named(trust, to_base64(leaf.public_bytes(Encoding.DER)))
    assert list(follow(trust, node, tmp_path / "log").trusted()) == [node.invite["ca_fingerprint"]]


def test_what_counts_for_one_log_counts_for_no_other(trust, node, tmp_path):
    named(trust, authority()[0])
    follow(trust, node, tmp_path / "log")
    assert len(trusted(node.home, node.invite | {"genesis": NOTHING}, NOW)) == 1


def test_a_folder_that_holds_nothing_of_this_log_is_not_said_to_have_been_followed(trust, node, tmp_path):
    follow(trust, node, tmp_path / "log")
    (tmp_path / "empty").mkdir()
    stranger = Trust(3)
    stranger.write(tmp_path / "other")
    for folder in ("empty", "other"):
        with pytest.raises(Unavailable):
            Mirror(node, node.invite).take(LogFolder(tmp_path / folder))


def test_a_second_certificate_beside_the_one_of_the_fingerprint_is_refused(node):
    """Whoever compares the fingerprint aloud must have seen everything that will be trusted."""
    both = {"ca_pem": node.invite["ca_pem"] + authority("evil.example")[1]}
    with pytest.raises(Malformed, match="no CA certificate"):
        check_pinned(node.invite | both)
    with pytest.raises(Invalid, match="does not match"):
        check_pinned(node.invite | {"ca_fingerprint": NOTHING})


def test_a_damaged_file_is_told_in_three_lines(node):
    (node.home / KEPT).write_text("{", encoding="utf-8")
    with pytest.raises(Malformed) as told:
        trusted(node.home, node.invite, NOW)
    assert all(told.value.lines())


@pytest.mark.parametrize(("days", "warns"), [(61, False), (59, True), (3, True), (-1, True)])
def test_status_warns_of_the_certificate_that_was_shown_last(node, days, warns):
    from typer.testing import CliRunner

    from client_node.cli import app

    note_end(node.home, NOW + timedelta(days=days, hours=1))
    done = CliRunner().invoke(app, ["status", "--home", str(node.home)])
    assert done.exit_code == 0, done.output
    assert ("coordinator certificate renew" in done.output) == warns
    shown = json.loads(CliRunner().invoke(app, ["status", "--json", "--home", str(node.home)]).output)
    assert shown["certificate_ends"] == time_text(NOW + timedelta(days=days, hours=1))


def test_following_a_copy_asks_for_the_fingerprint_where_too_few_have_cosigned(trust, node, tmp_path):
    from typer.testing import CliRunner

    from client_node.cli import app

    certificate, _, name = authority()
    named(trust, certificate)
    follow(trust, node, tmp_path / "log", cosigned_by=1)
    words = ["follow", str(tmp_path / "log"), "--home", str(node.home)]
    for wrong in ([], ["--ca", "abc"], ["--ca", "0" * 16]):
        assert CliRunner().invoke(app, [*words, *wrong], standalone_mode=False).exit_code != 0
        assert not (node.home / KEPT).exists()
    assert CliRunner().invoke(app, [*words, "--ca", grouped(name)]).exit_code == 0
    assert name in Mirror(node, node.invite).trusted()
