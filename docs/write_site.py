"""Write the documentation as a site with search, in both languages, below build/site: `make site`.

Each language is a site of its own with all pages under the same paths; a page that has no Chinese stands in
English in both. Nothing is fetched, neither here nor by the browser of a reader. Any web server serves it:
python3 -m http.server -d build/site
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
LANGUAGES = {"en": ("English", "Mengbang documentation"), "zh": ("中文", "盟邦文档")}
SWITCH = re.compile(r"^\[(?:English|中文)\]\(.*\)\n+", re.MULTILINE)  # the site has a switch of its own
BLOCK = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
INSIDE_ITEM = re.compile(r"^ {3}", re.MULTILINE)  # Python-Markdown wants four
HAN = "[、-】一-鿿！-～“”]"
BETWEEN_HAN = re.compile(rf"(?<={HAN})\n *(?={HAN})")  # a browser shows a line break as a blank
LINK = re.compile(r"(\]\()([^)#:]+)([^)]*\))")
HOME = """<!doctype html><html lang="zh"><meta charset="utf-8"><title>盟邦 Mengbang</title>
<p><a href="zh/">中文文档</a></p><p><a href="en/">English documentation</a></p></html>
"""


def pages(language: str) -> dict[str, Path]:
    """Path in the site -> file of the tree, for one language."""
    found = {page.relative_to(DOCS).as_posix(): page for page in DOCS.rglob("*.md")}
    chinese = {path.removeprefix("zh/"): page for path, page in found.items() if path.startswith("zh/")}
    english = {path: page for path, page in found.items() if not path.startswith("zh/")}
    measured = {page.relative_to(ROOT).as_posix(): page for page in (ROOT / "benchmarks").rglob("*.md")}
    return {**measured, **english, **(chinese if language == "zh" else {})}


def contents(language: str) -> list[dict[str, object]]:
    """The navigation: each line of the contents page is a section, each of its links a page."""
    page = pages(language)["README.md"]
    lines = re.findall(r"^- \*\*(.+?)\*\*(.*?)(?=^- |\Z)", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    sections = [
        {title: [{name: _place(_meant(page, link))} for name, link in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", rest)]}
        for title, rest in lines
    ]
    return [{"首页" if language == "zh" else "Home": "index.md"}, *sections]


def _meant(page: Path, link: str) -> str:
    """The path in the site of what a link of a page leads to."""
    to = (page.parent / link).resolve()
    return to.relative_to(DOCS if to.is_relative_to(DOCS) else ROOT).as_posix().removeprefix("zh/")


def _place(path: str) -> str:
    return path.removesuffix("README.md") + "index.md" if path.endswith("README.md") else path


def _copy(language: str, folder: Path) -> None:
    """Lay the pages of one language out as the site has them, with links that lead there."""
    known = pages(language)
    for path, page in known.items():
        place = folder / _place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_laid_out(page, path, known), encoding="utf-8")


def _laid_out(page: Path, path: str, known: dict[str, Path]) -> str:
    """The text of a page, its links led to where the site has their pages, its paragraphs as
    Python-Markdown reads them."""

    def led(link: re.Match[str]) -> str:
        to = _meant(page, link[2])
        if to not in known:
            raise SystemExit(f"{page}: {link[2]} is no page of the site")
        return link[1] + posixpath.relpath(_place(to), posixpath.dirname(path) or ".") + link[3]

    parts = BLOCK.split(SWITCH.sub("", page.read_text(encoding="utf-8")))
    parts[::2] = [LINK.sub(led, INSIDE_ITEM.sub("    ", BETWEEN_HAN.sub("", text))) for text in parts[::2]]
    return "".join(parts)


def _settings(language: str) -> dict[str, object]:
    return {
        "site_name": LANGUAGES[language][1],
        "docs_dir": "pages",
        "site_dir": "site",
        "nav": contents(language),
        "theme": {"language": language, "font": False, "features": ["search.highlight", "navigation.top"]},
        "extra": {
            "generator": False,
            "alternate": [{"name": name, "lang": code, "link": f"../{code}/"} for code, (name, _) in LANGUAGES.items()],
        },
        "markdown_extensions": [
            "tables",
            "pymdownx.superfences",  # a block may stand inside a list
            {"toc": {"slugify": {"object": "pymdownx.slugs.slugify", "kwds": {"case": "lower"}}}},  # as GitHub does
        ],
    }


def build(language: str, out: Path) -> None:
    """Build the site of one language into `out`; a link that leads nowhere stops it."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        _copy(language, place / "pages")
        (place / "mkdocs.yml").write_text(json.dumps(_settings(language)), encoding="utf-8")  # JSON is YAML
        subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=place, check=True)
        _lead_to_the_same_page(place / "site")
        shutil.copytree(place / "site", out)


def _lead_to_the_same_page(site: Path) -> None:
    """The switch of language leads to the page that the reader is on, which is there in both."""
    for page in site.rglob("index.html"):
        here = page.parent.relative_to(site).as_posix()
        text = page.read_text(encoding="utf-8")
        page.write_text(
            re.sub(r'(?<=/(?:en|zh)/)(?=" hreflang)', f"{here}/".removeprefix("./"), text), encoding="utf-8"
        )


def main(out: Path = SITE) -> None:
    """Build both languages and the page that lets a reader choose."""
    shutil.rmtree(out, ignore_errors=True)
    for language in LANGUAGES:
        build(language, out / language)
    (out / "index.html").write_text(HOME, encoding="utf-8")
    print(f"python3 -m http.server -d {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
