"""A node writes its receipts from its own copy of the log; whoever holds pins checks them."""

from types import SimpleNamespace

import pytest

from client_node.membership.receipts import keep_served, keep_up, relied_on, show, write_all
from contracts.errors import Invalid, Malformed, Refused, Unavailable
from contracts.log.pins import Pins
from contracts.log.receipts import check_logged, check_served, output_commitment, read_logged, read_served
from contracts.promise import of_receipt
from contracts.statements.off_log import Receipt
from contracts.statements.statements import Seen
from simulator import NOTHING, Trust

SALT = b"s" * 16
LINES = ['{"id":"A","outcome":{"risk":"0.1"}}', '{"id":"B","outcome":{"risk":"0.2"}}']


@pytest.fixture
def node(tmp_path):
    """A member of a trust with a whole run: settings, its copy of the log, an uplink that
    shows a cosigned checkpoint."""
    trust = Trust()
    trust.whole_run()
    firm = trust.firms[0]
    settings = SimpleNamespace(home=tmp_path, member=firm.member, node_key=firm.node)
    mirror = SimpleNamespace(
        state=trust.state, entries=lambda: list(trust.entries), witnessed=lambda uplink: trust.note()
    )
    uplink = SimpleNamespace(ask=lambda *words: SimpleNamespace(text=trust.note().text(), content=b"[]"))
    return trust, settings, mirror, uplink


def test_the_checkpoint_that_was_relied_on_stays_when_the_coordinator_goes(node):
    trust, settings, mirror, uplink = node
    with pytest.raises(Unavailable):
        relied_on(settings, mirror, None)
    uplink.ask = lambda *words: SimpleNamespace(text=trust.note(12).text())  # shown after the one that was checked
    assert relied_on(settings, mirror, uplink) == trust.note() == relied_on(settings, mirror, None)


def keep(trust, settings, lines):
    """The file of a result of the run's model."""
    run = trust.run
    said = Receipt(
        **trust.stamp(),
        member=settings.member,
        agreement=run.order.agreement,
        order=run.run,
        model=run.release.model,
        votes=NOTHING,
        seen=Seen(size=len(trust.entries), root=NOTHING),
        input_commit=NOTHING,
        output_commit=output_commitment(lines, SALT),
    )
    return keep_served(settings, said, lines, SALT)


def test_one_line_of_a_kept_result_is_shown_without_the_others(node):
    trust, settings, mirror, uplink = node
    kept = keep(trust, settings, LINES)
    assert kept.stat().st_mode & 0o077 == 0
    receipt = read_served(show(settings, mirror, kept, "B", uplink))
    standing = check_served(receipt, Pins.model_validate(trust.pins()))
    assert receipt.shown.text == LINES[1] and standing.release.rounds == 3 and len(standing.consents) == 3
    assert "0.1" not in receipt.text() and LINES[0].encode().hex() not in receipt.text()
    with pytest.raises(Refused):
        show(settings, mirror, kept, "C", uplink)
    kept.write_text("{}", encoding="utf-8")
    with pytest.raises(Malformed):
        show(settings, mirror, kept, "B", uplink)


def test_lines_of_one_name_are_told_apart_by_their_level(node):
    trust, settings, mirror, uplink = node
    lines = [
        f'{{"id":"total","level":"{level}","outcome":{{"median_1":"{n}"}}}}'
        for n, level in enumerate(("series", "member"))
    ]
    kept = keep(trust, settings, lines)
    for line, level in zip(lines, ("series", "member"), strict=True):
        receipt = read_served(show(settings, mirror, kept, "total", uplink, level=level))
        check_served(receipt, Pins.model_validate(trust.pins()))
        assert receipt.shown.text == line
    with pytest.raises(Refused, match="several lines total") as refused:
        show(settings, mirror, kept, "total", uplink)
    assert "series, member" in refused.value.lines(str)[1]
    with pytest.raises(Refused, match="no line total"):
        show(settings, mirror, kept, "total", uplink, level="family")


def test_a_round_that_lists_a_line_which_this_node_did_not_sign_is_not_receipted(node):
    _, settings, mirror, uplink = node
    with pytest.raises(Invalid):  # the list document served here is not the one that the log names
        write_all(settings, mirror, uplink)


def test_consents_and_releases_are_written_once(node):
    trust, settings, mirror, uplink = node
    stranger = SimpleNamespace(home=settings.home, member=trust.firms[1].member, node_key=trust.firms[1].node)
    mirror.entries = lambda: trust.entries[:12]
    mirror.witnessed = lambda uplink: trust.note(12)
    written = write_all(stranger, mirror, uplink)
    assert [path.name.partition("-")[0] for path in written] == ["consent"]
    assert write_all(stranger, mirror, uplink) == []
    receipt = read_logged(written[0].read_text(encoding="utf-8"))
    said = check_logged(receipt, Pins.model_validate(trust.pins()))
    assert said.entry.member == stranger.member and said.line is None
    [limit] = of_receipt(receipt, said, lambda rho_nano, delta: rho_nano / 1e9)
    assert limit.epsilon == trust.terms.privacy.rho_year_max_nano / 1e9 and limit.secure_sum == trust.terms.secure_sum


def test_the_node_keeps_its_receipts_by_itself_and_looks_at_each_entry_once(node):
    trust, settings, mirror, uplink = node
    size = len(trust.entries)
    looked = []
    mirror.entries = lambda: looked.append(1) or list(trust.entries)
    settings.member, settings.node_key = "urn:uuid:another", trust.firms[1].node  # so that no round is its own
    assert keep_up(settings, mirror, uplink, 0) == size
    assert [path.name.partition("-")[0] for path in (settings.home / "receipts").glob("*.tlog-proof")] == ["release"]
    assert keep_up(settings, mirror, uplink, size) == size and len(looked) == 1


def test_before_any_quorum_the_node_waits_with_its_receipts(node):
    _, settings, mirror, _ = node
    mirror.witnessed = lambda uplink: None
    assert keep_up(settings, mirror, SimpleNamespace(ask=None), 3) == 3


def test_a_receipt_whose_document_cannot_be_had_holds_the_others_up_no_longer(node):
    trust, settings, mirror, uplink = node

    def ask(kind, method, path):
        if path.startswith("/documents"):
            raise Unavailable("gone")
        return SimpleNamespace(text=trust.note().text())

    uplink.ask = ask
    assert keep_up(settings, mirror, uplink, 0) == len(trust.entries)
    assert {path.name.partition("-")[0] for path in (settings.home / "receipts").glob("*.tlog-proof")} == {
        "consent",
        "release",
    }
