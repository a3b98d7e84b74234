"""The architecture's table as lint: who may import whom, what is light, what stands in the tree."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LISTED = SETTINGS["tool"]["setuptools"]["packages"]
TOP = sorted({name.partition(".")[0] for name in LISTED})
HEAVY = {"torch", "numpy", "opendp", "flwr", "fastapi", "sqlmodel", "polars", "scikit-learn", "ray"}

MOST_FILES = 18  # Python files in one folder


def lint_imports(folder):
    command = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=folder, capture_output=True, encoding="utf-8", timeout=120
    )


def test_no_package_imports_what_it_may_not():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_nothing_in_the_privacy_kernel_can_be_seeded():
    """Noise comes from OpenDP, coins from `secrets`: no other generator is named, and nothing is called a seed
    (but the secret from which a mask is expanded)."""
    banned = {"random", "randn", "rand", "randint", "normal", "default_rng", "Generator", "environ", "getenv"}
    found = []
    for path in (ROOT / "privacy").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [str(getattr(node, kind)) for kind in ("attr", "id", "arg") if getattr(node, kind, None)]
            seeded = path.name != "secure_sum.py" and any("seed" in name.lower() for name in names)
            if seeded or getattr(node, "attr", None) in banned:
                found.append(f"{path.name}: {names}")
    assert found == []


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The packages and their settings in a folder of their own, where faults can be planted."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in TOP:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


LAZY = "\ndef later():\n    {line}\n"
TYPE_ONLY = "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {line}\n"
PLANTED = [  # file, how, line, what the lint says
    ("auditor/verify.py", "\n{line}\n", "from coordinator.settings import Settings", "auditor.verify -> coordinator"),
    ("privacy/plan.py", LAZY, "from contracts.errors import Malformed", "privacy.plan -> contracts.errors"),
    ("coordinator/trust/members.py", LAZY, "from coordinator.web.pages import pages", "trust.members -> coordinator.w"),
    ("client_node/settings.py", LAZY, "from client_node.link.witness import Witness", "client_node.settings -> client"),
    ("engine/ensemble.py", TYPE_ONLY, "from engine.task import Task", "engine.ensemble -> engine.task"),
    ("client_node/link/egress.py", LAZY, "from client_node.link.uplink import Uplink", "No cycles are allowed"),
    ("contracts/rules/budgets.py", TYPE_ONLY, "from contracts.rules.rounds import check_open", "No cycles are allowed"),
    ("privacy/spend.py", TYPE_ONLY, "from privacy.plan import ReleasePlan", "No cycles are allowed"),
    ("contracts/envelope.py", "\n{line}\n", "import pickle", "contracts.envelope -> pickle"),
    ("contracts/log/tiles.py", LAZY, "from pathlib import Path", "contracts.log.tiles -> pathlib"),
    ("auditor/steps/step7_budgets.py", LAZY, "import privacy.trees", "step7_budgets -> privacy.trees"),
    ("auditor/steps/epsilon.py", "\n{line}\n", "from privacy import accounting", "epsilon -> privacy.accounting"),
    ("contracts/fields.py", LAZY, "from privacy.step import advance", "contracts.fields -> privacy.step"),
    ("client_node/web/pages.py", LAZY, "import typer", "client_node.web.pages -> typer"),
    ("coordinator/learning/runs.py", TYPE_ONLY, "from typer import Typer", "coordinator.learning.runs -> typer"),
    ("client_node/other.py", "{line}\n", '"""A file in no room."""', "client_node.other"),
]


@pytest.mark.parametrize(("file", "how", "line", "named"), PLANTED, ids=lambda value: str(value)[:40])
def test_the_lint_is_red_for_a_planted_fault(copied, file, how, line, named):
    path = copied / file
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text((before or "") + how.format(line=line), encoding="utf-8")
    try:
        done = lint_imports(copied)
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout
    assert named in done.stdout.partition("Broken contracts")[2], done.stdout


TOUCHES = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}
STREAMS = {"argv", "stdin", "stdout", "stderr", "environ"}


def touched(text):
    """Names in a source by which it would read a file, an argument or the terminal, or write to one."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    named = {call.id for call in calls if isinstance(call, ast.Name)} & TOUCHES
    methods = {call.attr for call in calls if isinstance(call, ast.Attribute)} & {
        "read_text",
        "write_text",
        "read_bytes",
    }
    streams = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)} & STREAMS
    return named | methods | streams


@pytest.mark.parametrize("package", ["privacy", "contracts"])
def test_a_kernel_touches_no_file_no_argument_and_no_terminal(package):
    found = {path.name: touched(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py")}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize("line", ["open('x')", "print(1)", "sys.argv[1]", "Path('x').read_text()", "os.environ['x']"])
def test_what_touches_them_would_be_seen(line):
    assert touched(line)


@pytest.mark.parametrize("package", LISTED)
def test_an_init_file_is_one_docstring(package):
    body = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")).body
    assert [type(node) for node in body] == [ast.Expr]
    assert isinstance(body[0].value, ast.Constant)


def test_every_folder_with_code_is_listed_for_the_distribution():
    folders = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".") for top in TOP for path in (ROOT / top).rglob("*.py")
    }
    assert folders == set(LISTED)


def test_every_data_file_of_a_package_is_packed():
    packed = {
        path
        for top in TOP
        for pattern in SETTINGS["tool"]["setuptools"]["package-data"]["*"]
        for folder in (ROOT / top).rglob("**/")
        for path in folder.glob(pattern)
    }
    shipped = {
        path
        for top in TOP
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert shipped - packed == set()


def test_an_auditor_installs_nothing_heavy():
    extras = SETTINGS["project"]["optional-dependencies"]
    wanted = [*SETTINGS["project"]["dependencies"], *extras["auditor"]]
    names = {requirement.replace("[", ">").replace("=", ">").replace("<", ">").split(">")[0] for requirement in wanted}
    assert names & HEAVY == set()


NEEDS = {  # package -> extras with which it is installed
    "privacy": ("learn",),
    "contracts": (),
    "shell": ("learn", "node"),  # its door and log lines, which only services import
    "engine": ("learn",),
    "coordinator": ("learn", "coordinator"),
    "client_node": ("learn", "node"),
    "auditor": ("auditor", "auditor-report"),
    "demo": ("learn", "coordinator", "dev"),
}


@pytest.mark.parametrize("package", TOP)
def test_a_package_declares_every_library_that_it_imports(package):
    project, known = SETTINGS["project"], packages_distributions()
    texts = [
        *project["dependencies"],
        *(text for extra in NEEDS[package] for text in project["optional-dependencies"][extra]),
    ]
    declared = {re.split(r"[\[<>=]", text)[0].lower() for text in texts}
    imported = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    foreign = imported - set(TOP) - sys.stdlib_module_names
    assert {name for name in foreign if not declared & {held.lower() for held in known.get(name, ())}} == set()


def test_every_version_of_the_tested_set_is_exact():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line.partition(";")[0] for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.count("==") != 1 or "+" in line] == []
    assert {"polars==1.36.1", "click==8.3.3", "torch==2.13.0"} <= set(lines)


def test_no_folder_of_code_is_too_full_to_be_read_at_a_glance():
    counts = Counter(path.parent for top in (*TOP, "tests", "benchmarks") for path in (ROOT / top).rglob("*.py"))
    assert {folder.relative_to(ROOT).as_posix(): n for folder, n in counts.items() if n > MOST_FILES} == {}


def test_no_test_file_shares_its_name_with_another():
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert len(names) == len(set(names))
    assert "__init__.py" not in names
