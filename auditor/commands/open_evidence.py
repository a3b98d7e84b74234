"""What the commands begin with: the pins, and the evidence at an address, in a folder or in a pack."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import Invalid, Malformed, TrustError
from contracts.wording import N_
from shell.text_files import read_table

if TYPE_CHECKING:
    from auditor.evidence.reader import Evidence
    from contracts.log.pins import Pins


def read_pins(path: Path) -> Pins:
    """A member's pins; three lines if the file is absent or is something else."""
    from pydantic import ValidationError

    from contracts.log.checkpoint import parse_vkey
    from contracts.log.pins import Pins

    words = N_("{path} is not a file of pins"), N_("a member writes it with: client-node pins")
    held = json.dumps(read_table(path, *words))
    try:
        pins = Pins.model_validate_json(held)
        for vkey in (pins.log_vkey, *pins.cosigners.values()):
            parse_vkey(vkey)
        return pins
    except (ValidationError, Malformed, Invalid) as error:
        raise Malformed(words[0], do=words[1], path=path) from error


def open_source(source: str, pins: Pins | None = None, identity: Path | None = None) -> Evidence:
    """Evidence at `source`: an address (trusted by the pinned CA, read under an auditor's key), a folder or a pack."""
    if "://" not in source:
        from auditor.evidence.pack import open_evidence

        return open_evidence(Path(source))
    from auditor.evidence.identity import SignedBy
    from auditor.evidence.reader import ServedEvidence
    from shell.answers import make_client

    try:
        trusted = ssl.create_default_context(cadata=(pins.ca_pem if pins else "") or None)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise TrustError(N_("the CA certificate in the pins cannot be read"), code="MALFORMED") from error
    signer = SignedBy.of_file(identity) if identity else None
    return ServedEvidence(source, make_client(verify=trusted, auth=signer, timeout=30))
