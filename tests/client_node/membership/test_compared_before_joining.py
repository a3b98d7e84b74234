"""Nothing leaves a node before a person has compared whom its invite leads to; both sides
show the same eight groups."""

import json
import re
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from auditor.cli import app as auditor_app
from client_node.cli import app as node_app
from client_node.link.uplink import Uplink
from client_node.settings import read_home
from contracts.envelope import key_id
from contracts.errors import Invalid, Refused
from contracts.log.fingerprints import grouped
from coordinator.cli import app as office_app
from coordinator.office import open_office
from coordinator.settings import read_home as office_home
from coordinator.trust import members
from coordinator.trust.certificates import ca_digest, make_certificates
from offices import found

PRINT = re.compile(r"(?:[0-9A-F]{4} ){7}[0-9A-F]{4}")


def shown(app, *words, answer=""):
    """(fingerprints in the output, the command's result)."""
    done = CliRunner().invoke(app, [*map(str, words)], input=answer)
    return PRINT.findall(done.output), done


@pytest.fixture
def place(tmp_path):
    """An office, an invite of it, and a node that has not joined."""
    found(tmp_path / "office").database.close()
    (tmp_path / "data").mkdir()
    words = ("invite", "示例机械", "--code", "91440200MA40000018", "--out", tmp_path / "given.invite")
    assert shown(office_app, *words, "--home", tmp_path / "office")[1].exit_code == 0
    assert shown(node_app, "init", "--data", tmp_path / "data", "--home", tmp_path / "node")[1].exit_code == 0
    return tmp_path


@pytest.fixture
def sent(monkeypatch):
    """What would have been sent; the office says that the member waits no longer."""
    asked = []

    class Answer:
        content = b'{"state": "admitted"}'

    monkeypatch.setattr(Uplink, "ask", lambda self, kind, *words: asked.append((kind, *words)) or Answer())
    return asked


def join(place, *words, answer=""):
    return shown(node_app, "join", place / "given.invite", *words, "--home", place / "node", answer=answer)


def test_the_office_and_the_node_show_the_same_fingerprints(place, sent):
    of_chamber, of_key = join(place, answer="n\n")[0]
    office = ("--home", place / "office")
    again = ("invite", "示例机械", "--code", "91440200MA40000018", "--out", place / "second.invite")
    assert shown(office_app, *again, *office)[0] == [of_chamber]
    assert shown(office_app, "status", *office)[0][0] == of_chamber
    assert shown(office_app, "init", "--name", "甲", "--domain", "a.example", "--home", place / "other")[0]
    assert shown(node_app, "init", "--data", place / "data", "--home", place / "third")[0]
    assert of_key == grouped(key_id(read_home(place / "node").node_key.public_key()))


def test_who_says_no_has_sent_nothing(place, sent):
    _, done = join(place, answer="n\n")
    assert isinstance(done.exception, Refused) and done.exception.code == "DECLINED"
    assert sent == [] and not (place / "node" / "invite.json").exists()


def test_who_cannot_be_asked_has_sent_nothing(place, run_command):
    home = str(place / "node")
    done = run_command("client_node", "join", str(place / "given.invite"), "--home", home, "--lang", "en", input="")
    assert done.returncode == 1 and "nobody answered" in done.stderr and "Traceback" not in done.stderr
    assert PRINT.search(done.stdout) and not (place / "node" / "invite.json").exists()


@pytest.mark.parametrize(
    "spelled", [str, str.lower, lambda text: text.replace(" ", ""), lambda text: text.replace(" ", "-")]
)
def test_a_fingerprint_that_was_typed_is_compared_by_the_node(place, sent, spelled):
    right = join(place, answer="n\n")[0][0]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for typed in (wrong, right[:-5], "", "x"):
        _, done = join(place, "--yes", "--fingerprint", spelled(typed) or " ")
        assert isinstance(done.exception, Invalid) and done.exception.code == "CA_FINGERPRINT" and sent == []
    join(place, "--fingerprint", spelled(right))
    assert sent[0][0] == "join"


def test_yes_prints_the_fingerprint_and_goes_on(place, sent):
    printed, _ = join(place, "--yes")
    assert len(printed) == 2 and sent[0][0] == "join"


def test_an_invite_that_leads_elsewhere_under_the_same_log_has_another_fingerprint(place, sent):
    """A forger copies the public log and puts his own CA and address beside it."""
    right, invite = join(place, answer="n\n")[0][0], json.loads((place / "given.invite").read_text("utf-8"))
    make_certificates(place / "tls", Ed25519PrivateKey.generate(), name="x", hosts=("evil.example",))
    forged = {"ca_pem": (place / "tls" / "ca.pem").read_text(), "ca_fingerprint": ca_digest(place / "tls")}
    (place / "given.invite").write_text(json.dumps(invite | forged | {"url": "https://evil.example"}), "utf-8")
    assert join(place, answer="n\n")[0][0] != right


def test_whoever_comes_back_to_the_same_invite_is_not_asked_again(place, sent):
    join(place, answer="y\n")
    sent.clear()
    join(place, answer="")
    assert sent[0][0] == "join"


def test_a_home_that_follows_one_chamber_joins_no_other(place, sent):
    join(place, "--yes")
    kept = (place / "node" / "invite.json").read_bytes()
    office = open_office(office_home(place / "office"))
    with sqlite3.connect(place / "node" / "mirror.db") as mirror:
        mirror.execute("INSERT INTO entry VALUES (0, ?)", (office.log.entries(0, 1)[0],))
    office.database.close()
    init = ("init", "--name", "别家", "--domain", "b.example", "--home", place / "other")
    invite = ("invite", "示例机械", "--code", "91440200MA40000018", "--out", place / "given.invite")
    assert shown(office_app, *init)[1].exit_code == 0
    assert shown(office_app, *invite, "--home", place / "other")[1].exit_code == 0
    sent.clear()
    _, done = join(place, "--yes")
    assert isinstance(done.exception, Refused) and done.exception.code == "OTHER_CHAMBER"
    assert sent == [] and (place / "node" / "invite.json").read_bytes() == kept


def test_the_office_shows_the_key_of_whoever_it_approves(place, monkeypatch, sent):
    own = join(place, answer="n\n")[0][1]
    held = {"name": "示例机械", "member": "urn:uuid:1", "fingerprint": own}
    monkeypatch.setattr(members, "awaited", lambda database: [held])
    assert own in shown(office_app, "status", "--home", place / "office")[0]


def test_an_auditor_and_the_office_show_the_same_key(place):
    [own] = shown(auditor_app, "init", place / "me")[0]
    printed, done = shown(office_app, "admit-auditor", place / "me" / "admission.json", "--home", place / "office")
    assert printed == [own] and "auditor watch https://testserver" in done.output, (
        "what runs wait for is said beforehand"
    )
