"""Neither language of the documentation falls behind the other, and a Chinese reader is not led to an English page."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh"
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
WANTED = sorted(
    page.relative_to(DOCS).as_posix()
    for page in DOCS.rglob("*.md")
    if page.relative_to(DOCS).parts[0] in ("how-to", "tutorial", "explanation")
)
BOTH = sorted({*WANTED, *(page.relative_to(CHINESE).as_posix() for page in CHINESE.rglob("*/*.md"))})


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    """(kind, content) of each block of code: of shell its commands without comments and language, of text nothing."""
    for kind, inside in BLOCK.findall(text_of(page)):
        lines = [re.sub(r"(--lang |MENGBANG_LANG=)\w+|\s+# .*", r"\1", line) for line in inside.splitlines()]
        shell = kind in ("sh", "")
        yield kind, [shlex.split(line, comments=True) for line in lines] if shell else lines if kind != "text" else []


def headings(page):
    """The levels of a page's headings, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", BLOCK.sub("", text_of(page)), re.MULTILINE)]


def paragraphs(page):
    """How many paragraphs, list items and rows of tables a page has."""
    text = BLOCK.sub("", text_of(page))
    return sum(bool(part.strip()) for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) )", text))


def links(page):
    """Targets of a page's links to pages of the tree, without anchors."""
    found = re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", text_of(page))
    return [(page.parent / target).resolve() for target in found]


def test_every_page_that_a_reader_works_with_is_there_in_both_languages():
    chinese = {page.relative_to(CHINESE).as_posix() for page in CHINESE.rglob("*.md")}
    assert set(WANTED) - chinese == set()
    assert {path for path in chinese if not (DOCS / path).is_file()} == set()


@pytest.mark.parametrize("path", BOTH)
def test_a_page_has_the_same_commands_and_as_many_headings_and_paragraphs_in_both_languages(path):
    assert list(blocks(CHINESE / path)) == list(blocks(DOCS / path))
    assert headings(CHINESE / path) == headings(DOCS / path)
    assert paragraphs(CHINESE / path) == paragraphs(DOCS / path)


def test_commands_of_two_languages_are_compared_without_comments_and_language(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# a\n\n1. b\n\n   ```sh\n   auditor --lang zh  # 注\n   ```\n", encoding="utf-8")
    assert list(blocks(page)) == [("sh", [["auditor", "--lang"]])]
    assert (headings(page), paragraphs(page)) == ([1], 2)


@pytest.mark.parametrize("page", [ROOT / "README.zh.md", *sorted(CHINESE.rglob("*.md"))], ids=lambda page: page.name)
def test_a_chinese_page_leads_to_chinese_pages_where_there_are_any(page):
    english = [to for to in links(page) if to.is_relative_to(DOCS) and not to.is_relative_to(CHINESE)]
    assert [
        to for to in english if (CHINESE / to.relative_to(DOCS)).is_file() and to != DOCS / page.relative_to(CHINESE)
    ] == []


def test_a_chinese_reader_gets_from_the_readme_to_the_first_result_in_chinese():
    assert ROOT / "README.zh.md" in links(ROOT / "README.md")
    first = {"how-to/set-up.md", "how-to/join-as-a-member.md", "tutorial/three-companies.md", "README.md"}
    assert {CHINESE / path for path in first} <= set(links(ROOT / "README.zh.md"))


@pytest.mark.parametrize("page", sorted(CHINESE.rglob("*.md")), ids=lambda page: page.name)
def test_a_chinese_page_is_chinese(page):
    bare = re.sub(
        r"`[^`]*`|\]\([^)]*\)|^\[English\].*|^### .*|^示例：.*", "", BLOCK.sub("", text_of(page)), flags=re.MULTILINE
    )
    assert len(re.findall(r"[一-鿿]", bare)) > len(re.findall(r"[A-Za-z]{2,}", bare)) * 5
