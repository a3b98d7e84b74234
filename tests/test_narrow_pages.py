"""The pages of both parties on a telephone of 360 points, in a real browser: nothing scrolls
sideways, no number breaks."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from markupsafe import Markup

from chromium import BROKEN, WIDER, Chromium
from client_node.web import pages as node
from contracts.terms.reading import page
from coordinator.web import pages as office
from shell.headers import SAFE
from shell.language import translator
from simulator import Trust

ID = "urn:uuid:6f1d7c2e-98ab-4c2d-8f11-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Chromium(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def served():
    """{path: (type, text)} that a server of this test answers, under the headers of ours; its address."""
    held = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            kind, text = held.get(self.path.partition("?")[0], ("text/plain", ""))
            self.send_response(200)
            for name, value in {**SAFE, "Content-Type": f"{kind}; charset=utf-8"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield held, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def rendered(party, name, lang, **values):
    package = {office: "coordinator", node: "client_node"}[party]
    words = {"_": translator(package, lang), "lang": lang, "path": "/"}
    return party._TEMPLATES.get_template(name).render(words, **values)


def measured(browser, served, party, html):
    held, address = served
    package = {office: "coordinator", node: "client_node"}[party]
    style = (node.files(f"{package}.web") / "templates" / "style.css").read_text("utf-8")
    held.update({"/": ("text/html", html), "/style.css": ("text/css", style)})
    browser.open(address)
    assert browser.ask("getComputedStyle(document.body).maxWidth") == "960px", "the style sheet was not read"
    return browser.ask(WIDER), browser.ask(BROKEN)


def overview(is_office):
    check = {"index": 12345, "passed": True, "at_least": 0.4321}
    name = "宁波市恒锐精密机械制造有限责任公司" if is_office else ID
    members = [
        {"name": name, "member": ID, "online": True, "check": check, "consent": consent}
        for consent in ("live", "withdrawn", "none")
    ]
    run = {"run": "sha256:" + "1f" * 32, "task": "warning", "rounds": 1000, "of": 1000, "aborted": 123, "index": 123456}
    judged = {"auc": 0.7345, "auc_error": 0.0123}
    runs = [
        run | {"released": released, "gate": {"verdict": verdict}, "judged": judged, "malformed": []}
        for released, verdict in ((True, "not-worse"), (False, "too-few"))
    ]
    awaited = {"name": name, "member": ID, "fingerprint": " ".join(["A1B2"] * 8)}
    sentence = (
        f"risk waits for the cosignature of an auditor under round 1 (keys {'ab' * 8}), since 2026-11-30T20:23:43Z"
    )
    return {
        "is_office": is_office,
        "chamber": "宁波市机械工业商会",
        "secure_sum": False,
        "members": members,
        "runs": runs,
        "promises": [["If everybody else conspires: epsilon 1.0000 at delta 1e-6.", "Someone who guesses."]],
        "most": "These are upper bounds.",
        "size": 123456,
        "cosigned": 123456,
        "fingerprints": {"chamber": " ".join(["A1B2"] * 8)},
        "waits": [{"sentence": sentence}] if is_office else [],
        "schedules": [{"task": "demand", "next": "2026-12-01 02:00:00+08:00", "outcome": "ordered"}]
        if is_office
        else [],
        "awaited": [awaited] if is_office else [],
        "ahead": [{"name": name, "held": 123456}] if is_office else [],
        "certificate": {
            "ends": "2026-12-31T00:00:00Z",
            "warning": "the certificate of this coordinator ends in 7 days",
        },
        "waiting": 1,
    }


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("is_office", [True, False])
def test_a_chambers_page_fits(browser, served, lang, is_office):
    html = rendered(office, "status.html", lang, **overview(is_office))
    assert measured(browser, served, office, html) == (0, [])


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_forecast_fits(browser, served, lang):
    vote = SimpleNamespace(record=SimpleNamespace(alone=12345.6789, shared=12345.6789, used=12345.6789, units=123456))
    votes = SimpleNamespace(record=vote.record, votes=[], shares=lambda: [("shared", 0.5), ("alone", 0.5)])
    ahead = [(f"2026-{month:02}", ["2,870,239", "12,870,239", "112,870,239"]) for month in (11, 12)]
    line = SimpleNamespace(level="series", id="P1", reasons=[("promotion", 0.25)])
    series = SimpleNamespace(title="total", chart=Markup("<svg></svg>"), ahead=ahead, line=line)
    voted = SimpleNamespace(total=None, families=[], lines=[line])
    ready = SimpleNamespace(voted=voted, run=None, left_out=None)
    result = SimpleNamespace(votes=votes, receipt_id="R0123456789ab", note="")
    values = {"task": "demand", "tasks": ["risk", "demand", "warning"], "moved": [], "offers": "x", "label": str}
    html = rendered(node, "series.html", lang, series=series, ready=ready, result=result, **values)
    assert measured(browser, served, node, html) == (0, [])


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_an_agreement_fits(browser, served, lang):
    terms, words = Trust(3, edition=2).terms, translator("coordinator", lang)
    html = page(terms, lang, words, origin="chamber.hub.example/consent-log", fingerprint=" ".join(["A1B2"] * 8))
    assert measured(browser, served, office, html) == (0, [])


@pytest.mark.parametrize(("party", "name"), [(office, "sections.html"), (node, "problem.html")])
def test_an_error_fits(browser, served, party, name):
    lines = [f"document sha256:{'1f' * 32} is missing", "members could not read it"]
    values = {"title": lines[0], "sections": [("", lines)]} if party is office else {"lines": lines, "tasks": []}
    assert measured(browser, served, party, rendered(party, name, "en", **values)) == (0, [])
