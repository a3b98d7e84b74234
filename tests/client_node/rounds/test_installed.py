"""Who gives the node its code: wheels that build to the same bytes, and a check that names an altered file."""

import json
import os
import subprocess
import sys
import sysconfig
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.rounds import installed_code
from contracts.envelope import digest
from contracts.errors import Invalid
from contracts.log.checkpoint import auditor_name
from contracts.release_file import ReleaseFile, office_name, read_release_file, sign_release_file
from demo.release import ROOT, build, release_file
from engine.bundle import bundle_digest, bundle_of
from simulator import ORIGIN, Trust, keyid


@pytest.fixture(scope="module")
def trust():
    """A trust with an admitted auditor."""
    made = Trust()
    made.auditor = Ed25519PrivateKey.generate()
    assert not made.say(made.key(None, "auditor", made.auditor), made.office, made.auditor)
    return made


@pytest.fixture
def settings(tmp_path):
    home = tmp_path / "node"
    home.mkdir()
    return SimpleNamespace(home=home)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that stands for an installation of three files."""
    for name in ("contracts/terms/agreement.py", "contracts/locale/zh_CN.po", "engine/bundle.py"):
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(installed_code, "form", lambda: ("a wheel", tmp_path / "site", None))
    return tmp_path / "site"


def listed(place):
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return ReleaseFile(
        "0.1.0", ("w.whl", digest(b"")), {p.relative_to(place).as_posix(): digest(p.read_bytes()) for p in files}
    )


def check(settings, trust, release, folder):
    file = folder / "signed.release"
    file.write_text(release.text(), encoding="utf-8")
    installed_code.accept(settings, trust.state, ORIGIN, file)
    return installed_code.check_code(settings, trust.state, ORIGIN)


def test_the_check_says_whose_signature_it_trusted(settings, trust, place, tmp_path):
    auditor = auditor_name(ORIGIN, keyid(trust.auditor))
    release = sign_release_file(listed(place), trust.auditor, auditor)
    assert check(settings, trust, release, tmp_path).endswith(f"release 0.1.0, signed by {auditor}")
    both = sign_release_file(release, trust.office, office_name(ORIGIN))
    assert check(settings, trust, both, tmp_path).endswith(f"signed by {auditor}, {office_name(ORIGIN)}")


@pytest.mark.parametrize(
    "name, change",
    [
        ("contracts/terms/agreement.py", lambda path: path.write_text("altered", encoding="utf-8")),
        ("contracts/locale/zh_CN.po", lambda path: path.unlink()),
        ("engine/added.py", lambda path: path.write_text("", encoding="utf-8")),
    ],
)
def test_an_altered_a_missing_and_an_added_file_are_named(settings, trust, place, tmp_path, name, change):
    check(settings, trust, sign_release_file(listed(place), trust.office, office_name(ORIGIN)), tmp_path)
    change(place / name)
    with pytest.raises(Invalid) as refused:
        installed_code.check_code(settings, trust.state, ORIGIN)
    assert refused.value.code == "CODE_ALTERED" and refused.value.lines()[1] == name


def test_the_checkout_that_runs_these_tests_is_said_to_be_one(settings, trust):
    how, folder, held = installed_code.form()
    assert "checkout" in how and (folder, held) == (ROOT, None)
    told = installed_code.check_code(settings, trust.state, ORIGIN)
    assert str(ROOT) in told and "nobody vouches" in told


def test_a_release_file_that_nobody_signed_is_not_kept(settings, trust, place, tmp_path):
    with pytest.raises(Invalid, match="nobody"):
        check(settings, trust, listed(place), tmp_path)
    assert not installed_code.kept(settings).exists()


def test_the_code_that_was_agreed_is_compared_with_what_is_installed(trust):
    with pytest.raises(Invalid, match="other code"):
        installed_code.check_agreed(trust.state)  # the simulator's agreements name a bundle of their own


def run(folder, program, *arguments):
    """A program of a new environment, which takes the packages that ours needs from the one that runs the tests."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [str(folder / "bin" / program), *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=120, cwd=folder, env=clean | {"MENGBANG_LANG": "en"}
    )


