"""Files of a home that a crash, an editor or a disk has damaged: each is named in three lines,
written anew, or passed over."""

from types import SimpleNamespace

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from client_node.commands import receipts
from client_node.commands.results import _asked
from client_node.link.mirror import document, read_documents
from client_node.membership import refusals
from client_node.settings import read_home, read_key
from contracts.envelope import digest
from contracts.errors import Invalid, Malformed, TrustError
from coordinator.settings import read_key as read_office_key
from engine.task import load
from hostile_values import DOCUMENTS
from simulator import NOTHING

CONFIGS = [
    "[data]\nfolder = 'D:\\\\数据'\n".encode("gb18030"),  # as an editor of Windows saves it
    b"data = 5",
    b"data = [1]\nlimits = 2",
    b"[data]\nfolder = 5\n[limits]\nepsilon_run_max = '1'\nepsilon_year_max = '2'",
    b"[data]\nfolder = 'x'\n[limits]\nepsilon_run_max = '1'\nepsilon_year_max = '2'\n[[trust]]\n",
    *(data for data in DOCUMENTS if data not in (b"", b"{}")),
]


def test_a_configuration_that_cannot_be_read_is_named(tmp_path):
    for data in CONFIGS:
        (tmp_path / "config.toml").write_bytes(data)
        with pytest.raises(Malformed, match=r"config\.toml"):
            read_home(tmp_path)


@pytest.mark.parametrize("read", [read_key, read_office_key])
def test_a_key_file_that_holds_no_key_is_named(tmp_path, read):
    path = tmp_path / "node.pem"
    path.touch(0o600)
    for data in DOCUMENTS:
        path.write_bytes(data)
        with pytest.raises(TrustError, match=r"node\.pem"):
            read(path)


def test_a_key_of_a_kind_that_is_not_known_is_named_too(tmp_path, monkeypatch):
    path = tmp_path / "node.pem"
    path.touch(0o600)

    def unsupported(data, password):
        raise UnsupportedAlgorithm("a curve of tomorrow")

    monkeypatch.setattr("client_node.settings.load_pem_private_key", unsupported)
    with pytest.raises(Malformed, match=r"node\.pem"):
        read_key(path)


def test_a_receipt_that_is_damaged_is_told_beside_the_others(tmp_path):
    path = tmp_path / "consent-3.tlog-proof"
    for data in DOCUMENTS:
        path.write_bytes(data)
        assert receipts._promised(path) == [receipts._("this file is damaged; delete it, and it will be written anew")]
        assert receipts._together(path, None, None) is None


def test_a_refusal_that_a_crash_tore_holds_up_neither_the_others_nor_the_node(tmp_path):
    settings, said = (
        SimpleNamespace(home=tmp_path),
        refusals.Unheard(order=NOTHING, reason="budget", open=None, since="2"),
    )
    (refusals._folder(settings) / "b.json").write_text(said.model_dump_json(), encoding="ascii")
    for data in DOCUMENTS:
        (tmp_path / "refusals" / "a.json").write_bytes(data)
        assert refusals.kept(settings) == [said]


def test_a_document_that_a_crash_tore_is_fetched_again(tmp_path):
    data, settings = b"a schema", SimpleNamespace(home=tmp_path)
    path = read_documents(tmp_path) / digest(data).removeprefix("sha256:")
    path.write_bytes(data[:3])
    with pytest.raises(Invalid, match="other bytes"):
        document(settings, None, digest(data))
    uplink = SimpleNamespace(ask=lambda *words: SimpleNamespace(content=data))
    assert document(settings, uplink, digest(data)) == data == path.read_bytes()


@pytest.mark.parametrize("row", ['{"a": ' + "9" * 5000 + "}", '{"id": "\\ud800"}', "{" * 3, '{"a": ' + "[" * 10**5])
def test_a_row_that_is_typed_and_is_none_is_refused_in_words(row):
    from client_node.data.scored_rows import frame_of

    schema = load("risk").schema()
    named = row.replace('"id"', f'"{schema.of_kind("id")[0].name}"')
    with pytest.raises(Malformed):
        _asked(named, SimpleNamespace(schema=schema, frame=lambda rows: frame_of(rows, schema)))
