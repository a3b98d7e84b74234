"""What the documents say exists: links, make targets, commands with their options, finding
codes, the reference page."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from commandline import options

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = ROOT / "docs" / "decisions"
PARTY = {"coordinator": "coordinator", "client-node": "client_node", "auditor": "auditor"}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def text_of(page):
    return page.read_text(encoding="utf-8")


def shell_lines(page):
    """Lines of the page's shell blocks, without comments and environment in front."""
    for block in re.findall(r"```sh\n(.*?)```", text_of(page), flags=re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words


def names(page):
    return page.relative_to(ROOT).as_posix()


def test_decisions_are_listed_in_order_with_date_and_status():
    listed = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((.+)\) \| (\S+) \| (.+) \|$", text_of(DECISIONS / "README.md"), re.MULTILINE
    )
    for number, title, name, day, status in listed:
        assert text_of(DECISIONS / name).startswith(f"# {number}. {title}\n\n*{day}. {status}.*\n"), name
    assert [name for _, _, name, _, _ in listed] == sorted(page.name for page in DECISIONS.glob("0*.md"))


def test_an_entry_of_the_changelog_has_twenty_words_at_most():
    entries = re.findall(r"^- (.+(?:\n  .+)*)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert len(entries) > 50 and [entry for entry in entries if len(entry.split()) > 20] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_of_a_page_leads_somewhere(page):
    bare = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    targets = [
        target for target in re.findall(r"\]\(([^)]+)\)", bare) if "://" not in target and not target.startswith("#")
    ]
    assert [target for target in targets if not (page.parent / target.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_that_a_page_shows_exists_with_its_options(page):
    for words in shell_lines(page):
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, words
        if words[0] in PARTY:
            known = options(PARTY[words[0]])
            command = tuple(words[1:3]) if tuple(words[1:3]) in known else tuple(words[1:2])
            assert command in known, words
            assert {word for word in words if word.startswith("--")} <= known[command], words
        if words[:2] == ["python3", "-m"]:
            assert (ROOT / words[2] / "__main__.py").is_file(), words
        if words[0] == "python3" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), words


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_file_that_a_page_names_in_the_tree_exists(page):
    tops = "privacy|contracts|engine|coordinator|client_node|auditor|demo|tests|docs|docker|benchmarks"
    named = re.findall(rf"`((?:{tops})/[\w./-]+\.(?:py|json|md|yaml|toml|Dockerfile))`", text_of(page))
    assert [path for path in named if "mytask" not in path and not (ROOT / path).is_file()] == []


def test_the_readme_has_the_two_commands_and_the_honest_sentence_in_both_languages():
    english, chinese = " ".join(text_of(ROOT / "README.md").split()), text_of(ROOT / "README.zh.md")
    for readme in (text_of(ROOT / "README.md"), chinese):
        assert [readme.count(f"\nmake {target} ") for target in ("demo", "test")] == [1, 1]
    assert "协调器能看到每家会员加噪后的贡献，并可由此估计该会员的总量" in chinese
    assert (
        "the coordinator sees each member's noised contribution, from which that member's totals can be estimated"
        in english
    )
    assert "not run" in english and "尚未" in chinese


@pytest.mark.parametrize(("language", "folder"), [("en", "docs"), ("zh", "docs/zh")])
def test_the_reference_of_commands_is_what_the_commands_say(language, folder):
    code = f"import runpy; print(runpy.run_path('docs/write_commands.py')['page']('{language}'), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout == text_of(ROOT / folder / "reference" / "commands.md"), "run: make docs"


def test_the_list_of_fields_is_what_the_models_say():
    import runpy

    made = runpy.run_path(str(ROOT / "docs" / "write_fields.py"))["page"]()
    assert made == text_of(ROOT / "docs" / "reference" / "log-fields.md"), "run: make docs"


def test_every_rule_code_is_in_the_format():
    written = text_of(ROOT / "docs" / "reference" / "log-format.md")
    codes = set()
    for path in (ROOT / "contracts" / "rules").glob("*.py"):
        codes |= set(re.findall(r'"([A-Z]{3,}(?:_[A-Z]+)*)"', text_of(path)))
    assert {code for code in codes if f"`{code}`" not in written} == set()
    assert len(codes) > 40


def test_every_finding_code_is_in_the_reference_of_the_audit():
    written = text_of(ROOT / "docs" / "reference" / "audit.md")
    rulebook = [
        *(ROOT / "contracts" / "rules").glob("*.py"),
        ROOT / "auditor" / "verify.py",
        *(ROOT / "auditor" / "steps").glob("*.py"),
    ]
    codes = set()
    for call in (
        node for path in rulebook for node in ast.walk(ast.parse(text_of(path))) if isinstance(node, ast.Call)
    ):
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        found = name in ("Finding", "add", "breaks")
        codes |= {word.value for word in call.args[:1] if found and isinstance(word, ast.Constant)}
        codes |= {
            word.value.value for word in call.keywords if word.arg == "code" and isinstance(word.value, ast.Constant)
        }
    assert {code for code in codes if f"`{code}`" not in written} == set()
    assert len(codes) > 20


@pytest.mark.parametrize("folder", [ROOT / "docs", ROOT / "docs" / "zh"], ids=names)
def test_every_page_of_the_documentation_is_listed_in_its_contents(folder):
    contents = re.sub(r"^\[(?:English|中文)\].*$", "", text_of(folder / "README.md"), flags=re.MULTILINE)
    listed = {(folder / path).resolve() for path in re.findall(r"\]\(([^)]+\.md)\)", contents)}
    english = {path for path in (ROOT / "docs").rglob("*.md") if not path.is_relative_to(ROOT / "docs" / "zh")}
    chinese = {
        ROOT / "docs" / path.relative_to(ROOT / "docs" / "zh"): path for path in (ROOT / "docs" / "zh").rglob("*.md")
    }
    pages = {chinese.get(path, path) if folder.name == "zh" else path for path in english}
    assert {path for path in pages if not re.match(r"0\d{3}-", path.name)} == {*listed, folder / "README.md"}


def test_each_make_target_is_one_line_that_calls_python():
    rules = re.findall(r"^[a-z]+:\s*;(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(rules) == len(TARGETS)
    assert [rule for rule in rules if not rule.strip().startswith("python3 ")] == []
    for rule in rules:
        for word in rule.split():
            assert not word.endswith(".py") or (ROOT / word).exists(), rule


def test_the_version_in_the_changelog_is_the_one_that_is_installed():
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    assert f"\n## {version}" in text_of(ROOT / "CHANGELOG.md")


def test_every_answer_where_something_is_names_a_file_and_what_it_defines():
    rows = re.findall(r"^\| .+\? \| `(.+)` \| `(.+)` \|$", text_of(ROOT / "docs/reference/where.md"), re.MULTILINE)
    assert len(rows) == 30
    for file, name in rows:
        assert name in {getattr(node, "name", "") for node in ast.parse(text_of(ROOT / file)).body} | {
            target.id
            for node in ast.parse(text_of(ROOT / file)).body
            for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
            if isinstance(target, ast.Name)
        }, (file, name)
