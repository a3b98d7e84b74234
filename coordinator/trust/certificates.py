"""The chamber's own certificate authority for the connections of nodes: pinned by every
invite, its key sealed in the home.

What is made here lies in the folder `tls`: `ca.pem` and `ca.key`, and what is shown to nodes, `server.pem` and
`server.key`. How they are renewed: coordinator.trust.renewal.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contracts.envelope import digest
from contracts.errors import Malformed
from contracts.wording import N_
from coordinator.settings import write_private
from shell.text_files import read_text

ALWAYS = ("localhost", "127.0.0.1", "::1")  # names of the machine itself
MOST_COMMON_NAME = 64  # characters, by X.520
CA_YEARS, SERVER_YEARS = 10, 5
BACKDATED = timedelta(days=1)  # for machines whose clock is behind


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_certificates(
    folder: Path, office: Ed25519PrivateKey, *, name: str, hosts: Sequence[str], now: datetime | None = None
) -> None:
    """The first certificates of a chamber, for these hosts, which `host_name` gave, and the machine itself; the key of
    the CA is sealed under the `office` key."""
    now = now or datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    issuer, key = new_issuer(name, hosts[0], now), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(pem(issuer.certificate))
    write_private(folder / "ca.key", sealed(issuer.key, office))
    (folder / "server.pem").write_bytes(pem(server_certificate(issuer, key.public_key(), hosts, now)))
    write_private(folder / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def new_issuer(name: str, host: str, now: datetime) -> Issuer:
    """A new CA of the chamber. Its name holds its day: two of one chamber must not look like one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"CA {now:%Y-%m-%d} {host}"[:MOST_COMMON_NAME]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name[:64]),
        ]
    )
    made = _certificate(subject, subject, key.public_key(), now, now + timedelta(days=365 * CA_YEARS))
    return Issuer(_authority(made, key.public_key(), path_length=1).sign(key, hashes.SHA256()), key)


def server_certificate(
    issuer: Issuer, public: ec.EllipticCurvePublicKey, hosts: Sequence[str], now: datetime
) -> x509.Certificate:
    """What nodes are shown; it does not outlast its CA."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:MOST_COMMON_NAME])])
    names = [_general_name(host) for host in dict.fromkeys((*hosts, *ALWAYS))]
    ends = min(now + timedelta(days=365 * SERVER_YEARS), issuer.certificate.not_valid_after_utc)
    return (
        _certificate(subject, issuer.certificate.subject, public, now, ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(_signed_by(issuer), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def bridge(issuer: Issuer, old: x509.Certificate, now: datetime, ends: datetime) -> x509.Certificate:
    """The key of an older CA under the signature of a newer one (RFC 4210, 4.4: old with new). Shown
    beside a certificate of the older one, it leads who trusts the newer alone to it as well; who
    trusts the older needs it not."""
    public = old.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    made = _certificate(old.subject, issuer.certificate.subject, public, now, ends)
    made = _authority(made, public, path_length=0).add_extension(_signed_by(issuer), critical=False)
    return made.sign(issuer.key, hashes.SHA256())


def sealed(key: ec.EllipticCurvePrivateKey, office: Ed25519PrivateKey) -> bytes:
    """A CA's key for the disk. Whoever holds the office key may name another CA, so it is no
    worse a seal than any other."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(_secret(office)))


def opened(folder: Path, office: Ed25519PrivateKey) -> Issuer | None:
    """The CA of this folder; None if its key is not there, or opens under another office key."""
    try:
        key = load_pem_private_key((folder / "ca.key").read_bytes(), _secret(office))
    except (FileNotFoundError, ValueError):
        return None
    certificate = read_certificate(folder / "ca.pem")
    fits = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()
    return Issuer(certificate, key) if fits else None  # type: ignore[arg-type]


def seal_again(folder: Path, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> None:
    """The office key changes. A seal that neither opens stays as it is."""
    issuer = opened(folder, old)
    if issuer is not None:
        part = folder / "ca.key.part"
        part.unlink(missing_ok=True)
        write_private(part, sealed(issuer.key, new))
        part.replace(folder / "ca.key")


def _secret(office: Ed25519PrivateKey) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"mengbang ca").derive(office.private_bytes_raw()).hex().encode()


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as a file holds them."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file; Malformed if it is none."""
    words = N_("{path} is not a certificate of this coordinator"), N_("restore it from a copy of this home")
    text = read_text(path, *words)
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise Malformed(words[0], do=words[1], path=path) from error


def _authority(
    made: x509.CertificateBuilder, public: ec.EllipticCurvePublicKey, *, path_length: int
) -> x509.CertificateBuilder:
    return (
        made.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def covers(certificate: Path, host: str) -> bool:
    """Whether the certificate is made out to this host."""
    names = read_certificate(certificate).extensions
    return _general_name(host) in names.get_extension_for_class(x509.SubjectAlternativeName).value


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
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
    return digest(read_certificate(folder / "ca.pem").public_bytes(Encoding.DER))
