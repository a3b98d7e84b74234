"""The documentation as a site: every page in both languages, found by search in a browser,
and nothing from elsewhere."""

import json
import re
import runpy
import shutil
import subprocess
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs" / "write_site.py"))
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# Types a word into the search of the page that holds it, and posts where the results lead.
SEARCH = """<script>
const until = async look => {
  for (;;) { const seen = look(); if (seen) return seen; await new Promise(go => setTimeout(go, 50)) }
};
(async () => {
  (await until(() => document.querySelector(".md-search__button"))).click();
  const roots = () => [...document.querySelectorAll("*")].map(one => one.shadowRoot);
  const root = await until(() => roots().find(one => one && one.querySelector("input")));
  const input = root.querySelector("input");
  input.value = WORD;
  input.dispatchEvent(new Event("input", {bubbles: true}));
  const links = () => [...root.querySelectorAll("a[href]")].map(one => new URL(one.href, location).pathname);
  fetch("/found", {method: "POST", body: JSON.stringify(await until(() => links().length && links()))});
})();
</script></body>"""

pytestmark = pytest.mark.slow


class Fetched(HTMLParser):
    """What a browser fetches by itself for a page: everything but plain links."""

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        fetched = tag == "link" and named.get("rel") not in ("alternate", "canonical", "next", "prev")
        self.addresses += [named["href"]] if fetched and "href" in named else []
        self.addresses += [named[word] for word in ("src", "srcset", "data", "poster") if named.get(word)]


class Served(SimpleHTTPRequestHandler):
    """The site, and a place for what a browser has found."""

    found = Queue()

    def do_POST(self):
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "site"
    SCRIPT["main"](out)
    return out


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_there_and_can_be_found(site, language):
    pages = {path.removesuffix("README.md").removesuffix(".md") for path in SCRIPT["pages"](language)}
    assert {path for path in pages if not (site / language / path / "index.html").is_file()} == set()
    found = json.loads((site / language / "search.json").read_text(encoding="utf-8"))["items"]
    assert {path.strip("/") for path in pages} <= {item["location"].partition("#")[0].strip("/") for item in found}
    text = "".join(item["title"] + item["text"] for item in found)
    assert "withdraw" in text and "授权" in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_navigation_is_the_contents_page_and_leads_to_the_other_language(site, language):
    home = (site / language / "index.html").read_text(encoding="utf-8")
    for section in SCRIPT["contents"](language)[1:]:
        for title, listed in section.items():
            assert title in home
            for page in listed:
                [(name, path)] = page.items()
                assert f'href="./{path.removesuffix("index.md").removesuffix(".md")}/"'.replace("//", "/") in home, name
    assert 'href="../en/"' in home and 'href="../zh/"' in home
    assert f'lang="{language}"' in home


@pytest.mark.parametrize(("language", "other"), [("en", "zh"), ("zh", "en")])
def test_the_switch_leads_to_the_same_page_in_the_other_language(site, language, other):
    for page in (site / language).rglob("index.html"):
        [to] = set(re.findall(rf'href="([^"]+)" hreflang="{other}"', page.read_text(encoding="utf-8")))
        assert (page.parent / to / "index.html").resolve() == site / other / page.relative_to(site / language)
        assert (page.parent / to / "index.html").is_file()


def test_steps_are_counted_and_lines_of_chinese_join_without_a_blank(site):
    page = (site / "zh" / "how-to" / "join-as-a-member" / "index.html").read_text(encoding="utf-8")
    assert page.count("<ol>") == 1
    assert re.findall(r"[，。；：、]\s+[一-鿿]", re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)) == []


def test_no_item_of_a_list_is_read_as_text(site):
    for page in site.rglob("index.html"):
        text = re.sub(r"<(pre|code).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        shown = "".join(re.findall(r"<p>.*?</p>", text, flags=re.DOTALL))
        assert re.findall(r"^ *(?:\d+\.|-) .*|```|\*\*", shown, flags=re.MULTILINE) == [], page


def test_nothing_comes_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert [one for one in Fetched(page.read_text(encoding="utf-8")).addresses if "//" in one] == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\(['\"]?(?:https?:)?//)[^;)]*", sheet.read_text(encoding="utf-8")) == []


def test_what_comes_from_elsewhere_would_be_seen():
    text = '<a href="https://a"></a><link rel="stylesheet" href="https://b"><script src="//c"></script>'
    assert Fetched(text).addresses == ["https://b", "//c"]


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize(
    ("language", "word", "page"),
    [
        ("en", "withdraw", "/en/reference/commands/"),
        ("zh", "撤回授权", "/zh/how-to/join-as-a-member/"),
        ("zh", "withdraw", "/zh/reference/commands/"),
    ],
)
def test_a_reader_finds_a_page_by_a_word_of_either_language(site, tmp_path, language, word, page):
    home = (site / language / "index.html").read_text(encoding="utf-8")
    (site / language / "search.html").write_text(
        home.replace("</body>", SEARCH.replace("WORD", json.dumps(word))), "utf-8"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{language}/search.html"
        with subprocess.Popen(
            [BROWSER, *FLAGS, OFFLINE, f"--user-data-dir={tmp_path}", address], stderr=subprocess.DEVNULL
        ) as browser:
            try:
                assert page in Served.found.get(timeout=60)
            finally:
                browser.terminate()
                server.shutdown()
