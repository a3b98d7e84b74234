"""The release file: every file of one version of this software with its digest, signed by whoever vouches for it.

The body is lines of text, made by `python -m demo.release`; after an empty line stand signature lines as under a
checkpoint (C2SP signed-note, Ed25519 over the body). The office and auditors sign with the keys that the log holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import verifies
from contracts.errors import Invalid, Malformed, TrustError
from contracts.log.checkpoint import LOG_KEY, NoteKey, NoteSignature, parse_line
from contracts.wording import N_

_HEAD = re.compile(r"mengbang-release/1\nversion (\S+)\nwheel (sha256:[0-9a-f]{64}) (\S+)\n")
_FILE = re.compile(r"file (sha256:[0-9a-f]{64}) (\S[^\n]*)\n")


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """`files` maps each installed path to its digest, in order; nothing is verified yet."""

    version: str
    wheel: tuple[str, str]
    files: Mapping[str, str]
    signatures: tuple[NoteSignature, ...] = ()

    def body(self) -> str:
        """What is signed."""
        head = f"mengbang-release/1\nversion {self.version}\nwheel {self.wheel[1]} {self.wheel[0]}\n"
        return head + "".join(f"file {digest} {path}\n" for path, digest in self.files.items())

    def text(self) -> str:
        """The whole file."""
        lines = "".join(one.line() for one in self.signatures)
        return self.body() + ("\n" + lines if lines else "")


def read_release_file(text: str) -> ReleaseFile:
    """A release file in its one spelling; Malformed (RELEASE_FILE) otherwise."""
    body, _, rest = text.partition("\n\n")
    body = body.removesuffix("\n") + "\n"
    head = _HEAD.match(body)
    listed = _FILE.findall(body, head.end()) if head else []
    try:
        signatures = tuple(parse_line(line) for line in rest.splitlines(keepends=True))
    except TrustError as error:
        raise _not_one() from error
    files = {path: digest for digest, path in listed}
    if head is None or list(files) != sorted(files):
        raise _not_one()
    read = ReleaseFile(head[1], (head[3], head[2]), files, signatures)
    if read.text() != text:
        raise _not_one()
    return read


def _not_one() -> Malformed:
    return Malformed(
        N_("this is not a release file"), do=N_("python -m demo.release DIST writes one"), code="RELEASE_FILE"
    )


def office_name(origin: str) -> str:
    """The name under which the office of a log signs a release file."""
    return f"{origin}/office"


def sign_release_file(release: ReleaseFile, key: Ed25519PrivateKey, name: str) -> ReleaseFile:
    """The file with this signature added, or in place of an older one by the same key."""
    signer = NoteKey(name, LOG_KEY, key.public_key())
    others = tuple(one for one in release.signatures if (one.name, one.hash) != (name, signer.hash))
    return replace(
        release, signatures=(*others, NoteSignature(name, signer.hash, key.sign(release.body().encode("utf-8"))))
    )


def signers(release: ReleaseFile, keys: Mapping[str, NoteKey]) -> list[str]:
    """Names among `keys` that signed; Invalid (RELEASE_FILE) if one of theirs does not hold, or there is none."""
    found = []
    for one in release.signatures:
        key = keys.get(one.name)
        if key is None or key.hash != one.hash:
            continue
        if not verifies(key.public, one.sig, release.body().encode("utf-8")):
            raise Invalid(
                N_("the signature of {name} under the release file does not hold"), code="RELEASE_FILE", name=one.name
            )
        found.append(one.name)
    if not found:
        raise Invalid(
            N_("nobody whom the log knows has signed this release file"),
            why=N_("it would vouch for itself"),
            do=N_("ask the chamber or an auditor for the signed file"),
            code="RELEASE_FILE",
        )
    return found
