"""The container files: linted, their commands exist, their install steps run in a plain folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commandline import commands

ROOT = Path(__file__).resolve().parent.parent
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
PARTY = {"coordinator": "coordinator", "client-node": "client_node", "auditor": "auditor"}


def instruction(image, word):
    text = re.sub(r"\\\n\s*", " ", image.read_text(encoding="utf-8"))
    return re.findall(rf"^{word} (.*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_the_linter_of_container_files_is_content(image):
    done = subprocess.run(
        [shutil.which("hadolint", path=Path(sys.executable).parent) or "hadolint", str(image)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_an_image_runs_as_a_plain_user_and_starts_a_command_that_exists(image):
    assert instruction(image, "USER") == ["10001:10001"]
    [entry] = json.loads(*instruction(image, "ENTRYPOINT"))
    arguments = json.loads(*instruction(image, "CMD"))
    assert arguments[0] == "--help" or [arguments[0]] in commands(PARTY[entry])


def test_the_composition_is_a_coordinator_three_nodes_and_an_auditor_built_from_files_that_exist():
    services = COMPOSE["services"]
    assert sorted(services) == ["auditor", "coordinator", "node1", "node2", "node3"]
    for service in services.values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    mounted = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert {name for name in mounted if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_the_composition_uses_commands_that_exist():
    scripts = "\n".join(line for service in COMPOSE["services"].values() for line in service.get("command", []))
    used = re.findall(r"^\s*(?:exec )?(coordinator|client-node|auditor) ([a-z-]+)", scripts, flags=re.MULTILINE)
    assert {party for party, _command in used} == {"coordinator", "client-node"}
    assert [(party, command) for party, command in used if command not in {c[0] for c in commands(PARTY[party])}] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_the_install_steps_run_in_a_plain_folder(image, tmp_path):
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    hidden = shutil.ignore_patterns(
        *(line.removeprefix("**/") for line in ignored), ".*_cache", ".hypothesis", "*.egg-info"
    )
    app = shutil.copytree(ROOT, tmp_path / "app", ignore=hidden)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "EXTRAS"))
    }
    clean["MENGBANG_LANG"] = "en"
    for step in instruction(image, "RUN"):
        subprocess.run(["/bin/sh", "-euc", step], cwd=app, check=True, env=clean)
    [entry] = json.loads(*instruction(image, "ENTRYPOINT"))
    done = subprocess.run([app / ".venv" / "bin" / entry, "--help"], capture_output=True, encoding="utf-8", env=clean)
    assert done.returncode == 0, done.stderr
    assert f"Usage: {entry}" in done.stdout
    assert (app / "data").is_dir() and (app / "handover").is_dir()
