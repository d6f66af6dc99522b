"""Certificates for tests: an authority, one below it, and servers' certificates, good and bad."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.config.https_schema import is_ip_address

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: str = "") -> str:
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        return self.key.private_bytes(  # type: ignore[no-any-return]
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    if is_ip_address(name):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "Test Authority", above: Authority | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        signer = above.made if above else None
        certificate = _sign(name, key, signer, authority=True)
        self.made: Made = Made(certificate, key)
        self._name = name

    @property
    def pem(self) -> str:
        return self.made.pem

    def issue(
        self,
        names: Sequence[str],
        *,
        days: float = 90,
        begins: timedelta = -DAY,
        key: Any = None,
    ) -> Made:
        key = key or ec.generate_private_key(ec.SECP256R1())
        start = datetime.now(UTC) + begins
        certificate = _sign("server", key, self.made, names=names, start=start, days=days)
        return Made(certificate, key)

    def context(self) -> ssl.SSLContext:
        """A client that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem)
        return context


def _sign(
    name: str,
    key: Any,
    signer: Made | None,
    *,
    authority: bool = False,
    names: Sequence[str] = (),
    start: datetime | None = None,
    days: float = 3650,
) -> x509.Certificate:
    start = start or datetime.now(UTC) - DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(signer.certificate.subject if signer else _name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(one) for one in names]), critical=False
        )
    return builder.sign(signer.key if signer else key, hashes.SHA256())


def write_pair(folder: Path, made: Made, *above: Authority) -> tuple[Path, Path]:
    """The certificate with those above it, and its key, as files."""
    certificate, key = folder / "hub.crt", folder / "hub.key"
    certificate.write_text(made.pem + "".join(one.pem for one in above))
    key.write_text(made.key_pem())
    return certificate, key
