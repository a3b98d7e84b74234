"""Every sentence a person reads can be read in Chinese: extracted from the sources, looked up in the catalogues."""

import ast
import re
import runpy
import string
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from shell.language import translator

ROOT = Path(__file__).resolve().parent.parent
KERNELS = (
    "contracts",
    "engine",
    "privacy",
    "shell",
)  # every party reads their sentences: they stand in the catalogue of contracts
PARTIES = ("auditor", "client_node", "coordinator")
PAGES = sorted(
    page
    for page in (*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md"))
    if page.name != "glossary.md" and "decisions" not in page.parts
)
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
ERRORS = {"TrustError", "Malformed", "Invalid", "Refused", "Unavailable"}


def sentences(package):
    """Sentence -> file of a package, as gettext's own extraction finds them."""
    found = extract_from_dir(str(ROOT / package), method_map=METHODS, keywords={"_": None, "N_": None})
    return {message: f"{package}/{file}:{line}" for file, line, message, _comments, _context in found}


def catalogue(package):
    with (ROOT / package / "locale" / "zh_CN.po").open("rb") as file:
        return {entry.id: entry for entry in read_po(file, locale="zh_CN", abort_invalid=True) if entry.id}


def test_the_compiled_catalogues_are_those_that_make_docs_writes():
    made = runpy.run_path(str(ROOT / "docs" / "write_catalogues.py"))["compiled"]()
    assert [str(path) for path, data in made.items() if path.read_bytes() != data] == []
    assert len(made) == len(PARTIES) + len(("contracts", "shell"))


def test_a_sentence_that_nobody_translated_stays_as_it_is():
    translate = translator("auditor", "zh")
    assert translate("a sentence that nobody wrote") == "a sentence that nobody wrote" and translate("") == ""


def fields(text):
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}


def shared():
    return {sentence: place for package in KERNELS for sentence, place in sentences(package).items()}


@pytest.mark.parametrize("package", PARTIES)
def test_every_sentence_of_a_party_has_its_chinese(package):
    known = {
        name
        for held in (catalogue(package), catalogue("contracts"))
        for name, entry in held.items()
        if entry.string and not entry.fuzzy
    }
    assert {text: place for text, place in sentences(package).items() if text not in known} == {}


def test_every_sentence_of_the_shared_packages_has_its_chinese():
    known = {name for name, entry in catalogue("contracts").items() if entry.string and not entry.fuzzy}
    assert {text: place for text, place in shared().items() if text not in known} == {}


@pytest.mark.parametrize("package", [*PARTIES, "contracts"])
def test_no_translation_outlives_its_sentence(package):
    used = shared() if package == "contracts" else sentences(package)
    assert set(catalogue(package)) - set(used) == set()


@pytest.mark.parametrize("package", [*PARTIES, "contracts"])
def test_a_translation_fills_in_the_same_values(package):
    assert [entry.id for entry in catalogue(package).values() if fields(entry.id) != fields(entry.string)] == []


@pytest.mark.parametrize("package", [*PARTIES, "contracts"])
def test_a_translation_is_chinese(package):
    bare = [
        entry.id
        for entry in catalogue(package).values()
        if re.search(r"[a-z]{3}", re.sub(r"\{\w*\}", "", entry.id)) and not re.search(r"[\u4e00-\u9fff]", entry.string)
    ]
    assert [
        text for text in bare if not re.match(r"(coordinator|client-node|auditor|chmod) ", text)
    ] == []  # commands stay as typed


def unmarked(path):
    """Texts that go to a reader without passing gettext: plain strings in errors and in terminal.say and its like."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        told = isinstance(node.func, ast.Attribute) and name in ("say", "ok", "bad", "note")
        if name not in ERRORS and name != "print" and not told:
            continue
        texts = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("what", "why", "do"))]
        yield from (
            f"{path.name}:{text.lineno} {text.value}"
            for text in texts
            if isinstance(text, ast.Constant)
            and isinstance(text.value, str)
            and re.search(r"[A-Za-z]{2}", re.sub(r"\{\w*\}", "", text.value))
        )


def test_no_error_and_no_printed_line_passes_by_the_catalogue():
    files = [path for package in (*KERNELS, *PARTIES) for path in (ROOT / package).rglob("*.py")]
    assert [text for path in files for text in unmarked(path)] == []


def test_a_plain_string_in_an_error_would_be_seen(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text('raise Refused("not so", do=N_("otherwise"), why="because")\n', encoding="utf-8")
    assert len(list(unmarked(wrong))) == 2


def not_said():
    """Words that the glossary rules out."""
    rows = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8").splitlines()[7:]
    cells = [row.strip("|").split("|") for row in rows]
    return [word.strip() for *_, words in cells for word in words.split(",") if word.strip()]


def against_the_glossary(texts):
    """(text, word) of every text that uses a word ruled out; words in English as whole words."""
    ruled_out = {word: re.compile(rf"\b{word}" if word.isascii() else word, re.IGNORECASE) for word in not_said()}
    return [(text, word) for text in texts for word, found in ruled_out.items() if found.search(text)]


@pytest.mark.parametrize("package", [*PARTIES, "contracts"])
def test_one_thing_has_one_word(package):
    known = catalogue(package)
    assert against_the_glossary([*known, *(entry.string for entry in known.values())]) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_says_one_thing_with_one_word(page):
    assert against_the_glossary(page.read_text(encoding="utf-8").splitlines()) == []


def test_a_word_that_the_glossary_rules_out_would_be_seen():
    assert against_the_glossary(["每个成员的收据", "Countersign it", "会员的收据"]) == [
        ("每个成员的收据", "成员"),
        ("Countersign it", "countersign"),
    ]


def test_pages_hold_no_text_of_their_own():
    for page in (page for party in PARTIES for page in (ROOT / party).rglob("*.html")):
        bare = re.sub(
            r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[^>]*>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        assert set(re.findall(r"[A-Za-z\u4e00-\u9fff]+", bare)) <= {"中文", "English"}, page.name


def test_the_demo_tells_the_same_in_both_languages():
    tree = ast.parse((ROOT / "demo" / "story.py").read_text(encoding="utf-8"))
    told = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "TEXT"
    )
    assert {name: fields(text) for name, text in told["zh"].items()} == {
        name: fields(text) for name, text in told["en"].items()
    }
    assert [name for name, text in told["zh"].items() if not re.search(r"[\u4e00-\u9fff]", text)] == []
