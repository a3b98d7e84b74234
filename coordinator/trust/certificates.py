"""The chamber's own certificate authority for the connections of nodes: made once, pinned by every invite."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contracts.envelope import digest
from contracts.errors import Malformed
from contracts.wording import N_
from coordinator.settings import write_private
from shell.text_files import read_text

ALWAYS = ("localhost", "127.0.0.1", "::1")  # names of the machine itself
MOST_COMMON_NAME = 64  # characters, by X.520


def make_certificates(folder: Path, *, name: str, hosts: Sequence[str]) -> None:
    """Write `ca.pem`, `server.pem` and `server.key` for these hosts, which `host_name` gave, and the machine itself; the
    CA's own key is not kept, so it can sign nothing more."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"CA {hosts[0]}"[:MOST_COMMON_NAME]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name[:64]),
        ]
    )
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key(), years=10)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:MOST_COMMON_NAME])])
    names = [_general_name(host) for host in dict.fromkeys((*hosts, *ALWAYS))]
    server = (
        _certificate(server_name, ca_name, server_key.public_key(), years=5)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (folder / "server.pem").write_bytes(server.public_bytes(Encoding.PEM))
    write_private(folder / "server.key", server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def covers(certificate: Path, host: str) -> bool:
    """Whether the certificate is made out to this host."""
    names = _read(certificate).extensions
    return _general_name(host) in names.get_extension_for_class(x509.SubjectAlternativeName).value


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, *, years: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * years))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def ca_digest(folder: Path) -> str:
    """Digest of the CA certificate's DER bytes: what invites and genesis name."""
    return digest(_read(folder / "ca.pem").public_bytes(Encoding.DER))


def _read(path: Path) -> x509.Certificate:
    words = N_("{path} is not a certificate of this coordinator"), N_("restore it from a copy of this home")
    text = read_text(path, *words)
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise Malformed(words[0], do=words[1], path=path) from error
