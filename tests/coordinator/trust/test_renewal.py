"""Renewal of certificates: by the CA's own key, by a new CA that the log names, cut off anywhere, shown in time."""

import os
import shutil
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from contracts.envelope import digest
from contracts.errors import Refused
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.trust import members, renewal
from coordinator.trust.certificates import ca_digest, make_certificates, opened, read_certificate, seal_again
from coordinator.trust.founding import found
from coordinator.trust.renewal import renew

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    home = tmp_path_factory.mktemp("chamber") / "home"
    found(home, name="商会", domain="hub.example")
    return home


@pytest.fixture
def office(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "home")
    made = open_office(read_home(tmp_path / "home"))
    yield made
    made.database.close()


def run(*words):
    """A command of the coordinator, to its end."""
    line = "from coordinator.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", line, *map(str, words)], capture_output=True, encoding="utf-8", timeout=60
    )


def without_ca_key(office):
    """A home of before: the CA's key was not kept."""
    (tls(office) / "ca.key").unlink()
    return office


def tls(office):
    return office.settings.home / "tls"


def is_trusted(shown, authorities, host="hub.example"):
    """Whether a client that trusts these authorities takes what the folder `shown` holds."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(shown / "server.pem", shown / "server.key")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=authorities)
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(one, other, server_side=True), client.wrap_bio(other, one, server_hostname=host)]
    try:
        for _ in range(4):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError:
        return False
    return ends[1].getpeercert() is not None


def test_the_key_of_a_new_home_s_ca_is_sealed_under_the_office_key(office):
    data = (tls(office) / "ca.key").read_bytes()
    assert b"ENCRYPTED" in data and (tls(office) / "ca.key").stat().st_mode & 0o077 == 0
    assert opened(tls(office), office.settings.office_key) is not None
    assert opened(tls(office), Ed25519PrivateKey.generate()) is None


def test_the_ca_of_before_signs_once_more_and_every_pin_holds(office):
    pinned, entries = (tls(office) / "ca.pem").read_text(), office.log.state().size
    before = renewal.ends(office.settings)
    made = renew(office, NOW + timedelta(hours=1))
    assert made.entry is None and office.log.state().size == entries
    assert made.ends - before > timedelta(minutes=50)
    assert (tls(office) / "ca.pem").read_text() == pinned and is_trusted(tls(office), pinned)


def test_without_the_key_a_new_ca_follows_by_the_log_and_both_are_trusted_for_sixty_days(office):
    old = (tls(without_ca_key(office)) / "ca.pem").read_text()
    made = renew(office, NOW)
    new, state = (tls(office) / "ca.pem").read_text(), office.log.state()
    assert new != old and made.entry == state.size - 1
    assert state.authority() == ca_digest(tls(office)) and state.authorities[0].replaces == state.genesis.ca
    assert (made.shown_from - NOW).days in (59, 60)
    assert is_trusted(tls(office), old), "who pinned the older one and has not followed the log yet"
    assert is_trusted(tls(office), new), "who was invited since and knows the newer alone"
    renewal.turn(office.settings, state, NOW + timedelta(days=59))
    assert is_trusted(tls(office), old)
    renewal.turn(office.settings, state, NOW + timedelta(days=60))
    assert [is_trusted(tls(office), old), is_trusted(tls(office), new)] == [False, True]
    assert opened(tls(office), office.settings.office_key) is not None, "the new one can sign again"


def test_the_bridge_ends_with_the_overlap(office):
    renew(without_ca_key(office), NOW)
    shown = x509.load_pem_x509_certificates((tls(office) / "server.pem").read_bytes())
    assert len(shown) == 2 and (shown[1].not_valid_after_utc - NOW).days in (60, 61)


def test_a_certificate_that_has_ended_gives_way_at_once(office):
    shutil.rmtree(tls(office))
    long_ago = NOW - timedelta(days=365 * 5 + 2)
    make_certificates(
        tls(office), office.settings.office_key, name="商会", hosts=("hub.example", "hub.example"), now=long_ago
    )
    made = renew(without_ca_key(office), NOW)
    assert made.shown_from == NOW and is_trusted(tls(office), (tls(office) / "ca.pem").read_text())


def test_a_ca_that_ends_within_a_year_signs_no_more(office):
    state = office.log.state()
    assert not renewal.needs_new_authority(office.settings, state, NOW + timedelta(days=365 * 9 - 2))
    assert renewal.needs_new_authority(office.settings, state, NOW + timedelta(days=365 * 9 + 1))


def test_a_clock_that_is_behind_renews_nothing(office):
    """What it would sign had ended before it was shown."""
    renew(without_ca_key(office), NOW)
    renewal.turn(office.settings, office.log.state(), NOW + timedelta(days=61))
    kept = (tls(office) / "server.pem").read_bytes()
    with pytest.raises(Refused) as refused:
        renew(office, NOW - timedelta(days=3650))
    assert refused.value.code == "CLOCK" and (tls(office) / "server.pem").read_bytes() == kept


def test_once_a_clock_ahead_is_right_again_nothing_is_said_to_be_renewed_that_no_node_would_take(office):
    renew(without_ca_key(office), NOW + timedelta(days=3640))
    with pytest.raises(Refused) as refused:
        renew(office, NOW)
    assert refused.value.code == "CLOCK"


def test_what_lay_ready_for_too_long_does_not_stand_in_the_way(office):
    """Nobody served since: it was never shown, and has ended."""
    renew(without_ca_key(office), NOW)
    later = NOW + timedelta(days=365 * 5 + 10)
    made = renew(office, later)
    assert made.ends > later and made.shown_from == later


def test_a_home_restored_from_before_a_new_ca_begins_another(office, tmp_path):
    """The log names a CA whose key is gone with the newer home: nodes will not go back to the one before."""
    shutil.copytree(tls(office), tmp_path / "backup")
    renew(without_ca_key(office), NOW)
    lost = office.log.state().authority()
    shutil.rmtree(tls(office))
    shutil.copytree(tmp_path / "backup", tls(office))
    assert opened(tls(office), office.settings.office_key) is not None
    shown = ("certificate", "show", "--lang", "en", "--home", office.settings.home)
    assert "names a newer CA" in run(*shown).stdout
    assert renew(office, NOW).entry is not None
    assert "names a newer CA" not in run(*shown).stdout
    assert office.log.state().authorities[-1].replaces == lost


def test_a_second_renewal_waits_for_the_first(office):
    renew(without_ca_key(office), NOW)
    with pytest.raises(Refused, match="renewed already"):
        renew(office, NOW + timedelta(days=3))
    renewal.turn(office.settings, office.log.state(), NOW + timedelta(days=61))
    assert renew(office, NOW).entry is None


@pytest.mark.parametrize("step", ["_stage", "_name", "_put_in_place"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_renewal_cut_off_anywhere_goes_on_with_one_new_ca(office, monkeypatch, step, is_done):
    whole = getattr(renewal, step)

    def cut(*words):
        if is_done:
            whole(*words)
        raise KeyboardInterrupt

    without_ca_key(office)
    monkeypatch.setattr(renewal, step, cut)
    with pytest.raises(KeyboardInterrupt):
        renew(office, NOW)
    monkeypatch.undo()
    if (step, is_done) == ("_put_in_place", True):
        with pytest.raises(Refused, match="renewed already"):
            renew(office, NOW)
    else:
        assert renew(office, NOW).entry is not None
    state = office.log.state()
    assert [one.digest for one in state.authorities] == [ca_digest(tls(office))]
    assert not (tls(office) / renewal.STAGED).exists() and (tls(office) / renewal.NEXT).exists()


def test_a_renewal_killed_between_two_files_is_finished_by_a_serving_process(office, monkeypatch):
    without_ca_key(office)
    files = []

    def cut(old, new):
        if len(files) == 2:
            raise KeyboardInterrupt
        files.append(os.rename(old, new))

    monkeypatch.setattr(renewal.os, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        renew(office, NOW)
    monkeypatch.undo()
    renewal.turn(office.settings, office.log.state(), NOW)
    assert not (tls(office) / renewal.STAGED).exists()
    assert is_trusted(tls(office), (tls(office) / "ca.pem").read_text())


def test_the_seal_follows_the_office_key(office):
    new = Ed25519PrivateKey.generate()
    before = opened(tls(office), office.settings.office_key)
    seal_again(tls(office), office.settings.office_key, new)
    seal_again(tls(office), office.settings.office_key, new)
    assert opened(tls(office), new).certificate == before.certificate


def test_rotating_the_office_key_seals_the_ca_s_key_again(office):
    home = office.settings.home
    run("key", "rotate", "office", "--yes", "--home", home)
    settings = read_home(home)
    assert settings.office_key.private_bytes_raw() != office.settings.office_key.private_bytes_raw()
    assert opened(home / "tls", settings.office_key) is not None


@pytest.mark.parametrize(("days", "said"), [(61, None), (59, "58 days"), (6, "5 days"), (-1, "ended on")])
def test_status_show_and_the_page_warn_of_the_end(office, days, said):
    home = office.settings.home
    shutil.rmtree(tls(office))
    begun = NOW + timedelta(days=days) - timedelta(days=365 * 5)
    make_certificates(tls(office), office.settings.office_key, name="商会", hosts=("hub.example",), now=begun)
    words = [run(*line, "--home", home, "--lang", "en") for line in (["status"], ["certificate", "show"])]
    for one in words:
        assert one.returncode == (1 if days < 0 and one is words[1] else 0)
        assert ("certificate renew" in one.stdout) == (said is not None) and (said or "") in one.stdout


def test_the_entry_names_the_very_certificate(office):
    renew(without_ca_key(office), NOW)
    der = read_certificate(tls(office) / "ca.pem").public_bytes(Encoding.DER)
    assert office.log.state().authorities[0].digest == digest(der)


def test_status_tells_the_fingerprint_of_older_invites_while_both_cas_count(office):
    before = members.chamber_fingerprint(office.log, office.settings)
    assert members.earlier_fingerprint(office.log, office.settings, NOW) is None
    renew(without_ca_key(office), NOW)
    assert members.chamber_fingerprint(office.log, office.settings) != before
    assert members.earlier_fingerprint(office.log, office.settings, NOW) == before
    assert members.earlier_fingerprint(office.log, office.settings, NOW + timedelta(days=61)) is None
    assert before in run("status", "--home", office.settings.home, "--lang", "en").stdout
