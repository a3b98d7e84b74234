"""Which code is installed here, and whether it is what the office and auditors vouch for.

The release file says what every file should be; where it is absent only pip's own list can be compared, and whoever
altered a file may have altered that. Files of other packages are pip's matter (`--require-hashes`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from client_node.settings import Settings
from contracts.envelope import digest, load_public
from contracts.errors import Invalid
from contracts.log.checkpoint import LOG_KEY, NoteKey, auditor_name
from contracts.release_file import ReleaseFile, office_name, read_release_file, signers
from contracts.rules.state import TrustState
from contracts.wording import N_
from engine.bundle import bundle_digest
from shell.text_files import read_text

NAME = "mengbang"
SHOWN = 5


def form() -> tuple[str, Path, Distribution | None]:
    """How the code got here (a sentence with {place}), the folder that it is read from, and pip's
    word on it if it is a wheel."""
    spec = find_spec("client_node")
    assert spec is not None and spec.origin is not None
    place = Path(spec.origin).resolve().parent.parent
    for held in distributions(name=NAME):
        if held.read_text("RECORD") and Path(str(held.locate_file(""))).resolve() == place:
            return N_("a wheel in {place}"), place, held
        told = json.loads(held.read_text("direct_url.json") or "{}")
        if "dir_info" in told and place.as_uri() == told["url"].rstrip("/"):
            return N_("an editable install of the checkout {place}"), place, None
    return N_("the checkout {place}, not installed"), place, None


def altered_since_installed(held: Distribution) -> list[str]:
    """Files of a wheel that differ from pip's own list (RECORD), or are gone."""
    listed = [one for one in held.files or () if one.hash and one.hash.mode == "sha256"]
    return [str(one) for one in listed if one.hash and _record_hash(Path(str(one.locate()))) != one.hash.value]


def _record_hash(path: Path) -> str:
    data = path.read_bytes() if path.is_file() else b""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def differences(release: ReleaseFile, place: Path) -> list[str]:
    """Paths under `place` that are altered, gone, or Python files that the release does not have."""
    wrong = [path for path, name in release.files.items() if _digest(place / path) != name]
    folders = {path.partition("/")[0] for path in release.files}
    here = {path.relative_to(place).as_posix() for folder in folders for path in (place / folder).rglob("*.py")}
    return sorted({*wrong, *(here - set(release.files))})


def _digest(path: Path) -> str:
    return digest(path.read_bytes()) if path.is_file() else ""


def keys_of(state: TrustState, origin: str) -> dict[str, NoteKey]:
    """Who may vouch for code: the office and the admitted auditors, as this node's own copy of the log has them."""
    keys = {auditor_name(origin, name): key for name, key in state.keys.items() if key.role == "auditor"}
    office = state.live_key(None, "office")
    if office:
        keys[office_name(origin)] = office[1]
    return {name: NoteKey(name, LOG_KEY, load_public(key.public)) for name, key in keys.items() if key.ended is None}


def kept(settings: Settings) -> Path:
    """Where this node keeps the release file that it was last shown."""
    return settings.home / "code.release"


def accept(settings: Settings, state: TrustState, origin: str, file: Path) -> None:
    """Keep a release file, once somebody whom the log knows has signed it."""
    text = read_text(file)
    signers(read_release_file(text), keys_of(state, origin))
    kept(settings).write_text(text, encoding="utf-8", newline="\n")


def check_code(settings: Settings, state: TrustState, origin: str, translate: Callable[[str], str] = str) -> str:
    """What runs here and who vouches for it; Invalid (CODE_ALTERED) naming the files that differ."""
    sentence, place, held = form()
    how = translate(sentence).format(place=place)
    if not kept(settings).exists():
        _refuse(altered_since_installed(held) if held else [], "RECORD")
        return translate(N_("{how}; nobody vouches for it yet: client-node check --release FILE")).format(how=how)
    release = read_release_file(read_text(kept(settings), do=N_("client-node check --release FILE")))
    trusted = signers(release, keys_of(state, origin))
    _refuse(differences(release, place), release.version)
    said = translate(N_("{how}: all {n} files are those of release {version}, signed by {names}"))
    return said.format(how=how, n=len(release.files), version=release.version, names=", ".join(trusted))


def _refuse(wrong: list[str], version: str) -> None:
    if wrong:
        more = ", ..." if len(wrong) > SHOWN else ""
        raise Invalid(
            N_("{n} files of this installation are not those of {version}"),
            why="{files}",
            do=N_("do not run this node; install the released wheel again, and tell an auditor"),
            code="CODE_ALTERED",
            n=len(wrong),
            version=version,
            files=", ".join(wrong[:SHOWN]) + more,
        )


def check_agreed(state: TrustState) -> str:
    """The digest of this code as the active agreement allows it; Invalid (CODE_HASH) if it allows other code alone."""
    active = state.active_agreement()
    allowed = state.agreements[active].terms.bundles if active else ()
    if active and bundle_digest() not in allowed:
        raise Invalid(
            N_("the agreement allows other code than is installed here"),
            why=N_("installed {here}, allowed {allowed}"),
            do=N_("install the version that the agreement names, or wait for the next agreement"),
            code="CODE_HASH",
            here=bundle_digest()[:23],
            allowed=", ".join(one[:23] for one in allowed),
        )
    return bundle_digest()[:23]