SCRIPT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from client_node.rounds.installed_code import accept, check_code
from contracts.errors import TrustError
from contracts.rules.fold import replay
told = json.load(open("told.json"))
state, _ = replay([bytes.fromhex(one) for one in told["entries"]])
settings = SimpleNamespace(home=Path("."))
try:
    accept(settings, state, told["origin"], Path("signed.release"))
    print(check_code(settings, state, told["origin"]))
except TrustError as error:
    print(error.code, *error.lines(), sep="\\n")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name == "nt" or not (ROOT / ".git").exists(), reason="builds from a clone, on a POSIX system")
def test_two_builds_are_one_and_an_altered_file_in_a_fresh_environment_is_named(trust, tmp_path):
    wheels = []
    for name, mask in (("one", 0o022), ("another folder", 0o077)):
        clone = tmp_path / name
        before = os.umask(mask)
        try:
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
            os.utime(clone / "README.md", (1, 1))
            (clone / "contracts" / "stray.py").write_text("not in the commit", encoding="utf-8")
            wheels.append(build(tmp_path / f"dist-{mask}", clone))
        finally:
            os.umask(before)
    assert len({digest(wheel.read_bytes()) for wheel in wheels}) == 1

    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    done = run(env, "pip", "install", "-q", "--no-deps", "--no-index", str(wheels[0]))
    assert done.returncode == 0, done.stderr
    site = next(env.glob("lib/python*/site-packages"))
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    release = sign_release_file(read_release_file(release_file(wheels[0])), trust.office, office_name(ORIGIN))
    (env / "signed.release").write_text(release.text(), encoding="utf-8")
    told = {"entries": [entry.hex() for entry in trust.entries], "origin": ORIGIN}
    (env / "told.json").write_text(json.dumps(told), encoding="utf-8")
    done = run(env, "python", "-c", SCRIPT)
    assert f"a wheel in {site}" in done.stdout and "signed by" in done.stdout, done.stdout + done.stderr

    home = ("--home", str(tmp_path / "home"))
    assert run(env, "client-node", "init", "--data", str(tmp_path), *home).returncode == 0
    first = code_line(run(env, "client-node", "check", "--json", *home))
    assert first["ok"] and "a wheel in" in first["detail"]
    guard = site / "client_node" / "rounds" / "guard.py"
    guard.write_text(guard.read_text(encoding="utf-8") + "\n# altered\n", encoding="utf-8")
    told = code_line(run(env, "client-node", "check", "--json", *home))
    assert not told["ok"] and "client_node/rounds/guard.py" in told["why"]
    record = site / "mengbang-0.1.0.dist-info" / "RECORD"  # whoever alters a file can alter pip's list too
    held = record.read_text(encoding="utf-8").splitlines()
    lines = [line for line in held if not line.startswith("client_node/rounds/guard.py,")]
    assert len(lines) == len(held) - 1
    record.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert code_line(run(env, "client-node", "check", "--json", *home))["ok"]
    done = run(env, "python", "-c", SCRIPT)
    assert done.stdout.split("\n")[0::2][:2] == ["CODE_ALTERED", "client_node/rounds/guard.py"], (
        done.stdout + done.stderr
    )


def code_line(done):
    return next(one for one in json.loads(done.stdout) if one["check"] == "code")


def test_the_bundle_of_agreements_and_orders_follows_from_the_release_file():
    """Every Python file of the packages that a checkout holds is in the wheel, so both give one digest."""
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True).stdout.split()
    if not files:
        pytest.skip("not a git checkout")
    assert (
        bundle_of({path: digest((ROOT / path).read_bytes()) for path in files if (ROOT / path).is_file()})
        == bundle_digest()
    )
