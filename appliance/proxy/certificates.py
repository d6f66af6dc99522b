"""Certificates for HTTPS: read, checked, put in order, and copied to where nginx reads them.

nginx gets one file with certificates and key, named by its content: a change is whole or not at
all, a configuration that is taken back has its old certificate, and what somebody does to the
original files does nothing until it has been checked. The originals stay with root alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from appliance.config.https_schema import is_ip_address
from appliance.errors import ApplianceError

RSA_BITS_MIN: Final = 2048
_FILE_MAX: Final = 1_000_000
_CHAIN_MAX: Final = 10
_BEGIN: Final = b"-----BEGIN "
SYSTEM_CAS: Final = Path("/etc/ssl/certs/ca-certificates.crt")


class CertificateError(ApplianceError):
    """A certificate or its key can't be used."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificates, the server's own first."""

    key: PrivateKeyTypes
    chain: tuple[x509.Certificate, ...]
    notes: tuple[str, ...] = field(default=())
    """What people should know although it works."""

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def names(self) -> list[str]:
        return names_of(self.leaf)

    @property
    def starts(self) -> datetime:
        return self.leaf.not_valid_before_utc

    @property
    def ends(self) -> datetime:
        """When the first of the chain ends, most often the server's own."""
        return min(one.not_valid_after_utc for one in self.chain)

    @property
    def issuer(self) -> str:
        """Who signed it, in a few words."""
        name = self.leaf.issuer
        for kind in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
            found = name.get_attributes_for_oid(kind)
            if found:
                return str(found[0].value)
        return name.rfc4514_string()

    def pem(self) -> str:
        """Key and certificates as one text, as nginx takes them."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        parts = [key, *(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)]
        return b"".join(parts).decode("ascii")


def read_pair(certificate: Path, key: Path, names: Sequence[str]) -> Pair:
    """Read and check the files; CertificateError says which is wrong and how to mend it."""
    pair = make_pair(_read(certificate), _read(key), certificate=str(certificate), key=str(key))
    check_pair(pair, names, file=str(certificate))
    return pair


def make_pair(certificates: bytes, private: bytes, *, certificate: str, key: str) -> Pair:
    """Key and certificates that belong together, the chain in its order."""
    found = _certificates(certificates, certificate)
    loaded = _key(private, key)
    wanted = _public(loaded.public_key())
    leaves = [one for one in found if _public_of(one) == wanted]
    if not leaves:
        raise CertificateError(
            f"cannot use {certificate}",
            why=f"the key in {key} is not that of the certificate for {_said(found[0])}",
            mend="give the key that the certificate was asked for with",
        )
    # A file with an old and a new certificate for one key means the new one.
    leaf = max(leaves, key=lambda one: one.not_valid_after_utc)
    chain = _chain(leaf, found)
    return Pair(loaded, chain, tuple(_notes(chain, found, certificate)))


def check_pair(pair: Pair, names: Sequence[str], *, file: str) -> None:
    """Refuse a certificate that browsers would, for these names and now."""
    now = datetime.now(UTC)
    what = f"cannot use {file}"
    if pair.ends <= now:
        raise CertificateError(
            what,
            why=f"the certificate ended on {pair.ends:%Y-%m-%d %H:%M} UTC",
            mend="get a new one",
        )
    if pair.starts > now:
        raise CertificateError(
            what,
            why=f"the certificate begins on {pair.starts:%Y-%m-%d %H:%M} UTC, "
            f"and this machine's clock says {now:%Y-%m-%d %H:%M}",
            mend="look at the clock: timedatectl",
        )
    if not pair.names:
        raise CertificateError(
            what,
            why="the certificate has no names in it (subject alternative names)",
            mend="ask for one with the host names as subject alternative names",
        )
    missing = [name for name in names if not covers(pair.names, name)]
    if missing:
        raise CertificateError(
            what,
            why=f"the certificate is for {', '.join(pair.names[:5])}, not for {missing[0]}",
            mend=f"get a certificate for {missing[0]}, or take it out of https.names",
        )
    public = pair.leaf.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < RSA_BITS_MIN:
        raise CertificateError(
            what,
            why=f"its key has {public.key_size} bits; browsers want {RSA_BITS_MIN}",
            mend="openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256, "
            "and a certificate for that key",
        )
    if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise CertificateError(
            what,
            why="its key is of a kind that browsers don't take",
            mend="use an RSA key, or one on the curve P-256",
        )


def names_of(certificate: x509.Certificate) -> list[str]:
    """Host names and addresses that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return names + [str(one) for one in found.get_values_for_type(x509.IPAddress)]


def covers(names: Sequence[str], wanted: str) -> bool:
    """Whether a certificate for `names` is good for a host; a star stands for one label."""
    if is_ip_address(wanted):
        return str(ipaddress.ip_address(wanted)) in names
    _, dot, rest = wanted.partition(".")
    return wanted in names or (bool(dot) and f"*.{rest}" in names)


