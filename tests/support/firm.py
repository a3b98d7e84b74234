"""A member that speaks to the coordinator's application over HTTP, for tests of what it answers."""

import json
import secrets
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.envelope import canonical, digest, public_text, seal, to_base64
from contracts.fields import new_id, time_text
from contracts.statements.closed_list import payload
from contracts.statements.requests import sign_request
from contracts.statements.statements import Key
from coordinator.trust import members
from demo.cluster import company_code


class Firm:
    """A member that joins over HTTP."""

    def __init__(self, office, client, days=14):
        self.client, self.key, self.witness = client, Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.node = self.key
        made_at = datetime.now(UTC) - timedelta(days=14 - days)
        self.invite = members.invite(
            office.database,
            office.settings,
            name="机械",
            code=company_code(1),
            approved=True,
            genesis="sha256:" + "0" * 64,
            now=made_at,
        )

    def join(self, entries=None, register=None, **options):
        register = {**{name: self.invite[name] for name in ("name", "code")}, "salt": secrets.token_hex(16)} | (
            register or {}
        )
        named = digest(canonical(register))
        entries = entries or [
            self.key_entry("node", self.key, register_document=named),
            self.key_entry("witness", self.witness),
        ]
        body = {"entries": entries, "secret": self.invite["secret"], "register": register}
        return self.ask("POST", "/v1/join", body, **options)

    def key_entry(self, role, key, signer=None, **changes):
        """A key statement of this member, signed by the key itself or by another one."""
        fields = {
            "record_id": new_id(),
            "issued_at": time_text(datetime.now(UTC)),
            "member": self.invite["member"],
            "role": role,
            "public": public_text(key.public_key()),
            "register_document": None,
        }
        return to_base64(seal(payload(Key(**fields | changes)), [signer or key]))

    def request(self, method, path, body=None, *, key=None, now=None, nonce=None):
        data = json.dumps(body).encode() if body is not None else b""
        request = self.client.build_request(method, f"https://testserver{path}", content=data)
        sign_request(request, data, key or self.key, nonce=nonce or secrets.token_hex(16), now=now or datetime.now(UTC))
        return request

    def ask(self, *words, **options):
        return self.client.send(self.request(*words, **options))
