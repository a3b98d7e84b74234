"""A chamber is made whole or not at all, under names that nodes can reach, on a database of its own."""

import json
import os
import shutil
import sqlite3
import ssl

import pytest
from cryptography import x509

from contracts.errors import Malformed, Refused, Unavailable
from coordinator import cli
from coordinator.office import open_office
from coordinator.settings import read_home
from coordinator.trust import members
from coordinator.trust.founding import found
from coordinator.trust.host import address, host_name


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("DATABASE_URL", "MENGBANG_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def office(tmp_path):
    found(tmp_path / "office", name="商会", domain="hub.example")
    return tmp_path / "office"


def names_of(home):
    certificate = x509.load_pem_x509_certificate((home / "tls" / "server.pem").read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName), [str(ip) for ip in found.get_values_for_type(x509.IPAddress)]


# Names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hub.example", "hub.example"),
        ("HUB.Example.", "hub.example"),
        ("商会.中国", "xn--6oq43m.xn--fiqs8s"),
        ("10.0.0.7", "10.0.0.7"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_names_in_any_script_and_addresses_of_both_kinds_are_hosts(typed, meant):
    assert host_name(typed) == meant


NO_HOSTS = [
    "",
    " ",
    ".",
    "a..b",
    "hub example",
    "hub_example.org",
    "x" * 64 + ".example",
    "999.1.1.1",
    "-a.example",
    "a/b",
]


@pytest.mark.parametrize(
    "typed", [*NO_HOSTS, ".".join(["x" * 60] * 5), "hub.example:8443", "https://hub.example", "a\nb"]
)
def test_what_is_no_host_is_refused_before_anything_is_made(tmp_path, typed):
    with pytest.raises(Malformed, match="no host name"):
        found(tmp_path / "office", name="商会", domain=typed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example",
        "hub.example",
        "hub.example:8443",
        "https://",
        "https://hub.example:99999",
        "https://hub.example:x",
        "https://a@hub.example",
        "https://hub.example/v1",
        "https://hub.example?x=1",
        "https://[::1",
        "https://h b",
        "ftp://hub.example",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_made(tmp_path, url):
    with pytest.raises(Malformed):
        found(tmp_path / "office", name="商会", domain="hub.example", url=url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("domain", "url", "expected"),
    [
        ("hub.example", "https://198.51.100.7:8443", (["hub.example", "localhost"], "198.51.100.7")),
        ("[::1]", "", (["localhost"], "::1")),
        ("商会.中国", "", (["xn--6oq43m.xn--fiqs8s", "localhost"], "127.0.0.1")),
        ("x" * 63 + ".example", "", (["x" * 63 + ".example", "localhost"], "::1")),
    ],
)
def test_the_certificate_is_made_out_to_domain_and_address_each_of_its_kind(tmp_path, domain, url, expected):
    found(tmp_path / "office", name="商会" * 80, domain=domain, url=url)
    dns, ips = names_of(tmp_path / "office")
    assert sorted(dns) == sorted(expected[0]) and expected[1] in ips
    ssl.create_default_context().load_cert_chain(
        tmp_path / "office" / "tls" / "server.pem", tmp_path / "office" / "tls" / "server.key"
    )


def test_an_address_is_kept_as_programs_write_it(tmp_path):
    assert address("https://商会.中国:8443/") == "https://xn--6oq43m.xn--fiqs8s:8443"
    assert address("https://[2001:DB8::1]") == "https://[2001:db8::1]"


def test_no_invite_leads_to_an_address_that_the_certificate_does_not_cover(office):
    about = json.loads((office / "coordinator.json").read_text(encoding="utf-8"))
    (office / "coordinator.json").write_text(json.dumps(about | {"url": "https://other.example"}), encoding="utf-8")
    opened = open_office(read_home(office))
    with pytest.raises(Refused, match=r"not made out to https://other\.example"):
        members.invite(
            opened.database, opened.settings, name="甲", code="91440200MA40000018", approved=False, genesis="", now=None
        )


# Whole or not at all


def test_a_home_that_failed_half_way_leaves_nothing_and_can_be_made_again(tmp_path, monkeypatch):
    def fail(*_given, **_how):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("coordinator.trust.founding.make_certificates", fail)
        with pytest.raises(OSError, match="no space"):
            found(tmp_path / "office", name="商会", domain="hub.example")
    assert list(tmp_path.iterdir()) == []
    found(tmp_path / "office", name="商会", domain="hub.example")
    assert open_office(read_home(tmp_path / "office")).log.state().size == 1


@pytest.mark.parametrize("there", ["file", "full", "office"])
def test_what_lies_in_the_place_of_a_home_stays(tmp_path, there):
    home = tmp_path / "office"
    if there == "file":
        home.write_text("x")
    elif there == "full":
        home.mkdir(), (home / "mine.txt").write_text("x")
    else:
        found(home, name="商会", domain="hub.example")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Unavailable):
        found(home, name="商会", domain="hub.example")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_may_become_a_home(tmp_path):
    (tmp_path / "office").mkdir()
    found(tmp_path / "office", name="商会", domain="hub.example")
    assert open_office(read_home(tmp_path / "office")).log.is_own()


@pytest.mark.skipif(os.name == "nt", reason="an open folder cannot be moved there")
def test_a_folder_that_is_there_is_filled_and_not_replaced(tmp_path):
    """It may be where a volume is mounted, which nobody can rename or remove."""
    home = tmp_path / "office"
    home.mkdir()
    held = os.open(home, os.O_RDONLY)
    try:
        found(home, name="商会", domain="hub.example")
        assert sorted(os.listdir(held)) == sorted(os.listdir(home)) and "coordinator.json" in os.listdir(held)
    finally:
        os.close(held)


def test_a_folder_that_cannot_be_filled_is_empty_again(tmp_path, monkeypatch):
    home = tmp_path / "office"
    home.mkdir()
    rename = os.rename

    def fail_at_the_last(source, target):
        if str(target) == str(home / "coordinator.json"):
            raise OSError("no space left on device")
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("os.rename", fail_at_the_last)
        with pytest.raises(Unavailable, match="cannot be written"):
            found(home, name="商会", domain="hub.example")
    assert list(home.iterdir()) == []
    found(home, name="商会", domain="hub.example")
    assert open_office(read_home(home)).log.state().size == 1


# Databases


@pytest.mark.parametrize("name", ["a?b", "a#b", "a b", "a%20b", "商会"])
def test_a_home_keeps_its_database_in_itself_whatever_it_is_called(tmp_path, name):
    found(tmp_path / name, name="商会", domain="hub.example")
    assert (tmp_path / name / "coordinator.db").is_file() and [p.name for p in tmp_path.iterdir()] == [name]


def test_the_variable_of_other_programs_starts_nothing(office, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(Unavailable, match="DATABASE_URL is set"):
        read_home(office)
    with pytest.raises(Unavailable, match="DATABASE_URL is set"):
        found(tmp_path / "second", name="商会", domain="hub.example")
    assert not (tmp_path / "other.db").exists() and not (tmp_path / "second").exists()


def test_a_home_remembers_its_database(tmp_path, monkeypatch):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", f"sqlite:///{tmp_path}/log.db")
    found(tmp_path / "office", name="商会", domain="hub.example")
    monkeypatch.delenv("MENGBANG_DATABASE_URL")
    assert open_office(read_home(tmp_path / "office")).log.state().size == 1
    assert not (tmp_path / "office" / "coordinator.db").exists()


def other_program(path):
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE alembic_version (version_num text)")
    made.execute("INSERT INTO alembic_version VALUES ('someone-elses')")
    made.commit(), made.close()


def empty(path):
    path.touch()


def another_chamber(path):
    found(path.parent / "another", name="商会", domain="hub.example")
    shutil.copy(path.parent / "another" / "coordinator.db", path)


def missing(path):
    """Nothing is there."""


@pytest.mark.parametrize("make", [other_program, empty, another_chamber, missing])
def test_a_home_serves_no_database_but_its_own_and_writes_nothing_into_others(office, tmp_path, monkeypatch, make):
    other = tmp_path / "other.db"
    make(other)
    before = other.read_bytes() if other.exists() else None
    monkeypatch.setenv("MENGBANG_DATABASE_URL", f"sqlite:///{other}")
    with pytest.raises(Unavailable, match="database holds"):
        open_office(read_home(office))
    assert (other.read_bytes() if other.exists() else None) == before


@pytest.mark.parametrize("make", [other_program, another_chamber])
def test_a_new_log_begins_in_no_database_that_holds_anything(tmp_path, monkeypatch, make):
    make(tmp_path / "other.db")
    monkeypatch.setenv("MENGBANG_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(Unavailable, match="not empty"):
        found(tmp_path / "office", name="商会", domain="hub.example")
    assert not (tmp_path / "office").exists()


NO_DATABASES = [
    "postgres://a@b/c",
    "mysql://a@b/c",
    "nonsense",
    "sqlite://",
    "sqlite:///",
    "postgresql://h",
    "://",
    "x" * 9000,
]


@pytest.mark.parametrize("url", NO_DATABASES)
def test_an_address_of_no_database_is_refused(office, monkeypatch, url):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", url)
    with pytest.raises(Malformed, match="names no database"):
        open_office(read_home(office))


def test_a_command_says_in_three_lines_that_its_database_is_none(office, monkeypatch, capsys):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", NO_DATABASES[0])
    monkeypatch.setattr("sys.argv", ["coordinator", "matters", "--home", str(office)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 3


def test_a_server_that_is_not_there_is_said_in_three_lines(office, monkeypatch):
    monkeypatch.setenv("MENGBANG_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable, match="database cannot be used"):
        open_office(read_home(office))