def fingerprint(certificate: x509.Certificate) -> str:
    """What browsers show as SHA-256 fingerprint."""
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise CertificateError(
            f"cannot read {path}",
            why=os.strerror(error.errno or 0).lower(),
            mend=f"look at the file: sudo ls -l {path}",
        ) from error
    if len(data) > _FILE_MAX:
        raise CertificateError(f"cannot read {path}", why="it is too large for a certificate")
    if _BEGIN not in data:
        raise CertificateError(
            f"cannot use {path}",
            why=f'it is not PEM, the text that begins with "{_BEGIN.decode()}…"',
            mend=_to_pem(path, data),
        )
    return data


def _to_pem(path: Path, data: bytes) -> str:
    """Files that begin with this byte are DER, or PKCS#12 with a key inside."""
    if not data.startswith(b"\x30"):
        return "give the file that your authority calls PEM"
    if path.suffix.lower() in {".p12", ".pfx"}:
        return f"openssl pkcs12 -in {path} -nodes -out {path.with_suffix('.pem')}"
    return f"openssl x509 -inform der -in {path} -out {path.with_suffix('.pem')}"


def _certificates(data: bytes, file: str) -> list[x509.Certificate]:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        other = "a private key" if b"PRIVATE KEY-----" in data else "something else"
        raise CertificateError(
            f"cannot use {file}",
            why=f"it has {other} in it, and no certificate",
            mend="give the certificate, then the key: are the two files the wrong way round?"
            if "key" in other
            else "give the file with the certificate",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise CertificateError(
            f"cannot use {file}", why="a certificate in it is damaged", mend="get the file again"
        ) from error


def _key(data: bytes, file: str) -> PrivateKeyTypes:
    if b"ENCRYPTED" in data:
        raise CertificateError(
            f"cannot use {file}",
            why="the key has a password, which nobody would be there to type",
            mend=f"openssl pkey -in {file} -out {file}.open && chmod 600 {file}.open, "
            "then give that file",
        )
    if b"PRIVATE KEY-----" not in data:
        raise CertificateError(
            f"cannot use {file}",
            why="there is no private key in it",
            mend="give the key's file; are the two files the wrong way round?",
        )
    start = data.index(_BEGIN, _key_block(data))
    try:
        return serialization.load_pem_private_key(data[start:], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"cannot use {file}", why="the private key in it is damaged", mend="get the file again"
        ) from error


def _key_block(data: bytes) -> int:
    """Where the block of the key begins; parameters of curves may stand before it."""
    return data.rindex(_BEGIN, 0, data.index(b"PRIVATE KEY-----"))


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _public_of(certificate: x509.Certificate) -> bytes:
    try:
        return _public(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _chain(
    leaf: x509.Certificate, found: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """From the server's certificate up; the authority's own is left out, as browsers have it."""
    chain = [leaf]
    while len(chain) < _CHAIN_MAX and not _is_self_signed(chain[-1]):
        above = next((one for one in found if one not in chain and _signed(chain[-1], one)), None)
        if above is None or _is_self_signed(above):
            break
        chain.append(above)
    return tuple(chain)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _notes(
    chain: Sequence[x509.Certificate], found: Sequence[x509.Certificate], file: str
) -> list[str]:
    """What was put right, and what some browsers will miss."""
    roots = [one for one in found if _is_self_signed(one)]
    notes = []
    if [one for one in found if one in chain] != list(chain):
        notes.append(f"the certificates in {file} were put into their order")
    strangers = [one for one in found if one not in chain and one not in roots]
    if strangers:
        notes.append(
            f"{file} has certificates that don't belong to the chain, such as "
            f"{_said(strangers[0])}; they are left out"
        )
    last = chain[-1]
    if _is_self_signed(chain[0]):
        notes.append("the certificate is signed by itself, so browsers warn of it")
    elif not any(_signed(last, root) for root in roots) and not _is_known(last.issuer):
        notes.append(
            f"the certificate of {last.issuer.rfc4514_string()}, which signed {_said(last)}, is "
            f"not in {file}; without it browsers may not trust yours. If that is an authority "
            "between yours and one that browsers know, add its certificate to the file"
        )
    return notes


def _is_known(issuer: x509.Name) -> bool:
    """Whether the system trusts an authority of that name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trusted = x509.load_pem_x509_certificates(SYSTEM_CAS.read_bytes())
    except (OSError, ValueError):
        return False
    return any(one.subject == issuer for one in trusted)


def _said(certificate: x509.Certificate) -> str:
    names = names_of(certificate)
    return names[0] if names else certificate.subject.rfc4514_string() or "nobody"
